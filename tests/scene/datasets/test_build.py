from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_rig
from crosspoint.scene.datasets.validate import check_scenes
from tests.scene.frames import made_frame

AHEAD = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=torch.float64)
K = torch.tensor([[40.0, 0, 32], [0, 40, 24], [0, 0, 1]], dtype=torch.float64)


def rig(*degrees: float) -> Cameras:
    """Cameras around z, from ahead to the left."""
    turns = []
    for angle in np.radians(degrees):
        c, s = np.cos(angle), np.sin(angle)
        turns.append(AHEAD @ torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]]))
    return Cameras(K.repeat(len(degrees), 1, 1), torch.stack(turns), torch.zeros(len(degrees), 3), (48, 64))


def write(root: Path, cameras: Cameras, count: int = 3) -> Path:
    """Frames that see a wall ahead."""
    y, z = np.meshgrid(np.linspace(-2, 2, 9), np.linspace(-1, 1, 9))
    points = np.stack([np.full(81, 9.0), y.ravel(), z.ravel(), np.zeros(81)], axis=1).astype(np.float32)
    write_rig(root, cameras)
    for number in range(count):
        images = torch.full((len(cameras), 3, 48, 64), number, dtype=torch.uint8)
        write_frame(root, made_frame(f"{number}", points, images, cameras))
    return root


def test_datasets_are_opened_by_name(tmp_path: Path) -> None:
    write(tmp_path, rig(0))
    dataset = open_scenes("folder", tmp_path, skip=2)
    assert isinstance(dataset, FolderScenes)
    assert len(dataset) == 2
    with pytest.raises(
        ValueError, match=r"found the dataset 'semantic_kitti', expected one of .*did you mean semantickitti"
    ):
        open_scenes("semantic_kitti", tmp_path)
    with pytest.raises(ValueError, match=r"found the option 'splitt' of folder, expected .* \(did you mean split\?\)"):
        open_scenes("folder", tmp_path, splitt="train")
    with pytest.raises(ValueError, match=r"found the root None for folder, expected a folder"):
        open_scenes("folder")
    for name in ("folder", "kitti_object", "kitti_raw", "nuscenes", "rellis3d", "semantickitti"):
        with pytest.raises(FileNotFoundError, match=r"^found no [^\n]+, expected [^\n]+$"):
            open_scenes(name, tmp_path / "nowhere")


def test_the_synthetic_world_has_no_folder(tmp_path: Path) -> None:
    dataset = open_scenes("synthetic", split="val", sequences=2, frames=3)
    assert (len(dataset), dataset.name) == (6, "synthetic val")
    with pytest.raises(ValueError, match=r"found the root .* for synthetic, expected none"):
        open_scenes("synthetic", tmp_path)


def test_a_good_dataset_passes(tmp_path: Path) -> None:
    check_scenes(FolderScenes(write(tmp_path, rig(0, 10))))


def test_missing_files_are_named_at_once(tmp_path: Path) -> None:
    dataset = FolderScenes(write(tmp_path, rig(0), count=12))
    for number in (1, 5, 6):
        (tmp_path / "images" / "camera_0" / f"{number}.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"found no file .*/1.png; .*/5.png; .*/6.png, expected all 12 frames"):
        check_scenes(dataset, frames=0)
    for number in range(12):
        (tmp_path / "points" / f"{number}.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"; and 10 more, expected"):
        check_scenes(dataset)


def test_images_without_a_point_are_named(tmp_path: Path) -> None:
    dataset = FolderScenes(write(tmp_path, rig(0, 90, 10, 180), count=2))
    with pytest.raises(
        ValueError, match=r"found no point in image 1, 3 of 4 of 0, expected .*; found .* of 4 of 1"
    ) as error:
        check_scenes(dataset)
    assert "\n" not in str(error.value)
    check_scenes(dataset, pairs=False)
    check_scenes(dataset, frames=0)


def test_a_calibration_that_projects_nothing_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found none of 81 points of 0 in its 1 images.*check the calibration"):
        check_scenes(FolderScenes(write(tmp_path, rig(180))))


def test_frames_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    dataset = FolderScenes(write(tmp_path, rig(0), count=9))
    (tmp_path / "points" / "4.bin").write_bytes(b"12345")
    with pytest.raises(ValueError, match=r"found 5 bytes in .*4.bin"):
        check_scenes(dataset, frames=3)  # the first, the middle and the last
    check_scenes(dataset, frames=2)
    with pytest.raises(ValueError, match=r"4.bin"):
        check_scenes(dataset, frames=None)


class Memory(LidarDataset):
    """Frames that no file holds."""

    def __init__(self, frames: list[LidarSample]) -> None:
        self.name = "memory"
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> LidarSample:
        return self.frames[index]


def test_datasets_without_files_are_checked_too(tmp_path: Path) -> None:
    good = FolderScenes(write(tmp_path, rig(0)))[0]
    check_scenes(Memory([good]))
    with pytest.raises(ValueError, match=r"found no frame in memory, expected at least one"):
        check_scenes(Memory([]))
    blind = good.keep_views(torch.zeros(0, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"memory: found no image in 0, expected at least one: pre-training"):
        check_scenes(Memory([blind]))
