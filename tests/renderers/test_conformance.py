"""Every backend that is present sees the same as every other, and what geometry says it must see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh

from crosspoint.renderers import Cameras, Fragments, load_mesh, normalize, orbit, sample_surface, sphere
from crosspoint.renderers.fragments import Tracer
from crosspoint.renderers.rendering import open_backend

MESHES = ["sphere", "box", "open", "non-manifold"]
REAL = ["chess/train/chess_0001", "bicycle/train/bicycle_0003", "car/train/car_0003"]


def tracer(backend: str, mesh: trimesh.Trimesh) -> Tracer:
    try:
        return open_backend(backend)(mesh)
    except ImportError as error:
        pytest.skip(str(error))


def on_cpu(fragments: Fragments) -> Fragments:
    return Fragments(fragments.face.cpu(), fragments.barycentric.cpu(), fragments.depth.cpu())


def compare(first: Fragments, second: Fragments) -> None:
    both = first.mask & second.mask
    union = (first.mask | second.mask).sum(dim=(1, 2))
    assert bool((both.sum(dim=(1, 2)) / union >= 0.99).all())
    # A ray through the very edge of a near face may see the one behind it: those are the thousandth part left out.
    difference = (first.depth - second.depth)[both].abs()
    assert (difference < 1e-3).float().mean() > 0.999


def agrees_with_geometry(trace: Tracer, mesh: trimesh.Trimesh, cameras: Cameras) -> None:
    fragments = on_cpu(trace(cameras))
    corners = torch.from_numpy(np.array(mesh.triangles))
    rows, columns = torch.meshgrid(*(torch.arange(side) + 0.5 for side in cameras.size), indexing="ij")
    for view in range(len(cameras)):
        seen = fragments.mask[view]
        weights = fragments.barycentric[view][seen].double()
        points = (weights[..., None] * corners[fragments.face[view][seen].long()]).sum(dim=1)
        pixels, depth = cameras[view].project(points)
        expected = torch.stack([columns[seen], rows[seen]], dim=1).double()
        assert (pixels[0] - expected).abs().max() < 0.02
        assert (depth[0] - fragments.depth[view][seen]).abs().max() < 1e-3


def samples_land_on_their_faces(trace: Tracer, mesh: trimesh.Trimesh, camera: Cameras, count: int = 60) -> None:
    """Aim one camera of a single pixel at each sample: what it sees is the sample's face, or something nearer."""
    surface = sample_surface(mesh, count, seed=3)
    pixels, depth = camera.project(torch.from_numpy(surface.points))
    K = camera.K.repeat(count, 1, 1)
    K[:, :2, 2] += 0.5 - pixels[0]
    found = on_cpu(trace(Cameras(K, camera.R.expand(count, 3, 3), camera.t.expand(count, 3), (1, 1))))
    gap = depth[0] - found.depth[:, 0, 0]
    assert gap.min() > -1e-3  # never through the surface
    visible = gap.abs() < 1e-4
    assert visible.sum() > count / 10
    own = found.face[:, 0, 0] == torch.from_numpy(surface.faces)
    assert own[visible].float().mean() > 0.95  # the rest lies on faces that overlap, or on an edge


@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("backend", ["raycast", "pytorch3d"])
def test_backends_agree_with_brute_force(backend: str, name: str, meshes: dict, brute_force: type) -> None:
    mesh = meshes[name]
    cameras = orbit(2, (44, 60), seed=0)
    compare(on_cpu(tracer(backend, mesh)(cameras)), brute_force(mesh)(cameras))


@pytest.mark.parametrize("name", MESHES)
@pytest.mark.parametrize("backend", ["raycast", "pytorch3d"])
def test_fragments_agree_with_geometry(backend: str, name: str, meshes: dict) -> None:
    mesh = meshes[name]
    trace = tracer(backend, mesh)
    agrees_with_geometry(trace, mesh, sphere(3, (30, 40)))
    samples_land_on_their_faces(trace, mesh, sphere(5, 64)[1])


@pytest.mark.parametrize("name", REAL)
def test_real_meshes_agree_on_all_backends(name: str, objects40: Path, brute_force: type) -> None:
    mesh = normalize(load_mesh(objects40 / f"{name}.off"), "z")
    mesh.merge_vertices()
    mesh.update_faces(mesh.unique_faces())  # of two faces in one place a ray may report either
    cameras = orbit(2, 96, seed=0)
    trace = tracer("raycast", mesh)
    agrees_with_geometry(trace, mesh, cameras)
    samples_land_on_their_faces(trace, mesh, cameras[0])
    try:
        other = open_backend("pytorch3d")(mesh)
    except ImportError:
        small = orbit(1, 40, seed=1)
        compare(trace(small), brute_force(mesh)(small))
        return
    compare(trace(cameras), on_cpu(other(cameras)))
    agrees_with_geometry(other, mesh, cameras)
    samples_land_on_their_faces(other, mesh, cameras[0])
