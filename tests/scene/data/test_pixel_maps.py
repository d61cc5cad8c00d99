from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.pixel_maps import PixelMaps, map_path, read_map
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.validate import check_scenes

SIZE = (6, 9)
CLASSES = ["road", "car", "sky"]


def write_folder(folder: Path, maps: dict[str, np.ndarray], classes: list[str] | None = None) -> Path:
    folder.mkdir(exist_ok=True)
    for name, numbers in maps.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers).save(folder / name)
    if classes is not None:
        manifest = {"format": 1, "kind": "semantic", "classes": classes}
        (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def numbers(seed: int, top: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, top + 1, SIZE).astype(dtype)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def written_by_hand(path: Path, values: np.ndarray, depth: int) -> None:
    """A grayscale PNG of 4, 8 or 16 bits, from the specification (https://www.w3.org/TR/png-3)."""
    height, width = values.shape
    if depth == 4:
        wide = np.pad(values, ((0, 0), (0, width % 2)))
        rows = (wide[:, ::2] << 4 | wide[:, 1::2]).astype(">u1")
    else:
        rows = values.astype(f">u{depth // 8}")
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    head = struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    path.write_bytes(signature + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


class Mine(LidarDataset):
    """Two frames of two images, as a user's dataset."""

    def __init__(self, root: Path, weak_labels: Path | None = None, superpixels: Path | None = None) -> None:
        self.name, self.root = "mine", root
        self.open_maps(root, weak_labels, superpixels)

    def __len__(self) -> int:
        return 2

    def image_files(self, index: int) -> list[Path]:
        return [self.root / camera / f"{index}.v2.jpg" for camera in ("left", "right")]

    def __getitem__(self, index: int) -> LidarSample:
        images = torch.zeros((2, 3, *SIZE), dtype=torch.uint8)
        return self.with_maps(LidarSample(f"frame {index}", torch.ones(1, 3), images=images), index)


@pytest.fixture
def mine(tmp_path: Path) -> Mine:
    names = [f"{camera}/{index}.v2" for index in range(2) for camera in ("left", "right")]
    places = [f"{name}.png" for name in names]
    labels = write_folder(tmp_path / "labels", {p: numbers(i, 3) for i, p in enumerate(places)}, CLASSES)
    regions = write_folder(tmp_path / "regions", {p: numbers(9 + i, 999, np.uint16) for i, p in enumerate(places)})
    write_folder(tmp_path / "root", {f"{name}.jpg": np.zeros((*SIZE, 3), np.uint8) for name in names})
    return Mine(tmp_path / "root", labels, regions)


def test_frames_get_the_maps_that_mirror_their_images(mine: Mine) -> None:
    assert (mine.map_names, mine.weak_classes) == ({"weak_labels", "superpixels"}, CLASSES)
    check_scenes(mine, pairs=False)
    for index in range(2):
        maps = mine[index].pixel_maps
        expected = np.stack([numbers(2 * index + view, 3) for view in range(2)]).astype(np.int64)
        assert maps["weak_labels"].dtype == maps["superpixels"].dtype == torch.int64
        assert np.array_equal(maps["weak_labels"], expected)
        expected = np.stack([numbers(9 + 2 * index + view, 999, np.uint16) for view in range(2)]).astype(np.int64)
        assert np.array_equal(maps["superpixels"], expected - 1)


def test_nothing_is_added_where_nothing_is_asked_for(mine: Mine) -> None:
    plain = Mine(mine.root)
    assert (plain.map_names, plain.weak_classes, dict(plain[0].pixel_maps)) == (frozenset(), (), {})
    assert plain.files(0) == plain.image_files(0) and len(mine.files(0)) == 6
    regions = Mine(mine.root, superpixels=mine.root.parent / "regions")
    assert (regions.map_names, regions.weak_classes) == ({"superpixels"}, ())
    assert LidarDataset.map_names == frozenset() and len(LidarDataset.weak_classes) == 0


def test_missing_maps_are_found_before_training(mine: Mine) -> None:
    (mine.root.parent / "labels" / "right" / "1.v2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"found no file .*labels/right/1.v2.png, expected all 2 frames of"):
        check_scenes(mine, frames=0)
    with pytest.raises(FileNotFoundError, match=r"found no file .*right/1.v2.png, expected the map of an image: check"):
        mine[1]


def test_images_that_cannot_be_mirrored_are_refused(mine: Mine, tmp_path: Path) -> None:
    assert map_path("out", Path("data/./b/c.d.jpeg"), "data") == Path("out/b/c.d.png")
    elsewhere = Mine(mine.root, mine.root.parent / "labels")
    elsewhere.root = tmp_path / "other"
    with pytest.raises(ValueError, match=r"found the image .*other/left/0.v2.jpg outside of .*root, expected it"):
        elsewhere[0]
    maps = PixelMaps(mine.root, mine.root.parent / "labels")
    with pytest.raises(ValueError, match=r"found 1 image files of frame 0 with 2 images, expected one for each"):
        maps.add_to(mine[0], mine.image_files(0)[:1])
    with pytest.raises(ValueError, match=r"found 0 image files of a cloud with 0 images.*to find weak_labels"):
        maps.add_to(LidarSample("a cloud", torch.ones(1, 3)), [])


def test_folders_without_a_table_of_classes_are_refused(mine: Mine, tmp_path: Path) -> None:
    labels = mine.root.parent / "labels"
    with pytest.raises(FileNotFoundError, match=r"found no folder .*nowhere, expected superpixels"):
        Mine(mine.root, superpixels=tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match=r"found no .*regions/manifest.json, expected"):
        Mine(mine.root, mine.root.parent / "regions")
    (labels / "manifest.json").write_text('{"format": 1, "kind": "regions", "classes": []}')
    with pytest.raises(ValueError, match=r"found maps of regions in .*labels, expected semantic ones"):
        Mine(mine.root, labels)


def test_a_number_without_a_class_is_refused(mine: Mine) -> None:
    wrong = numbers(0, 3)
    wrong[2, 5] = 4
    write_folder(mine.root.parent / "labels", {"right/0.v2.png": wrong})
    with pytest.raises(ValueError, match=r"found the number 4 in .*labels/right/0.v2.png, expected at most 3, the"):
        mine[0]


@pytest.mark.parametrize("depth", [8, 16])
def test_numbers_are_read_as_the_specification_writes_them(tmp_path: Path, depth: int) -> None:
    values = np.random.default_rng(depth).integers(0, 2**depth, SIZE)
    values[0, :2] = 0, 2**depth - 1
    written_by_hand(tmp_path / "a.png", values, depth)
    read = read_map(tmp_path / "a.png", SIZE)
    assert read.dtype == torch.int64 and np.array_equal(read, values)
    Image.fromarray(values.astype(f"u{depth // 8}")).save(tmp_path / "b.png")
    assert np.array_equal(read_map(tmp_path / "b.png", SIZE), values)


def test_files_that_hold_no_numbers_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    color = Image.fromarray(np.zeros((*SIZE, 3), np.uint8))
    expected = r"in .*a.png, expected a grayscale one of 8 or 16 bits: "
    for image, found in (
        (color, "a color PNG of 8 bits"),
        (color.convert("RGBA"), "a color with alpha PNG of 8 bits"),
        (color.convert("LA"), "a grayscale with alpha PNG of 8 bits"),
        (color.convert("1"), "a grayscale PNG of 1 bits"),
    ):
        image.save(path)
        with pytest.raises(ValueError, match=f"found {found} {expected}save the numbers so$"):
            read_map(path, SIZE)
    color.convert("P").save(path)
    with pytest.raises(ValueError, match=rf"found a palette PNG of \d bits {expected}if the places in its palette"):
        read_map(path, SIZE)
    written_by_hand(path, np.arange(12).reshape(3, 4), 4)  # Pillow would give 17 for 1
    with pytest.raises(ValueError, match=f"found a grayscale PNG of 4 bits {expected}"):
        read_map(path, (3, 4))
    for found in (b"", b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(found)
        with pytest.raises(ValueError, match=f"found no PNG {expected}"):
            read_map(path, SIZE)
    color.save(path, format="JPEG")
    with pytest.raises(ValueError, match=f"found no PNG {expected}"):
        read_map(path, SIZE)


def test_damaged_maps_and_those_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(numbers(0, 3)).save(path)
    with pytest.raises(ValueError, match=r"found a map of 6×9 pixels, .*a.png, expected 9×6 as its image"):
        read_map(path, (9, 6))
    path.write_bytes(path.read_bytes()[:45])
    with pytest.raises(ValueError, match=r"found a map that cannot be read, .*a.png \(.*\), expected a whole one"):
        read_map(path, SIZE)
