from __future__ import annotations

import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.synthetic.asset import CLASSES
from crosspoint.scene.synthetic.lidar import Lidar
from crosspoint.scene.synthetic.materials import MATERIALS, SIDE, textures
from crosspoint.scene.synthetic.views import camera_ring, colors, illumination, moved, photograph
from crosspoint.scene.synthetic.world import World, make_world

SIZE = (96, 320)


@pytest.fixture(scope="module")
def world() -> World:
    for seed in range(20):  # one with a sun
        world = make_world([5, seed], frames=2)
        if world.sky.direct.max() > 0.3:
            return world
    raise AssertionError("twenty overcast days")


def agreement(world: World, cameras: Cameras, view: int) -> tuple[np.ndarray, ...]:
    """For LiDAR points in one image: their depth, the image's depth in that pixel, and both faces."""
    lidar = Lidar(beams=32, columns=720, noise=0.0, dropout=0.0, faint=0.0)
    sweep = lidar.sweep(world, world.poses[1], np.random.default_rng(0))
    pixels, depth = cameras.project(torch.from_numpy(sweep.points[:, :3]))
    x, y, z = pixels[view, :, 0].floor().long(), pixels[view, :, 1].floor().long(), depth[view]
    inside = (z > 1) & (x >= 0) & (y >= 0) & (x < SIZE[1]) & (y < SIZE[0])
    _, fragments = photograph(world, moved(camera_ring(4, SIZE), world.poses[1])[view], supersample=1)
    rendered, face = fragments.depth[0, y[inside], x[inside]], fragments.face[0, y[inside], x[inside]]
    rows = pixels[view][inside].numpy()
    return z[inside].numpy(), rendered.numpy(), sweep.face[inside.numpy()], face.numpy().astype(np.int64), rows


@pytest.mark.parametrize("view", range(4))
def test_lidar_and_camera_see_one_world(world: World, view: int) -> None:
    depth, rendered, hit, seen, pixels = agreement(world, camera_ring(4, SIZE), view)
    assert len(depth) > 500
    same = hit == seen
    # Where both see the same face, its plane met by the ray through the very pixel position is at the point's depth.
    camera = moved(camera_ring(4, SIZE), world.poses[1])[view]
    to_world = (camera.R[0].T @ torch.linalg.inv(camera.K[0])).numpy()
    rays = np.column_stack([pixels[same], np.ones(same.sum())]) @ to_world.T
    eye = camera.centers[0].numpy()
    corner, normal = np.asarray(world.mesh.triangles)[hit[same], 0], world.facing[hit[same]]
    plane = ((corner - eye) * normal).sum(axis=1) / (rays * normal).sum(axis=1)
    np.testing.assert_allclose(plane, depth[same], rtol=1e-3, atol=1e-3)
    # Within the size of a pixel the others agree, too, but for what the camera cannot see, which lies behind.
    near = np.abs(rendered - depth) < 0.2 + 0.05 * depth
    assert same.mean() > 0.5
    assert near.mean() > 0.85
    assert (depth < rendered - 0.5 - 0.1 * depth).mean() < 0.03
    assert (world.labels[hit] == world.labels[seen])[near & (seen >= 0)].mean() > 0.95


def test_a_wrong_calibration_would_be_seen(world: World) -> None:
    cameras = camera_ring(4, SIZE)
    c, s = np.cos(np.deg2rad(3)), np.sin(np.deg2rad(3))
    turned = torch.tensor([[c, 0, s], [0, 1, 0], [-s, 0, c]], dtype=torch.float64)
    _, _, hit, seen, _ = agreement(world, cameras, 0)
    _, _, hit_off, seen_off, _ = agreement(world, Cameras(cameras.K, turned @ cameras.R, cameras.t, SIZE), 0)
    assert (hit_off == seen_off).mean() < 0.8 * (hit == seen).mean()


def test_light_is_the_suns_where_nothing_hides_it(world: World) -> None:
    camera = moved(camera_ring(1, SIZE), world.poses[0])[0]
    _, fragments = photograph(world, camera, supersample=1)
    flat = np.flatnonzero((fragments.face[0] >= 0).numpy().reshape(-1))[::1500]
    face = fragments.face.reshape(-1)[flat].long()
    weights = fragments.barycentric.reshape(-1, 3)[flat]
    triangles = np.asarray(world.mesh.triangles)
    places = (triangles[face] * weights.numpy()[:, :, None]).sum(axis=1)
    rays = torch.from_numpy(places).float() - camera.centers[0].float()
    light = illumination(world, face, weights, rays).numpy()
    lit = 0
    for place, number, ray, found in zip(places, face.numpy(), rays.numpy(), light, strict=True):
        normal = world.normals[number].mean(dim=0).numpy()
        if not np.allclose(world.normals[number], world.normals[number, 0], atol=1e-6):
            continue  # round surfaces are interpolated
        normal = -normal if normal @ ray > 0 else normal
        cosine = max(float(normal @ world.sky.sun), 0.0)
        visible = not blocked(triangles, place + 0.01 * normal + 0.01 * world.sky.sun, world.sky.sun)
        expected = world.sky.ambient * (0.8 + 0.2 * normal[2]) + world.sky.direct * cosine * visible
        np.testing.assert_allclose(found, expected, atol=1e-4)
        lit += visible and cosine > 0
    assert 0 < lit < len(flat)


def blocked(triangles: np.ndarray, origin: np.ndarray, ray: np.ndarray) -> bool:
    a, ab, ac = triangles[:, 0], triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0]
    p = np.cross(ray, ac)
    determinant = (ab * p).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        u = ((origin - a) * p).sum(axis=1) / determinant
        q = np.cross(origin - a, ab)
        v, t = (q @ ray) / determinant, (ac * q).sum(axis=1) / determinant
    return bool(((u >= 0) & (v >= 0) & (u + v <= 1) & (t > 0)).any())


def test_images_show_sky_above_and_class_typical_colors_below(world: World) -> None:
    camera = moved(camera_ring(1, SIZE), world.poses[0])[0]
    image, fragments = photograph(world, camera)
    assert image.shape == (3, *SIZE) and image.dtype == torch.uint8
    face = fragments.face[0]
    sky = image[:, face < 0].float().mean(dim=1)
    assert sky[2] > sky[0] - 10 and sky.mean() > 120  # blue or gray, bright
    labels = torch.from_numpy(world.labels)[face.clamp(min=0).long()]
    road = image[:, (labels == CLASSES.index("road")) & (face >= 0)].float()
    assert road.std(dim=1).max() > 3.0  # markings, grain and shadows
    spread = (road.max(dim=0).values - road.min(dim=0).values).median()
    assert spread < 40  # asphalt is gray


def test_supersampling_changes_outlines_only_and_averages(world: World) -> None:
    camera = moved(camera_ring(1, SIZE), world.poses[0])[0]
    once, fragments = photograph(world, camera, supersample=1)
    fine, _ = photograph(world, camera, supersample=2)
    same = (once == fine).all(dim=0)
    assert 0.2 < same.float().mean() < 1.0
    row, column = (int(i) for i in (~same).nonzero()[len((~same).nonzero()) // 2])
    big = camera.scaled(2)
    y, x = torch.meshgrid(torch.tensor([0, 1]) + 2 * row, torch.tensor([0, 1]) + 2 * column, indexing="ij")
    x, y = x.reshape(-1), y.reshape(-1)
    samples = colors(world, big, world.tracer.at(big, y, x), x + 0.5, y + 0.5)
    expected = samples.mean(dim=0).clamp(0, 1) * 255
    assert (fine[:, row, column].float() - expected).abs().max() <= 1.0
    assert fragments.face.shape == (1, *SIZE)


def test_cameras_look_where_they_say() -> None:
    cameras = camera_ring(4, (100, 200), fov=90.0)
    ahead = torch.tensor([[10.0, 0.0, -0.15], [0.0, 10.0, -0.15], [-10.0, 0.0, -0.15], [0.0, -10.0, -0.15]])
    pixels, depth = cameras.project(ahead)
    for view in range(4):
        np.testing.assert_allclose(pixels[view, view], [100.0, 45.0], atol=1e-9)
        assert float(depth[view, view]) == pytest.approx(10.0 - 0.4)
    left_of_front, _ = cameras[0].project(torch.tensor([[10.0, 1.0, 1.0]]))
    assert left_of_front[0, 0, 0] < 100 and left_of_front[0, 0, 1] < 45
    np.testing.assert_allclose(torch.linalg.det(cameras.R), 1.0)
    edge, _ = cameras[0].project(cameras.centers[:1] + torch.tensor([[1.0, 1.0, 0.0]]))  # 45° to the left
    assert float(edge[0, 0, 0]) == pytest.approx(0.0, abs=1e-9)


def test_six_cameras_see_all_around() -> None:
    angle = torch.linspace(0, 6.28, 200, dtype=torch.float64)
    points = torch.stack([20 * angle.cos(), 20 * angle.sin(), torch.zeros_like(angle)], dim=1)
    pixels, depth = camera_ring(6, SIZE).project(points)
    inside = (depth > 0) & (pixels[..., 0] > 0) & (pixels[..., 0] < SIZE[1])
    assert bool(inside.any(dim=0).all())


def test_textures_repeat_without_a_seam_and_serve_every_material() -> None:
    names, images = textures()
    assert {m.texture for m in MATERIALS.values()} - {None} == set(names)
    for name, image in zip(names, images, strict=True):
        assert image.shape == (SIDE, SIDE, 3)
        assert 100 < image.float().mean() < 250
        if name in ("asphalt", "grass", "leaves", "plaster"):  # the others have joints
            for axis in (0, 1):
                steps = (image.float().roll(1, axis) - image.float()).abs().mean(dim=(1 - axis, 2))
                assert steps[0] < 1.5 * steps.median()


def test_cameras_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="found 7 cameras"):
        camera_ring(7)
