"""Textures and materials: found by other spellings, within the object's tree, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosspoint.renderers.appearance import rgb_image
from crosspoint.renderers.companions import Companions
from crosspoint.renderers.meshes import read_mesh, sample_surface
from crosspoint.renderers.wavefront import texture_of

SQUARE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0.25 0.5\nf 1/1 2/1 3/1\nf 1/1 3/1 4/1\n"


def model(path: Path, statement: str, library: str = "m.mtl", kd: str = "Kd 0 0 0") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"mtllib {library}\nusemtl skin\n{SQUARE}")
    (path.parent / "m.mtl").write_text(f"newmtl skin\n{kd}\n{statement}\n")
    return path


def red_then_blue(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.zeros((4, 4, 3), dtype=np.uint8)
    pixels[:, :2, 0], pixels[:, 2:, 2] = 255, 255
    Image.fromarray(pixels).save(path)


def color(path: Path, root: Path | None = None) -> list[int] | None:
    colors = sample_surface(read_mesh(path, root), 8).colors
    return None if colors is None else np.unique(colors, axis=0).squeeze().tolist()


@pytest.mark.parametrize(
    "statement",
    [
        "map_Kd Images/Skin.PNG",
        "map_Kd images\\skin.png",
        "map_kd ./images//skin.png",
        'map_Kd "images/skin.png"',
        "map_Kd C:\\Users\\me\\model\\images\\skin.png",
        "map_Kd /home/me/images/skin.png",
        "map_Kd -s 1 1 1 images/skin.png",
        "map_Kd -blendu on -o 0 0 0 -s 1.0 1.0 1.0 images/skin.png",
        "map_Kd skin.png",
        "\tmap_Kd\timages/skin.png",
    ],
)
def test_other_spellings_of_a_texture_are_found(tmp_path: Path, statement: str) -> None:
    path = model(tmp_path / "a.obj", statement)
    red_then_blue(tmp_path / "images" / "skin.png")
    assert color(path) == [255, 0, 0]


def test_scale_and_offset_of_a_texture_are_applied(tmp_path: Path) -> None:
    path = model(tmp_path / "a.obj", "map_Kd -o 0.5 0 -s 1 1 skin.png")
    red_then_blue(tmp_path / "skin.png")
    assert color(path) == [0, 0, 255]
    assert texture_of("-o 0.5 -mm 0 1 -clamp on my skin.png") == ("my skin.png", (1.0, 1.0), (0.5, 0.0))


@pytest.mark.parametrize("library", ["M.MTL", "gone.mtl m.mtl", "./m.mtl"])
def test_material_libraries_are_found_by_other_spellings(tmp_path: Path, library: str) -> None:
    assert color(model(tmp_path / "a.obj", "", library, kd="Kd 0 1 0")) == [0, 255, 0]


def test_published_layouts_keep_textures_beside_the_folder_of_the_mesh(tmp_path: Path) -> None:
    path = model(tmp_path / "02691156" / "1a" / "models" / "model_normalized.obj", "map_Kd ../images/skin.png")
    red_then_blue(tmp_path / "02691156" / "1a" / "images" / "skin.png")
    assert color(path) == color(path, tmp_path) == [255, 0, 0]
    scanned = model(tmp_path / "Shoe" / "meshes" / "model.obj", "map_Kd texture.png")
    red_then_blue(tmp_path / "Shoe" / "materials" / "textures" / "texture.png")
    assert color(scanned) == [255, 0, 0]


@pytest.mark.parametrize("kd", ["Kd 0 0 0", "Kd 0.0 0.0 0.0"])
def test_a_lost_texture_is_named_and_leaves_no_black(tmp_path: Path, kd: str) -> None:
    path = model(tmp_path / "a.obj", "map_Kd gone.jpg", kd=kd)
    assert color(path) is None and read_mesh(path).metadata["not_found"] == ["gone.jpg"]
    assert color(model(tmp_path / "b.obj", "map_Kd gone.jpg", kd="Kd 0 1 0")) == [0, 255, 0]
    red_then_blue(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:60])
    cut = model(tmp_path / "c.obj", "map_Kd cut.png")
    assert color(cut) is None and read_mesh(cut).metadata["not_found"] == ["cut.png"]


def test_nothing_is_read_outside_of_the_root(tmp_path: Path) -> None:
    red_then_blue(tmp_path / "secret.png")
    for statement in ("map_Kd ../secret.png", "map_Kd ../../set/../secret.png", f"map_Kd {tmp_path}/secret.png"):
        path = model(tmp_path / "set" / "chair" / "a.obj", statement)
        assert color(path, tmp_path / "set") is None and color(path) is None
    assert color(model(tmp_path / "set" / "a.obj", "map_Kd ../secret.png"), tmp_path) == [255, 0, 0]
    path = model(tmp_path / "set" / "b.obj", "map_Kd link.png")
    (tmp_path / "set" / "link.png").symlink_to(tmp_path / "secret.png")
    assert color(path, tmp_path / "set") is None
    (tmp_path / "set" / "within").symlink_to(tmp_path)
    assert color(model(tmp_path / "set" / "c.obj", "map_Kd within/secret.png"), tmp_path / "set") is None


def test_another_objects_texture_is_not_borrowed(tmp_path: Path) -> None:
    path = model(tmp_path / "a" / "a.obj", "map_Kd texture.png")
    model(tmp_path / "a" / "b" / "b.obj", "map_Kd texture.png")
    red_then_blue(tmp_path / "a" / "b" / "texture.png")
    assert Companions(path, tmp_path).find("texture.png") is None
    red_then_blue(tmp_path / "a" / "one" / "texture.png")
    assert Companions(path, tmp_path).find("texture.png") == tmp_path / "a" / "one" / "texture.png"
    red_then_blue(tmp_path / "a" / "two" / "texture.png")  # two of them: neither
    assert Companions(path, tmp_path).find("texture.png") is None


@pytest.mark.parametrize(
    ("pixels", "mode", "expected"),
    [
        (np.full((2, 2), 257 * 100, dtype=np.uint16), "I;16", 100),
        (np.full((2, 2), 257 * 100, dtype=np.int32), "I", 100),
        (np.full((2, 2), 0.5, dtype=np.float32), "F", 128),
        (np.full((2, 2), 100, dtype=np.uint8), "L", 100),
        (np.full((2, 2), True), "1", 255),
    ],
)
def test_wide_and_narrow_images_keep_their_content(pixels: np.ndarray, mode: str, expected: int) -> None:
    image = Image.fromarray(pixels)
    assert image.mode == mode
    assert (rgb_image(image) == expected).all()


@pytest.mark.parametrize("mode", ["P", "RGBA", "LA", "CMYK", "YCbCr", "L"])
def test_modes_of_eight_bits_are_read(mode: str) -> None:
    image = Image.fromarray(np.full((2, 2, 3), 102, dtype=np.uint8)).convert(mode, dither=Image.Dither.NONE)
    assert np.abs(rgb_image(image).astype(int) - 102).max() <= 2
