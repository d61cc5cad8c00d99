from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
import trimesh

from crosspoint.renderers import Style, normalize, orbit, render, ring


def test_refined_pixels_are_the_mean_of_their_samples_and_few() -> None:
    mesh, cameras = trimesh.creation.icosphere(4, radius=0.7), ring(1, 64)
    once = render(mesh, cameras, style=Style(supersample=1, background="transparent")).images.float()
    refined = render(mesh, cameras, style=Style(supersample=3, background="transparent")).images.float()
    # The oracle: a view of three times the size, without refinement, averaged over blocks of its alpha.
    fine = render(mesh, cameras.scaled(3), style=Style(supersample=1, background="transparent")).images[:, 3:].float()
    blocks = torch.nn.functional.avg_pool2d(fine, 3)
    torch.testing.assert_close(refined[:, 3:], blocks, rtol=0, atol=0.51)
    assert 0 < (refined != once).any(dim=1).float().mean() < 0.15


def test_refinement_brings_a_texture_nearer_to_many_samples(meshes: dict) -> None:
    mesh, cameras = meshes["box"], orbit(2, 48, seed=0)
    truth = torch.nn.functional.avg_pool2d(
        render(mesh, cameras.scaled(8), style=Style(supersample=1)).images.float(), 8
    )
    errors = [
        (render(mesh, cameras, style=Style(supersample=s)).images.float() - truth).abs().mean() for s in (1, 2, 4)
    ]
    assert errors[0] > 1.5 * errors[1] > 1.5 * 1.2 * errors[2]


def test_fragments_are_those_of_the_pixel_centres(meshes: dict, brute_force: type) -> None:
    mesh, cameras = meshes["box"], orbit(2, 32, seed=0)
    image, fragments = render(mesh, cameras)
    assert image.shape == (2, 3, 32, 32) and image.dtype == torch.uint8
    assert (fragments.face == brute_force(mesh)(cameras).face).float().mean() > 0.995
    assert bool((image.permute(0, 2, 3, 1)[~fragments.mask].float().mean(dim=1) > 0).all())


def test_an_object_out_of_sight_leaves_the_background() -> None:
    far = trimesh.creation.icosphere(1, radius=0.1)
    far.apply_translation([0, 50, 0])
    cameras = replace(ring(1, 16), framed=False)
    assert bool((render(far, cameras).images == 255).all())
    assert bool((render(far, cameras, style=Style(background="transparent")).images == 0).all())


@pytest.mark.parametrize(("scale", "shift"), [(1000.0, 0.0), (1.0, 5e5), (1e-3, 0.0), (1.0, 0.9)])
def test_orbits_show_a_mesh_of_any_units_as_if_normalized(scale: float, shift: float) -> None:
    mesh = trimesh.creation.box((1.0, 2.0, 1.5))
    mesh.apply_scale(scale)
    mesh.apply_translation([shift, 0, shift])
    cameras = orbit(2, 24, seed=1)
    seen = render(mesh, cameras)
    assert bool((seen.images == render(normalize(mesh), cameras).images).all())
    assert 0.1 < seen.fragments.mask.float().mean() < 0.6
    assert cameras[0].framed and cameras.scaled(2).framed


def test_an_unknown_backend_is_refused_by_the_names_of_the_known() -> None:
    with pytest.raises(ValueError, match="'blender', expected one of raycast, pytorch3d"):
        render(trimesh.creation.box(), ring(1, 8), backend="blender")


def test_a_missing_backend_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pytorch3d", "pytorch3d.renderer"):
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, "crosspoint.renderers.pytorch3d", raising=False)
    with pytest.raises(ImportError, match=r"INSTALL.md.*or use the backend raycast"):
        render(trimesh.creation.box(), ring(1, 8), backend="pytorch3d")
