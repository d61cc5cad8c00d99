"""Eigen's lists and KITTI's annotated depth, on small drives made here."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.scene.data.sparse_depth import DEPTH, sparse_depth, with_depth
from crosspoint.scene.datasets.kitti_depth import KittiDepth, ListedImage, read_depth, read_list
from crosspoint.scene.datasets.kitti_raw import KittiRaw
from crosspoint.scene.datasets.validate import check_scenes
from tests.scene.datasets.test_kitti_raw import write_drive

DRIVES = ("2011_09_26_drive_0001_sync", "2011_09_26_drive_0002_sync")
SIZE = (60, 100)


def truth(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """Steps of depth, 0 at most pixels."""
    rng = np.random.default_rng(seed)
    return (rng.integers(300, 20000, size) * (rng.random(size) < 0.2)).astype(np.uint16)


def write_depth(root: Path, part: str, drive: str, number: int, steps: np.ndarray, camera: str = "image_02") -> Path:
    path = root / part / drive / "proj_depth" / "groundtruth" / camera / f"{number:010}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(steps).save(path)
    return path


def long(drive: str, number: int, depth: bool = True, camera: str = "image_02") -> str:
    place = f"{drive}/proj_depth/groundtruth/{camera}/{number:010}.png" if depth else "None"
    return f"2011_09_26/{drive}/{camera}/data/{number:010}.png {place} 721.5377"


@pytest.fixture
def kitti(tmp_path: Path) -> Path:
    """Two drives with depth of images 1 and 2 of one, and of image 1 of the other's right camera."""
    for drive in DRIVES:
        write_drive(tmp_path / "raw", drive)
    for number in (1, 2):
        write_depth(tmp_path / "depth", "train", DRIVES[0], number, truth(number))
    write_depth(tmp_path / "depth", "val", DRIVES[1], 1, truth(7), "image_03")
    lines = [
        long(DRIVES[0], 0, depth=False),
        long(DRIVES[0], 1),
        long(DRIVES[0], 2),
        long(DRIVES[1], 1, True, "image_03"),
    ]
    (tmp_path / "train.txt").write_text("\n".join(lines) + "\n")
    short = [f"2011_09_26/{DRIVES[0]} {number} l" for number in range(3)] + [f"2011_09_26/{DRIVES[1]} 0000000001 r"]
    (tmp_path / "val.txt").write_text("\n".join(short))
    return tmp_path


def opened(kitti: Path, split: str = "train", **options: object) -> KittiDepth:
    given = {"train_list": kitti / "train.txt", "val_list": kitti / "val.txt", "depth": kitti / "depth", **options}
    return KittiDepth(kitti / "raw", split, **given)


@pytest.mark.parametrize("split", ["train", "val"])
def test_both_forms_of_a_list_name_the_same_images(kitti: Path, split: str) -> None:
    frames = opened(kitti, split)
    check_scenes(frames, pairs=False)
    assert [frame.name for frame in frames] == [
        f"{DRIVES[0]}/image_02/0000000001",
        f"{DRIVES[0]}/image_02/0000000002",
        f"{DRIVES[1]}/image_03/0000000001",
    ]
    for frame, seed in zip(frames, (1, 2, 7), strict=True):
        assert with_depth(frame) is frame
        np.testing.assert_array_equal(frame.pixel_maps[DEPTH][0].numpy(), truth(seed).astype(np.float32) / 256)


def test_without_annotated_depth_the_sweep_is_projected(kitti: Path) -> None:
    frames = opened(kitti, depth=None)
    assert len(frames) == 4
    raw = KittiRaw(kitti / "raw", drives=[DRIVES[1]], cameras=["image_03"])
    depth = with_depth(frames[3]).pixel_maps[DEPTH]
    assert torch.equal(depth, sparse_depth(raw[1])) and (depth > 0).any()
    assert frames.files(3)[1].name == "0000000001.bin"


def test_lists_are_thinned_in_their_order(kitti: Path) -> None:
    assert [frame.name[-1] for frame in opened(kitti, skip=2)] == ["1", "1"]


def test_images_whose_files_are_missing_are_left_out_where_that_is_asked(
    kitti: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (kitti / "raw" / "2011_09_26" / DRIVES[0] / "image_02" / "data" / "0000000002.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"found no file .*0000000002"):
        check_scenes(opened(kitti), pairs=False)
    with caplog.at_level(logging.WARNING, logger="crosspoint"):
        assert len(opened(kitti, skip_incomplete=True)) == 2
    assert "left out 1 of 3 frames" in caplog.text


def test_a_list_of_drives_that_are_missing(kitti: Path) -> None:
    (kitti / "train.txt").write_text(long("2011_09_26_drive_0009_sync", 1) + "\n" + long(DRIVES[0], 1))
    with pytest.raises(FileNotFoundError, match=r"found no folder of 1 of 2 drives .*drive_0009_sync, expected all"):
        opened(kitti)
    assert len(opened(kitti, skip_incomplete=True)) == 1


def test_depth_of_another_size_or_kind(kitti: Path) -> None:
    write_depth(kitti / "depth", "train", DRIVES[0], 1, truth(1, (30, 100)))
    with pytest.raises(ValueError, match=r"found a map of 30×100 pixels, .*0000000001.png, expected 60×100"):
        opened(kitti)[0]
    bytes_ = write_depth(kitti / "depth", "train", DRIVES[0], 1, (truth(1) // 100).astype(np.uint8))
    with pytest.raises(ValueError, match=r"found no depth beyond .* expected some: depth maps have 16 bits"):
        opened(kitti)[0]
    assert not read_depth(write_depth(kitti, "", "none", 1, np.zeros(SIZE, np.uint16)), SIZE).any()
    bytes_.write_bytes(b"no PNG")
    with pytest.raises(ValueError, match="found no PNG in"):
        opened(kitti)[0]


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({"train_list": None}, FileNotFoundError, "found no list of the split 'train', expected .* `train_list`"),
        ({"split": "test"}, ValueError, "found the split 'test', expected one of: train, val"),
        ({"depth": "nowhere"}, FileNotFoundError, "found no folder nowhere, expected KITTI's annotated depth"),
        ({"train_list": "nowhere.txt"}, FileNotFoundError, "nowhere.txt"),
    ],
)
def test_arguments_that_are_wrong(kitti: Path, change: dict, error: type[Exception], told: str) -> None:
    with pytest.raises(error, match=told):
        opened(kitti, **change)


def test_a_folder_without_any_of_the_depth(kitti: Path) -> None:
    (kitti / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"found annotated depth of none of 4 images in .*empty, expected some"):
        opened(kitti, "val", depth=kitti / "empty")


def test_lines_that_name_no_image(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text(f"2011_09_26/{DRIVES[0]} 12 r\n\n")
    assert read_list(path) == [ListedImage("2011_09_26", DRIVES[0], "image_03", "0000000012", None)]
    for line in (
        "../../etc/passwd",
        f"2011_09_28/{DRIVES[0]} 12 r",
        f"2011_09_26/{DRIVES[0]} 12 x",
        "rgb_00.jpg None 5",
    ):
        path.write_text(f"2011_09_26/{DRIVES[0]} 12 r\n{line}\n")
        with pytest.raises(ValueError, match=r"found .* in line 2 of .*list.txt, expected the path of an image"):
            read_list(path)
    path.write_text("\n")
    with pytest.raises(ValueError, match="found no line in"):
        read_list(path)
