from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh

from crosspoint.renderers import Cameras, orbit, ring
from crosspoint.renderers.raycast import Raycast


@pytest.mark.parametrize("name", ["open", "non-manifold"])
def test_every_pixel_agrees_with_brute_force(name: str, meshes: dict, brute_force: type) -> None:
    mesh = meshes[name]
    cameras = orbit(2, (40, 56), seed=1)
    fast, slow = Raycast(mesh)(cameras), brute_force(mesh)(cameras)
    same = fast.face == slow.face
    assert same.float().mean() > 0.999  # rays through an edge may take either face
    torch.testing.assert_close(fast.depth[same], slow.depth[same], rtol=0, atol=1e-5)
    torch.testing.assert_close(fast.barycentric[same], slow.barycentric[same], rtol=0, atol=1e-3)


def test_a_sphere_has_its_closed_form_depth_and_silhouette() -> None:
    cameras = ring(3, 128)
    fragments = Raycast(trimesh.creation.icosphere(6))(cameras)
    distance = float(cameras.centers[0].norm())
    focal = float(cameras.K[0, 0, 0])
    # The cone that touches the sphere has half-angle asin(1 / d): a disc of radius f tan(asin(1 / d)) in the image.
    radius = focal / np.sqrt(distance**2 - 1)
    axis = np.arange(128) + 0.5 - 64
    across = np.hypot(axis[None], axis[:, None])
    assert (fragments.mask.numpy()[:, across < radius - 0.1]).all()
    assert not (fragments.mask.numpy()[:, across > radius + 0.1]).any()
    # |z (x/f, y/f, 1) − (0, 0, d)| = 1, the nearer solution.
    s = 1 + (across / focal) ** 2
    with np.errstate(invalid="ignore"):
        z = (distance - np.sqrt(distance**2 - s * (distance**2 - 1))) / s
    inner = across < 0.95 * radius
    np.testing.assert_allclose(fragments.depth.numpy()[:, inner], np.tile(z[inner], (3, 1)), atol=1e-3)


def test_some_pixels_are_those_of_the_whole_view(meshes: dict) -> None:
    mesh = meshes["non-manifold"]
    camera = orbit(1, 64, seed=2)
    tracer = Raycast(mesh)
    whole = tracer(camera)
    rows, columns = (torch.from_numpy(a) for a in np.random.default_rng(0).integers(0, 64, (2, 300, 4)))
    some = tracer.at(camera, rows, columns)
    assert some.face.shape == (1, 300, 4) and bool((some.face >= 0).any())
    for name in ("face", "barycentric", "depth"):
        assert torch.equal(getattr(some, name)[0], getattr(whole, name)[0, rows, columns])


def test_surfaces_behind_and_around_the_camera_are_handled() -> None:
    ball = trimesh.creation.icosphere(2)
    K = torch.tensor([[[20.0, 0, 20], [0, 20, 20], [0, 0, 1]]])
    inside = Raycast(ball)(Cameras(K, torch.eye(3)[None], torch.zeros(1, 3), (40, 40)))
    assert bool(inside.mask.all())
    behind = Raycast(ball)(Cameras(K, torch.eye(3)[None], torch.tensor([[0.0, 0, -5]]), (40, 40)))
    assert not bool(behind.mask.any()) and bool(behind.depth.isinf().all())
    beside = Raycast(ball)(Cameras(K, torch.eye(3)[None], torch.tensor([[50.0, 0, 5]]), (40, 40)))
    assert not bool(beside.mask.any())
