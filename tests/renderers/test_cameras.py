from __future__ import annotations

import numpy as np
import pytest
import torch

from crosspoint.renderers import Cameras, look_at, orbit, ring, sphere


def placements() -> list[Cameras]:
    return [orbit(7, (120, 200), seed=3), ring(5, 64), sphere(9, (90, 50))]


@pytest.mark.parametrize("cameras", placements())
def test_unproject_is_the_inverse_of_project(cameras: Cameras) -> None:
    points = torch.from_numpy(np.random.default_rng(0).uniform(-0.5, 0.5, (40, 3)))
    pixels, depth = cameras.project(points)
    assert pixels.shape == (len(cameras), 40, 2)
    torch.testing.assert_close(cameras.unproject(pixels, depth), points.expand(len(cameras), -1, -1))


@pytest.mark.parametrize("cameras", placements())
def test_poses_are_rotations_that_see_the_origin_in_the_middle(cameras: Cameras) -> None:
    identity = torch.eye(3, dtype=torch.float64).expand(len(cameras), 3, 3)
    torch.testing.assert_close(cameras.R @ cameras.R.mT, identity)
    torch.testing.assert_close(torch.linalg.det(cameras.R), torch.ones(len(cameras), dtype=torch.float64))
    pixels, depth = cameras.project(torch.zeros(1, 3))
    middle = torch.tensor([cameras.size[1] / 2, cameras.size[0] / 2], dtype=torch.float64)
    torch.testing.assert_close(pixels[:, 0], middle.expand(len(cameras), 2))
    torch.testing.assert_close(depth[:, 0], cameras.centers.norm(dim=1))


@pytest.mark.parametrize("cameras", placements())
def test_the_unit_sphere_stays_in_the_frame(cameras: Cameras) -> None:
    points = np.random.default_rng(1).normal(size=(20_000, 3))
    pixels, depth = cameras.project(torch.from_numpy(points / np.linalg.norm(points, axis=1, keepdims=True)))
    height, width = cameras.size
    assert bool((depth > 0).all())
    assert bool((pixels >= 0).all()) and bool((pixels <= torch.tensor([width, height])).all())


def test_up_is_up_and_right_is_right_in_the_image() -> None:
    R, t = look_at(torch.tensor([[0.0, 0.0, 3.0]]))
    cameras = Cameras(torch.tensor([[[10.0, 0, 5], [0, 10, 5], [0, 0, 1]]]), R, t, (10, 10))
    pixels, _ = cameras.project(torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]]))
    torch.testing.assert_close(pixels[0], torch.tensor([[5, 5 - 10 / 3], [5 + 10 / 3, 5]], dtype=torch.float64))


@pytest.mark.parametrize("eye", [(0.0, 2.0, 0.0), (0.0, -2.0, 0.0)])
def test_a_camera_may_look_along_the_up_axis(eye: tuple[float, float, float]) -> None:
    R, t = look_at(torch.tensor([eye]))
    torch.testing.assert_close(torch.linalg.det(R), torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(
        R[0] @ torch.tensor(eye, dtype=torch.float64) + t[0], torch.zeros(3, dtype=torch.float64)
    )


def test_orbit_follows_its_bounds_and_its_seed() -> None:
    cameras = orbit(400, elevation=(10.0, 20.0), distance=(1.5, 2.0), fov=60.0, seed=5)
    radius = cameras.centers.norm(dim=1)
    elevation = torch.rad2deg(torch.asin(cameras.centers[:, 1] / radius))
    assert 10.0 <= elevation.min() < 11.0 and 19.0 < elevation.max() <= 20.0
    assert 3.0 <= radius.min() < 3.05 and 3.95 < radius.max() <= 4.0  # multiples of 1 / sin 30°
    azimuth = torch.atan2(cameras.centers[:, 0], cameras.centers[:, 2])
    assert torch.histc(azimuth, 4, -torch.pi, torch.pi).min() > 70
    assert torch.equal(orbit(3, seed=1).R, orbit(3, seed=1).R)
    assert not torch.equal(orbit(3, seed=1).R, orbit(3, seed=2).R)


def test_sphere_covers_all_octants_evenly() -> None:
    octants = (sphere(800).centers > 0).int() @ torch.tensor([1, 2, 4], dtype=torch.int32)
    assert torch.bincount(octants, minlength=8).min() >= 90


def test_scaled_cameras_see_the_same_at_a_finer_grid() -> None:
    points = torch.rand(10, 3)
    cameras = ring(3, (20, 30))
    torch.testing.assert_close(cameras.scaled(3).project(points)[0], 3 * cameras.project(points)[0])
    assert cameras.scaled(3).size == (60, 90)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"views": 0}, "found 0 views"),
        ({"views": 1, "size": 0}, "image size of 0×0"),
        ({"views": 1, "fov": 180.0}, "field of view"),
        ({"views": 1, "distance": (0.9, 0.95)}, "distance of 0.9"),
    ],
)
def test_impossible_orbits_are_refused(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        orbit(**arguments)


def test_impossible_cameras_are_refused() -> None:
    eye = torch.eye(3)[None]
    with pytest.raises(ValueError, match="R of shape"):
        Cameras(eye, torch.eye(3), torch.zeros(1, 3), (4, 4))
    with pytest.raises(ValueError, match="NaN"):
        Cameras(eye, eye, torch.full((1, 3), torch.nan), (4, 4))
    with pytest.raises(ValueError, match="on the point"):
        look_at(torch.zeros(1, 3))
