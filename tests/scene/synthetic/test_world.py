from __future__ import annotations

import numpy as np
import pytest
import trimesh
from numpy.random import Generator

from crosspoint.scene.synthetic import buildings, furniture, objects
from crosspoint.scene.synthetic.asset import BOX_CLASSES, CLASSES, Prop, box_mapping, roughened
from crosspoint.scene.synthetic.materials import MATERIAL_NAMES
from crosspoint.scene.synthetic.street import Street, ground
from crosspoint.scene.synthetic.world import World, make_poses, make_world

MAKERS = {  # lowest and highest height, and classes of the faces
    objects.car: ((0.8, 4.5), {"car"}),
    objects.tree: ((2.0, 14.0), {"vegetation"}),
    objects.bush: ((0.2, 4.0), {"vegetation"}),
    objects.pedestrian: ((0.95, 2.1), {"pedestrian"}),
    furniture.lamp: ((3.9, 9.6), {"pole"}),
    furniture.bollard: ((0.6, 1.3), {"pole"}),
    furniture.traffic_light: ((2.9, 4.6), {"pole"}),
    furniture.sign: ((2.0, 4.6), {"pole", "traffic sign"}),
    buildings.house: ((2.0, 40.0), {"building"}),
    buildings.town_house: ((6.0, 40.0), {"building"}),
}


@pytest.fixture(scope="module")
def world() -> World:
    return make_world([7, 2], frames=4, spacing=5.0)


@pytest.fixture(scope="module")
def street() -> Street:
    return Street.draw(20.0, np.random.default_rng(4))


def down(mesh: trimesh.Trimesh, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Height and face of the highest surface at x, y, by trimesh's own casting."""
    origins = np.column_stack([x, y, np.full(len(x), 50.0)])
    places, rays, faces = mesh.ray.intersects_location(origins, np.tile([0.0, 0.0, -1.0], (len(x), 1)), False)
    height, face = np.full(len(x), np.nan), np.full(len(x), -1)
    height[rays], face[rays] = places[:, 2], faces
    return height, face


def test_the_ground_has_no_gap_and_its_strips_are_what_the_cross_section_says(street: Street) -> None:
    strips = ground(street, np.random.default_rng(0))
    mesh = trimesh.util.concatenate([trimesh.Trimesh(p.vertices, p.faces, process=False) for p in strips[:-1]])
    labels = np.concatenate([p.labels for p in strips[:-1]])
    rng = np.random.default_rng(1)
    s, d = rng.uniform(-60, 60, 3000), rng.uniform(-30, 30, 3000)
    side = (d > 0).astype(int)
    road = np.array([street.carriageway(i) for i in (0, 1)])[side]
    front = np.array([street.frontage(i) for i in (0, 1)])[side]
    clear = (np.abs(np.abs(d) - road) > 0.05) & (np.abs(np.abs(d) - front) > 0.05)  # chords of the bends
    height, face = down(mesh, *street.place(s[clear], d[clear]).T)
    assert not np.isnan(height).any()
    names = np.array(CLASSES)[labels[face]]
    expected = np.where(np.abs(d) < road, "road", np.where(np.abs(d) < front, "sidewalk", "terrain"))[clear]
    np.testing.assert_array_equal(names, expected)
    above = height - street.relief(s, d)[clear]
    np.testing.assert_allclose(above[expected == "road"], 0.0, atol=0.01)
    np.testing.assert_allclose(above[expected == "sidewalk"], street.kerb, atol=0.01)
    assert np.ptp(height[expected == "road"]) > 2 * street.kerb  # height alone does not tell them apart
    np.testing.assert_allclose(
        height, street.height(s[clear], d[clear]), atol=0.35
    )  # linear between the waves' samples


def test_places_along_the_street_keep_their_distances(street: Street) -> None:
    s = np.linspace(-70, 70, 2001)
    for d in (-5.0, 0.0, 8.0):
        steps = np.linalg.norm(np.diff(street.place(s, d), axis=0), axis=1)
        bend = np.diff(np.interp(s, street.s, street.line[:, 2])) / np.diff(s)
        np.testing.assert_allclose(steps / np.diff(s), 1 - d * bend, rtol=2e-3)  # parallel curves
    np.testing.assert_allclose(street.place(0.0, 2.0), [0.0, 2.0], atol=1e-9)


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
def test_props_stand_on_the_ground_and_know_what_they_are(make) -> None:
    (low, high), classes = MAKERS[make]
    sizes = []
    for seed in range(6):
        prop: Prop = make(np.random.default_rng(seed))
        bottom, top = prop.bounds
        assert bottom[2] == pytest.approx(0.0, abs=0.02)
        assert low <= top[2] <= high
        assert {CLASSES[label] for label in prop.labels} == classes
        assert prop.thing == (next(iter(classes)) if classes <= set(BOX_CLASSES) else "")
        assert prop.colors.shape == (len(prop.faces), 3) and 0 <= prop.colors.min() <= prop.colors.max() <= 1
        assert np.isfinite(prop.uv).all() and prop.faces.max() < len(prop.vertices)
        assert prop.materials.max() < len(MATERIAL_NAMES)
        sizes.append(prop.size)
    assert np.std(sizes, axis=0)[2] > 0.05
    first, again = make(np.random.default_rng(3)), make(np.random.default_rng(3))
    np.testing.assert_array_equal(first.vertices, again.vertices)


def test_cars_are_longer_than_wide_and_their_fronts_point_along_x() -> None:
    for seed in range(8):
        prop = objects.car(np.random.default_rng(seed))
        assert 3.3 <= prop.size[0] <= 7.5 and prop.size[0] > 1.5 * prop.size[1]
        lamps = prop.materials == MATERIAL_NAMES.index("lamp")
        white = lamps & (prop.colors[:, 2] > 0.5)
        assert (
            prop.vertices[prop.faces[white]][..., 0].mean() > prop.vertices[prop.faces[lamps & ~white]][..., 0].mean()
        )


@pytest.mark.parametrize("make", [furniture.fence, objects.hedge])
def test_fences_and_hedges_run_along_x(make) -> None:
    def drawn(rng: Generator) -> np.ndarray:
        return make(6.0, rng).size

    for seed in range(4):
        length, width, _ = drawn(np.random.default_rng(seed))
        assert length == pytest.approx(6.0, abs=0.6) and width < 1.5


def test_the_front_of_a_sign_shows_its_plate() -> None:
    prop = furniture.sign(np.random.default_rng(0))
    plate = prop.vertices[prop.faces[prop.materials == MATERIAL_NAMES.index("reflector")]]
    height = plate[..., 2].max() - 0.25
    whole = trimesh.Trimesh(prop.vertices, prop.faces, process=False)
    for x, material in ((5.0, "reflector"), (-5.0, "metal")):
        face = whole.ray.intersects_first(np.array([[x, 0.07, height]]), np.array([[-x, 0.0, 0.0]]))[0]
        assert MATERIAL_NAMES[prop.materials[face]] == material


def test_box_mapping_keeps_lengths_on_faces_along_the_axes() -> None:
    mesh = trimesh.creation.box((2.0, 3.0, 4.0))
    materials = np.full(len(mesh.faces), MATERIAL_NAMES.index("planks"))  # repeats every meter
    uv = box_mapping(np.asarray(mesh.vertices), np.asarray(mesh.faces), materials)
    first, second = uv[:, 1] - uv[:, 0], uv[:, 2] - uv[:, 0]
    area = np.abs(first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]) / 2
    np.testing.assert_allclose(area, mesh.area_faces)


def test_roughening_moves_one_material_alone() -> None:
    prop = objects.tree(np.random.default_rng(1))
    moved = roughened(prop, "bark", 0.1, np.random.default_rng(0))
    bark = np.unique(prop.faces[prop.materials == MATERIAL_NAMES.index("bark")])
    changed = np.flatnonzero((moved.vertices != prop.vertices).any(axis=1))
    np.testing.assert_array_equal(changed, bark)


def test_boxes_are_the_tightest_upright_ones_with_their_heading(world: World) -> None:
    vertices, faces = np.asarray(world.mesh.vertices), np.asarray(world.mesh.faces)
    assert world.objects.max() == len(world.boxes.geometry) > 10
    for number, (box, label) in enumerate(zip(world.boxes.geometry.numpy(), world.boxes.labels, strict=True), start=1):
        own = world.objects == number
        assert {CLASSES[i] for i in world.labels[own]} == {BOX_CLASSES[label]}
        c, s = np.cos(box[6]), np.sin(box[6])
        local = (vertices[np.unique(faces[own])] - box[:3]) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
        np.testing.assert_allclose(np.abs(local).max(axis=0), box[3:6] / 2, atol=1e-4)
        np.testing.assert_allclose(local.min(axis=0), -box[3:6] / 2, atol=1e-4)
    things = [CLASSES.index(name) for name in BOX_CLASSES]
    np.testing.assert_array_equal(world.objects > 0, np.isin(world.labels, things))


@pytest.mark.parametrize("seed", range(2))
def test_the_way_of_the_ego_vehicle_is_free_and_cars_do_not_pass_through_each_other(seed: int) -> None:
    world = make_world([11, seed], frames=4)
    places = world.poses[:, :2, 3]
    path = np.concatenate([np.linspace(places[i], places[i + 1], 20) for i in range(3)])
    cars = world.boxes.geometry[world.boxes.labels == BOX_CLASSES.index("car")].numpy()
    grid = np.stack(np.meshgrid(np.linspace(-0.5, 0.5, 9), np.linspace(-0.5, 0.5, 5)), -1).reshape(-1, 2)

    def inside(points: np.ndarray, box: np.ndarray, margin: float) -> bool:
        c, s = np.cos(box[6]), np.sin(box[6])
        local = (points - box[:2]) @ np.array([[c, -s], [s, c]])
        return bool((np.abs(local) < box[3:5] / 2 + margin).all(axis=1).any())

    for i, box in enumerate(cars):
        c, s = np.cos(box[6]), np.sin(box[6])
        spots = grid * box[3:5] @ np.array([[c, s], [-s, c]]) + box[:2]
        assert not inside(path, box, 0.4)
        assert not any(inside(spots, other, -0.02) for j, other in enumerate(cars) if j != i)


def test_the_ego_vehicle_drives_forward_in_the_right_lane(world: World) -> None:
    steps = np.diff(world.poses[:, :3, 3], axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    assert 3.8 < lengths.min() and lengths.max() < 6.2
    forward = world.poses[:-1, :3, 0]
    assert ((steps / lengths[:, None]) * forward).sum(axis=1).min() > 0.99
    height, _ = down(world.mesh, world.poses[:, 0, 3], world.poses[:, 1, 3])
    np.testing.assert_allclose(world.poses[:, 2, 3] - height, 1.8, atol=0.01)
    np.testing.assert_allclose(
        world.poses[:, :3, :3] @ world.poses[:, :3, :3].transpose(0, 2, 1), [np.eye(3)] * 4, atol=1e-12
    )
    assert world.poses[0, 1, 3] < -1.0
    np.testing.assert_array_equal(make_poses([7, 2], 4, 5.0), world.poses)


def test_a_world_is_its_seed(world: World) -> None:
    again, other = make_world([7, 2], frames=4, spacing=5.0), make_world([7, 3], frames=4, spacing=5.0)
    for name in ("labels", "objects", "reflectivity", "poses"):
        np.testing.assert_array_equal(getattr(again, name), getattr(world, name))
    assert np.asarray(again.mesh.vertices).tobytes() == np.asarray(world.mesh.vertices).tobytes()
    assert not np.array_equal(other.poses, world.poses)
    assert set(np.unique(world.labels)) == set(range(len(CLASSES)))


def test_no_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="found 0 frames"):
        make_world([0], frames=0)
