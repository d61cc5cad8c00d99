"""SemanticKITTI (Behley et al. 2019, https://arxiv.org/abs/1904.01416): KITTI's odometry sweeps, every return labeled.

    <root>/sequences/00/velodyne/000000.bin
    <root>/sequences/00/labels/000000.label       not of the test sequences
    <root>/sequences/00/calib.txt                 where images or poses are used
    <root>/sequences/00/poses.txt                 where poses are used
    <root>/sequences/00/image_2/000000.png        optional: KITTI odometry's color images, a separate download

Sweeps are float32 rows x y z remission, the remission in [0, 1]. A label is a uint32: the class in the lower 16 bits,
the object's number in the upper 16, unique within its class.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from crosspoint.scene.data.calibration import invert, lidar_cameras, rigid
from crosspoint.scene.data.sample import IGNORED, SceneFrame
from crosspoint.scene.datasets.kitti_calibration import KittiCalibration
from crosspoint.scene.datasets.readers import (
    find_sweeps,
    read_images,
    read_labels,
    read_lines,
    read_sweep,
    subsample,
    to_classes,
)

SPLITS = {
    "train": ("00", "01", "02", "03", "04", "05", "06", "07", "09", "10"),
    "val": ("08",),
    "test": tuple(f"{number}" for number in range(11, 22)),
}
CLASSES = (
    "car", "bicycle", "motorcycle", "truck", "other-vehicle", "person", "bicyclist", "motorcyclist", "road", "parking",
    "sidewalk", "other-ground", "building", "fence", "vegetation", "trunk", "terrain", "pole", "traffic-sign",
)  # fmt: skip

# Which labels make up a class, moving objects with those that stand: `learning_map` of
# https://github.com/PRBonn/semantic-kitti-api, config/semantic-kitti.yaml
_LABELS = {
    "car": (10, 252), "bicycle": (11,), "motorcycle": (15,), "truck": (18, 258),
    "other-vehicle": (13, 16, 20, 256, 257, 259),  # bus, on rails
    "person": (30, 254), "bicyclist": (31, 253), "motorcyclist": (32, 255),
    "road": (40, 60),  # and lane markings
    "parking": (44,), "sidewalk": (48,), "other-ground": (49,), "building": (50,), "fence": (51,), "vegetation": (70,),
    "trunk": (71,), "terrain": (72,), "pole": (80,), "traffic-sign": (81,),
}  # fmt: skip
_IGNORED = (0, 1, 52, 99)  # unlabeled, outlier, other structure, other object
CLASS_OF_LABEL = {label: place for place, name in enumerate(CLASSES) for label in _LABELS[name]}
CLASS_OF_LABEL |= dict.fromkeys(_IGNORED, IGNORED)


class SemanticKitti:
    """Sweeps of SemanticKITTI with 19 classes, and the left color image where it is there.

    Args:
        root: the folder of `sequences`.
        split: "train" (sequences 00–07, 09, 10), "val" (08) or "test" (11–21, without labels).
        skip: every how manieth sweep of the split is kept: 100 for the 1 % of the customary protocol.
        sequences: these instead of the split's, such as ["00"].
        images: whether frames come with image_2; None for where all sequences have it. Without, they have no view.

    Raises:
        FileNotFoundError: if a sequence has no sweeps, or no image_2 though images are asked for.
        ValueError: if the split is unknown, or a calibration broken.
    """

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        skip: int = 1,
        sequences: Sequence[str] | None = None,
        images: bool | None = None,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"found the split {split!r}, expected one of: {', '.join(SPLITS)}")
        self.name = f"semantickitti ({split})"
        self.classes = list(CLASSES)
        folders = [Path(root) / "sequences" / name for name in (SPLITS[split] if sequences is None else sequences)]
        if not folders:
            raise ValueError("found no sequence, expected at least one")
        where = "the sweeps of a SemanticKITTI sequence: give the folder above `sequences`"
        sweeps = [path for folder in folders for path in find_sweeps(folder / "velodyne", where)]
        blind = [folder for folder in folders if not (folder / "image_2").is_dir()]
        if images and blind:
            raise FileNotFoundError(f"found no folder {blind[0] / 'image_2'}, expected KITTI odometry's color images")
        self._images = not blind if images is None else images
        self._labeled = split != "test"
        self._sweeps = subsample(sweeps, skip)
        self._rigs = {folder: _read_rig(folder) for folder in folders} if self._images else {}

    def __len__(self) -> int:
        return len(self._sweeps)

    def __getitem__(self, index: int) -> SceneFrame:
        path = self._sweeps[index]
        sweep, folder = read_sweep(path), path.parents[1]
        if self._images:
            rig, images = self._rigs[folder], read_images([_beside(path, "image_2", ".png")])
            cameras = lidar_cameras(rig.intrinsics, rig.from_lidar, (images.shape[2], images.shape[3]))
        else:
            images = torch.zeros((0, 3, 1, 1), dtype=torch.uint8)
            cameras = lidar_cameras(np.zeros((0, 3, 3)), np.zeros((0, 4, 4)), (1, 1))
        labels = instances = None
        if self._labeled:
            labels, instances = _read_labels(_beside(path, "labels", ".label"), sweep.kept)
        return SceneFrame(f"{folder.name}/{path.stem}", sweep.points, images, cameras, labels, instances)

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: sweep, image, labels."""
        path = self._sweeps[index]
        image = [_beside(path, "image_2", ".png")] * self._images
        return [path, *image, *[_beside(path, "labels", ".label")] * self._labeled]


def read_poses(sequence: str | Path) -> np.ndarray:
    """Where the LiDAR was at each sweep of a sequence.

    Args:
        sequence: its folder, such as <root>/sequences/00.

    Returns:
        (n, 4, 4) from the LiDAR's frame at each sweep to that at the first; poses.txt itself tells of the camera.

    Raises:
        FileNotFoundError: if poses.txt or calib.txt is not there.
        ValueError: if a line is not 12 numbers of a rigid transform.
    """
    path = Path(sequence) / "poses.txt"
    to_camera = KittiCalibration(Path(sequence) / "calib.txt").transform("Tr")
    poses = []
    for number, line in enumerate(read_lines(path, "the poses of a sequence, 12 numbers a line"), start=1):
        words = line.split()
        try:
            camera = np.array([float(word) for word in words]).reshape(3, 4)
            poses.append(invert(to_camera) @ rigid(camera[:, :3], camera[:, 3]) @ to_camera)
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return np.stack(poses) if poses else np.zeros((0, 4, 4))


class _Rig(NamedTuple):
    intrinsics: np.ndarray  # (1, 3, 3)
    from_lidar: np.ndarray  # (1, 4, 4)


def _read_rig(folder: Path) -> _Rig:
    # The odometry benchmark's Tr includes the rectification that KITTI's other parts keep apart.
    calibration = KittiCalibration(folder / "calib.txt")
    K, shift = calibration.camera("P2")
    return _Rig(K[None], (shift @ calibration.transform("Tr"))[None])


def _read_labels(path: Path, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Classes, and objects numbered from 1 within the frame: a file's numbers repeat from class to class."""
    raw = read_labels(path, kept)
    objects = raw >> 16 > 0
    instances = np.zeros(len(raw), dtype=np.int64)
    instances[objects] = np.unique(raw[objects], return_inverse=True)[1].reshape(-1) + 1
    return to_classes(raw & 0xFFFF, CLASS_OF_LABEL, path), instances


def _beside(sweep: Path, folder: str, suffix: str) -> Path:
    return sweep.parents[1] / folder / f"{sweep.stem}{suffix}"
