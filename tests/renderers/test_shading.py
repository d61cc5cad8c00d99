from __future__ import annotations

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual.material import MultiMaterial, PBRMaterial, SimpleMaterial
from trimesh.visual.texture import TextureVisuals

from crosspoint.renderers import Cameras, Style, look_at, render
from crosspoint.renderers.appearance import Appearance
from crosspoint.renderers.shading import composite

FLAT = {"ambient": 1.0, "diffuse": 0.0, "specular": 0.0}  # the surface's own color and nothing else


def facing_camera(size: int, distance: float = 4.0) -> Cameras:
    """A camera on the z axis whose frame is the square [-1, 1]² of the plane z = 0."""
    R, t = look_at(torch.tensor([[0.0, 0.0, distance]]))
    focal = distance * size / 2
    K = torch.tensor([[[focal, 0, size / 2], [0, focal, size / 2], [0, 0, 1]]])
    return Cameras(K, R, t, (size, size))


def quad(visual: TextureVisuals | None = None) -> trimesh.Trimesh:
    vertices = [[-1, -1, 0], [1, -1, 0], [1, 1, 0], [-1, 1, 0]]
    return trimesh.Trimesh(vertices, [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)


UV = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])


@pytest.mark.parametrize("material", [SimpleMaterial, PBRMaterial])
def test_a_quad_that_fills_the_frame_shows_its_texture(material: type) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (12, 12, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    skin = SimpleMaterial(image=image) if material is SimpleMaterial else PBRMaterial(baseColorTexture=image)
    style = Style(**FLAT, supersample=1)
    shown = render(quad(TextureVisuals(uv=UV, material=skin)), facing_camera(12), style=style).images
    assert np.abs(shown[0].permute(1, 2, 0).numpy().astype(int) - pixels).max() <= 1


def test_textures_are_bilinear_and_repeat() -> None:
    pixels = np.zeros((1, 4, 3), dtype=np.uint8)
    pixels[0, :, 0] = [0, 80, 160, 240]
    skin = TextureVisuals(uv=UV * [2.0, 1.0], image=Image.fromarray(pixels))
    row = render(quad(skin), facing_camera(16), style=Style(**FLAT, supersample=1)).images[0, 0, 8].numpy().astype(int)
    # Texture coordinates of the pixel centers, interpolated over the four texels and round the corner by hand.
    x = (np.arange(16) + 0.5) / 16 * 2 * 4 - 0.5
    left = np.floor(x).astype(int)
    expected = pixels[0, left % 4, 0] * (1 - (x - left)) + pixels[0, (left + 1) % 4, 0] * (x - left)
    assert np.abs(row - expected).max() <= 1


def test_materials_of_faces_and_their_colors() -> None:
    red, plain = SimpleMaterial(diffuse=[255, 0, 0, 255]), SimpleMaterial()
    visual = TextureVisuals(uv=UV, material=MultiMaterial([red, plain]), face_materials=np.array([0, 1]))
    image = render(quad(visual), facing_camera(8), style=Style(**FLAT, supersample=1, gray=0.4)).images[0]
    assert image[:, 6, 6 - 1 + 2].tolist() == [255, 0, 0]  # below the diagonal
    assert image[:, 1, 0].tolist() == [102, 102, 102]


def test_a_factor_multiplies_the_texture_of_a_pbr_material() -> None:
    skin = PBRMaterial(
        baseColorTexture=Image.fromarray(np.full((2, 2, 3), 200, np.uint8)), baseColorFactor=[255, 51, 0, 255]
    )
    image = render(quad(TextureVisuals(uv=UV, material=skin)), facing_camera(4), style=Style(**FLAT)).images[0]
    assert image[:, 2, 2].tolist() == [200, 40, 0]


def test_vertex_colors_are_interpolated_and_face_colors_are_not() -> None:
    mesh = quad()
    mesh.visual.vertex_colors = [[0, 0, 0, 255], [200, 0, 0, 255], [200, 0, 0, 255], [0, 0, 0, 255]]
    row = render(mesh, facing_camera(10), style=Style(**FLAT, supersample=1)).images[0, 0, 5].numpy()
    np.testing.assert_allclose(row, 200 * (np.arange(10) + 0.5) / 10, atol=1)
    mesh = quad()
    mesh.visual.face_colors = [[10, 20, 30, 255], [200, 100, 0, 255]]
    image = render(mesh, facing_camera(10), style=Style(**FLAT, supersample=1)).images[0]
    assert image[:, 9, 5].tolist() == [10, 20, 30] and image[:, 0, 5].tolist() == [200, 100, 0]


def test_without_any_color_there_is_none_to_sample() -> None:
    weights = np.full((2, 3), 1 / 3)
    assert Appearance.of(quad()).sampled_colors(np.array([0, 1]), weights) is None
    assert Appearance.of(quad(TextureVisuals(uv=UV, material=SimpleMaterial()))).tint is None


def test_phong_on_a_plane_follows_its_closed_form() -> None:
    style = Style(supersample=1, ambient=0.2, diffuse=0.5, specular=0.3, shininess=7.0, light=(0.5, -0.25), gray=0.6)
    camera = facing_camera(9)
    shown = render(quad(), camera, style=style).images[0, 0].numpy() / 255
    axis = (np.arange(9) + 0.5) / 9 * 2 - 1
    points = np.stack([*np.meshgrid(axis, -axis), np.zeros((9, 9))], axis=-1)
    eye, light = np.array([0, 0, 4.0]), np.array([4 * 0.5, -4 * 0.25, 4.0])
    unit = lambda v: v / np.linalg.norm(v, axis=-1, keepdims=True)  # noqa: E731
    e, l, n = unit(eye - points), unit(light - points), np.array([0, 0, 1.0])  # noqa: E741
    r = 2 * (l @ n)[..., None] * n - l
    expected = 0.6 * (0.2 + 0.5 * (l @ n)) + 0.3 * np.clip((r * e).sum(-1), 0, None) ** 7
    np.testing.assert_allclose(shown, expected, atol=0.6 / 255)


@pytest.mark.parametrize("smooth", [True, False])
def test_both_sides_of_a_surface_look_the_same(smooth: bool) -> None:
    front = quad()
    back = trimesh.Trimesh(front.vertices, front.faces[:, ::-1], process=False)
    images = [render(mesh, facing_camera(16), style=Style(smooth=smooth)).images for mesh in (front, back)]
    assert torch.equal(*images)


def test_smooth_shading_of_a_coarse_ball_is_nearer_to_that_of_a_fine_one() -> None:
    coarse, fine = trimesh.creation.icosphere(2, radius=0.8), trimesh.creation.icosphere(5, radius=0.8)
    camera, inner = facing_camera(48), (slice(None), slice(12, 36), slice(12, 36))
    truth = render(fine, camera, style=Style(smooth=True)).images[0][inner].float()
    smooth, facets = (render(coarse, camera, style=Style(smooth=s)).images[0][inner].float() for s in (True, False))
    assert (smooth - truth).abs().mean() < 0.3 * (facets - truth).abs().mean()


def test_composite_lays_on_white_or_keeps_straight_alpha() -> None:
    canvas = torch.tensor([[[0.25, 0.0, 0.1, 0.5], [0.0, 0.0, 0.0, 0.0], [0.2, 0.4, 0.6, 1.0]]])
    assert composite(canvas, "white")[0].tolist() == [[191, 128, 153], [255, 255, 255], [51, 102, 153]]
    assert composite(canvas, "transparent")[0].tolist() == [[128, 0, 51, 128], [0, 0, 0, 0], [51, 102, 153, 255]]


def test_styles_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="background 'black'"):
        Style(background="black")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="supersample 0"):
        Style(supersample=0)
