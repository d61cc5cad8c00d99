from __future__ import annotations

import numpy as np
import pytest
import trimesh

from crosspoint.scene.synthetic.asset import CLASSES
from crosspoint.scene.synthetic.lidar import Lidar, Sweep
from crosspoint.scene.synthetic.world import World, make_world

EXACT = Lidar(beams=16, columns=256, elevation=(-20.0, 6.0), noise=0.0, dropout=0.0, faint=0.0)


@pytest.fixture(scope="module")
def world() -> World:
    return make_world([3, 1], frames=3)


@pytest.fixture(scope="module")
def sweep(world: World) -> Sweep:
    return EXACT.sweep(world, world.poses[0], np.random.default_rng(0))


def to_world(points: np.ndarray, pose: np.ndarray) -> np.ndarray:
    return points[:, :3].astype(np.float64) @ pose[:3, :3].T + pose[:3, 3]


def nearest_hit(triangles: np.ndarray, origin: np.ndarray, ray: np.ndarray) -> tuple[float, int]:
    """Möller and Trumbore 1997 over every triangle (F, 3, 3): distance and face."""
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    p = np.cross(ray, ac)
    determinant = (ab * p).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = ((origin - a) * p).sum(axis=1) / determinant
        q = np.cross(origin - a, ab)
        v = (q @ ray) / determinant
        t = (ac * q).sum(axis=1) / determinant
    t = np.where((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0), t, np.inf)
    return float(t.min()), int(t.argmin())


def test_hits_lie_on_the_surface(world: World, sweep: Sweep) -> None:
    hits = to_world(sweep.points, world.poses[0])
    nearest = trimesh.triangles.closest_point(np.asarray(world.mesh.triangles)[sweep.face], hits)
    assert np.abs(nearest - hits).max() < 1e-4


def test_hits_are_the_first_ones(world: World) -> None:
    lidar = Lidar(beams=6, columns=10, elevation=(-15.0, 5.0), nearest=0.0, farthest=70, noise=0, dropout=0, faint=0)
    found = lidar.sweep(world, world.poses[0], np.random.default_rng(0))
    triangles, pose = np.asarray(world.mesh.triangles), world.poses[0]
    expected = [nearest_hit(triangles, pose[:3, 3], pose[:3, :3] @ ray) for ray in lidar.directions()]
    expected = [hit for hit in expected if hit[0] <= lidar.farthest]
    assert len(found.points) == len(expected) > 30
    ranges = np.linalg.norm(found.points[:, :3], axis=1)
    np.testing.assert_allclose(ranges, [distance for distance, _ in expected], atol=1e-3)
    np.testing.assert_array_equal(world.labels[found.face], world.labels[[face for _, face in expected]])


def test_intensity_is_lamberts(world: World, sweep: Sweep) -> None:
    normals, valid = trimesh.triangles.normals(np.asarray(world.mesh.triangles)[sweep.face])
    assert valid.all()
    rays = sweep.points[:, :3] / np.linalg.norm(sweep.points[:, :3], axis=1, keepdims=True)
    cosine = np.abs((normals * (rays @ world.poses[0][:3, :3].T)).sum(axis=1))
    expected = np.clip(world.reflectivity[sweep.face] * cosine, 0.0, 1.0)
    np.testing.assert_allclose(sweep.points[:, 3], expected, atol=1e-4)
    assert sweep.points[:, 3].max() > 0.5 > sweep.points[:, 3].mean()


def test_points_lie_on_as_many_cones_as_there_are_beams(sweep: Sweep) -> None:
    x, y, z, _ = sweep.points.T.astype(np.float64)
    elevation = np.degrees(np.arctan2(z, np.hypot(x, y)))
    expected = np.linspace(*EXACT.elevation, EXACT.beams)
    assert np.array_equal(np.unique(sweep.beam), np.arange(EXACT.beams))
    np.testing.assert_allclose(elevation, expected[sweep.beam], atol=1e-3)
    column = (np.degrees(np.arctan2(y, x)) + 180.0) / 360.0 * EXACT.columns - 0.5
    np.testing.assert_allclose(column, column.round(), atol=1e-2)
    assert len(np.unique(sweep.beam * EXACT.columns + column.round())) == len(sweep.points)


def test_noise_has_its_standard_deviation_and_leaves_let_beams_in(world: World, sweep: Sweep) -> None:
    noisy = Lidar(beams=16, columns=256, elevation=(-20.0, 6.0), noise=0.05, dropout=0.0, faint=0.0)
    blurred = noisy.sweep(world, world.poses[0], np.random.default_rng(1))
    np.testing.assert_array_equal(blurred.face, sweep.face)
    error = np.linalg.norm(blurred.points[:, :3], axis=1) - np.linalg.norm(sweep.points[:, :3], axis=1)
    hard = world.softness[sweep.face] == 0
    assert abs(error[hard].mean()) < 0.005
    assert error[hard].std() == pytest.approx(0.05, rel=0.1)
    leaves = world.labels[sweep.face] == CLASSES.index("vegetation")
    entered = world.softness[sweep.face][leaves]
    assert error[leaves].mean() == pytest.approx(entered.mean() / 2, abs=4 * 0.06 / np.sqrt(leaves.sum()))
    np.testing.assert_array_equal(blurred.points[:, 3], sweep.points[:, 3])


def test_dropout_takes_its_share(world: World, sweep: Sweep) -> None:
    lossy = Lidar(beams=16, columns=256, elevation=(-20.0, 6.0), noise=0.0, dropout=0.3, faint=0.0)
    kept = lossy.sweep(world, world.poses[0], np.random.default_rng(1))
    share = len(kept.points) / len(sweep.points)
    assert share == pytest.approx(0.7, abs=4 * np.sqrt(0.21 / len(sweep.points)))


def test_faint_returns_are_lost_as_often_as_the_law_says(world: World, sweep: Sweep) -> None:
    faint = Lidar(beams=16, columns=256, elevation=(-20.0, 6.0), noise=0.0, dropout=0.0, faint=0.2)
    kept = faint.sweep(world, world.poses[0], np.random.default_rng(1))
    ranges = np.linalg.norm(sweep.points[:, :3].astype(np.float64), axis=1)
    away = to_world(sweep.points, world.poses[0]) - world.poses[0][:3, 3]
    cosine = np.abs((world.facing[sweep.face] * away).sum(axis=1)) / ranges
    power = world.reflectivity[sweep.face] * cosine * (70.0 / ranges) ** 2
    probability = 1.0 - np.exp(-power / 0.2)
    spread = np.sqrt((probability * (1 - probability)).sum())
    assert 5 < spread < len(ranges) - probability.sum()
    assert len(kept.points) == pytest.approx(probability.sum(), abs=4 * spread)


def test_a_static_point_is_in_one_place_from_two_frames(world: World, sweep: Sweep) -> None:
    """Rays from the next place to what the first place saw never pass through it, and mostly reach it."""
    seen, eye = to_world(sweep.points, world.poses[0]), world.poses[2][:3, 3]
    away = seen - eye
    distance = np.linalg.norm(away, axis=1)
    rays = (away / distance[:, None]).astype(np.float32)
    hits = world.tracer.scene.run(np.tile(eye.astype(np.float32), (len(rays), 1)), rays, output=1)
    assert (hits["tfar"] < distance + 0.01).mean() > 0.995  # the rest touches edges
    assert (np.abs(hits["tfar"] - distance) < 0.01).mean() > 0.5
    again = EXACT.sweep(world, world.poses[2], np.random.default_rng(0))
    surface = trimesh.triangles.closest_point(
        np.asarray(world.mesh.triangles)[again.face], to_world(again.points, world.poses[2])
    )
    assert np.abs(surface - to_world(again.points, world.poses[2])).max() < 1e-4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"beams": 0}, "0 beams"),
        ({"elevation": (5.0, -5.0)}, "elevations in order"),
        ({"nearest": 80.0}, "increasing range"),
        ({"dropout": 1.0}, "dropout below 1"),
        ({"noise": float("nan")}, "noise nan"),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Lidar(**arguments)
