from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import pytest

from crosspoint.scene.labels.frames import find_images, map_path

NAMES = (
    "2.png",
    "a/image_02/data/0.PNG",
    "a/image_03/data/0.jpg",
    "b/image_02/x.JPEG",
    "image_02/y.png",
    "c/_image_02.png",
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (*NAMES, "a/notes.txt", "a/image_02/timestamps.png.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    return tmp_path / "in"


def found(tree: Path, pattern: str = "**/*", out: str = "../out") -> list[str]:
    return [str(path) for path in find_images(tree, tree / out, pattern)]


def test_every_image_at_any_depth_in_sorted_order(tree: Path) -> None:
    assert found(tree) == sorted(NAMES, key=lambda name: PurePosixPath(name).parts)
    assert map_path(PurePosixPath("b/image_02/x.y.JPEG")) == PurePosixPath("b/image_02/x.y.png")


@pytest.mark.parametrize(
    ("pattern", "places"),
    [
        ("**/image_02/**", [1, 3, 4]),
        ("a/**", [1, 2]),
        ("*", [0]),
        ("*/*", [4, 5]),
        ("**/*.png", [0, 4, 5]),
        ("**/image_0?/data/*", [1, 2]),
        ("**", range(6)),
        ("**/data/**/0.*", [1, 2]),
        ("./a/**", [1, 2]),
    ],
)
def test_a_pattern_narrows_them(tree: Path, pattern: str, places: list[int]) -> None:
    assert set(found(tree, pattern)) == {NAMES[place] for place in places}


def test_what_lies_in_the_folder_of_the_maps_is_left_out(tree: Path) -> None:
    assert found(tree, out="a") == ["2.png", "b/image_02/x.JPEG", "c/_image_02.png", "image_02/y.png"]
    assert found(tree, out="a/image_02/../image_02") == found(tree, out="a/image_02")
    assert "a/image_03/data/0.jpg" in found(tree, out="a/image_02")


def test_links_to_folders_are_followed_but_not_in_circles(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "z.png").touch()
    os.symlink(tmp_path / "disk", tree / "linked")
    os.symlink(tree, tree / "a" / "circle")
    assert set(found(tree)) == {*NAMES, "linked/z.png"}


def test_two_images_with_one_map_are_an_error(tree: Path) -> None:
    (tree / "b/image_02/x.png").touch()
    with pytest.raises(
        ValueError, match=r"found b/image_02/x.JPEG and x.png in .*, expected .* both maps would be b/image_02/x.png"
    ):
        found(tree)
    assert len(found(tree, "a/**")) == 2  # what is not meant does no harm


def test_what_is_not_there(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no folder .*nowhere, expected one with the images"):
        find_images(tree / "nowhere", tree / "out")
    with pytest.raises(ValueError, match=r"found no image \*\*/image_09/\*\* in .*, expected files that end with .png"):
        found(tree, "**/image_09/**")
    with pytest.raises(ValueError, match=r"found the folder of the images, .*, for the maps"):
        found(tree, out="a/..")
