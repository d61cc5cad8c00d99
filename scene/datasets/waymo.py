"""Waymo Open Dataset (Sun et al. 2020, https://waymo.com/open): range images of the LiDAR on the roof, 22 classes.

    <root>/training/lidar/<segment>.parquet               and validation, as bucket waymo_open_dataset_v_2_0_1 has it
    <root>/training/lidar_pose/<segment>.parquet
    <root>/training/lidar_calibration/<segment>.parquet
    <root>/training/vehicle_pose/<segment>.parquet
    <root>/training/lidar_segmentation/<segment>.parquet  of the frames that are labeled, one in six or so

Version 2 of the perception dataset, read by pyarrow (pip install 'crosspoint3d[waymo]'); no TensorFlow, no package of
Waymo's. Only the roof's LiDAR, TOP, has labels. Its points, of both returns, have their origin at the sensor here and
the vehicle's axes: x forward, y left, z up. What the vehicle moved during a turn of the LiDAR is taken out. The
intensity has no upper end and is squashed by tanh, as is the elongation.

Images are left aside: they are distorted by their lenses and rolling shutters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from crosspoint.scene.data.calibration import invert, rigid
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.labeled_sweeps import classes_of
from crosspoint.scene.datasets.readers import subsample, to_classes
from crosspoint.scene.datasets.waymo_ranges import Calibration, range_points
from crosspoint.scene.datasets.waymo_tables import (
    list_frames,
    read_calibration,
    read_range_image,
    read_vehicle_pose,
)

SPLITS = {"train": "training", "val": "validation"}
# Number by number from 1, as in segmentation.proto; 0 is undefined
CLASSES = (
    "car", "truck", "bus", "other-vehicle", "motorcyclist", "bicyclist", "pedestrian", "sign", "traffic-light", "pole",
    "construction-cone", "bicycle", "motorcycle", "building", "vegetation", "tree-trunk", "curb", "road", "lane-marker",
    "other-ground", "walkable", "sidewalk",
)  # fmt: skip
CLASS_OF_LABEL = classes_of({name: (number,) for number, name in enumerate(CLASSES, start=1)}, (0,))

_LABELS = "lidar_segmentation"
_NEEDED = ("lidar", "lidar_pose", "lidar_calibration", "vehicle_pose")


class Waymo(LidarDataset):
    """The labeled frames of Waymo Open, or all.

    Args:
        root: the folder of `training` and `validation`.
        split: "train" or "val".
        skip: keep every skip-th frame, from the first on: 100 for 1 %. What the 1 % of papers are is not published.
        returns: 2 for both returns of a beam, 1 for the first alone.
        labels: whether points have classes, and frames are those that have labels; None for where lidar_segmentation is
            there. False takes all frames.
        skip_incomplete: leave out frames that lack a file, and say how many.

    Raises:
        FileNotFoundError: if there is no segment of the split.
        ImportError: if pyarrow is not installed.
        ValueError: if the split is unknown, a table broken, or an argument out of range.
    """

    splits = tuple(SPLITS)

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        skip: int = 1,
        returns: int = 2,
        *,
        labels: bool | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        if split not in SPLITS:
            raise ValueError(f"found the split {split!r}, expected one of: {', '.join(SPLITS)}")
        if returns not in (1, 2):
            raise ValueError(f"found returns {returns}, expected 1 or 2")
        self.name = f"waymo ({split})"
        self._returns = returns
        self._folder = Path(root) / SPLITS[split]
        self._labeled = (self._folder / _LABELS).is_dir() if labels is None else labels
        self.classes = list(CLASSES) if self._labeled else []
        listed = list_frames(self._folder / (_LABELS if self._labeled else "lidar"))
        self._frames = subsample([_Frame(*each) for each in listed], skip)
        if skip_incomplete:
            self.leave_out_incomplete()

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> LidarSample:
        frame = self._frames[index]
        lidar, pose, calibration, vehicle = (self._path(frame, table) for table in _NEEDED)
        found = read_calibration(calibration)
        to_world = read_vehicle_pose(vehicle, frame.time)
        pixel_pose = read_range_image(pose, frame.time, 1, "LiDARPoseComponent", 6)
        points, fields = [], []
        for number in range(1, self._returns + 1):
            image = read_range_image(lidar, frame.time, number, "LiDARComponent", 4)
            hit, xyz = _placed(image, found, pixel_pose, to_world, lidar)
            points.append(xyz)
            known = {name: np.tanh(image[hit, channel]) for channel, name in ((1, "intensity"), (2, "elongation"))}
            known["return"] = np.full(len(xyz), number, dtype=np.int64)
            if self._labeled:
                known |= self._labels_of(frame, number, hit)
            fields.append(known)
        joined = {name: np.concatenate([each[name] for each in fields]) for name in fields[0]}
        if "instance" in joined:
            joined["instance"] = _numbered(joined["instance"])
        # From the vehicle's rear axle to the sensor, whose place distances and angles are seen from
        shift = found.extrinsic[:3, 3]
        moved = torch.from_numpy((np.concatenate(points) - shift).astype(np.float32))
        if len(moved) == 0 or not torch.isfinite(moved).all():
            found_points = "infinite points" if len(moved) else "no return"
            raise ValueError(f"found {found_points} in frame {frame.time} of {lidar}, expected some: leave it out")
        return LidarSample(
            f"{frame.segment}/{frame.time}",
            moved,
            {name: torch.from_numpy(values) for name, values in joined.items()},
            pose=torch.from_numpy(to_world @ rigid(np.eye(3), shift)),
        )

    def files(self, index: int) -> list[Path]:
        """The tables that an access reads."""
        frame = self._frames[index]
        return [self._path(frame, table) for table in (*_NEEDED, *[_LABELS] * self._labeled)]

    def label_files(self, index: int) -> list[Path]:
        """The table of the segment's labels."""
        return [self._path(self._frames[index], _LABELS)]

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these."""
        self._frames = [self._frames[index] for index in kept]

    def _path(self, frame: _Frame, table: str) -> Path:
        return self._folder / table / f"{frame.segment}.parquet"

    def _labels_of(self, frame: _Frame, number: int, hit: np.ndarray) -> dict[str, np.ndarray]:
        path = self._path(frame, _LABELS)
        image = read_range_image(path, frame.time, number, "LiDARSegmentationLabelComponent", 2)
        if image.shape[:2] != hit.shape:
            raise ValueError(
                f"found labels of {image.shape[0]} × {image.shape[1]} pixels in {path}, expected {hit.shape[0]} × "
                f"{hit.shape[1]} as of the range image of frame {frame.time}: the tables are of several versions"
            )
        instances, labels = image[hit].astype(np.uint32).astype(np.int64).T
        objects = np.where(instances > 0, labels << 32 | instances, 0)
        return {"label": to_classes(labels, CLASS_OF_LABEL, path), "instance": objects}


class _Frame(NamedTuple):
    segment: str
    time: int  # microseconds


def _placed(
    image: np.ndarray, calibration: Calibration, pixel_pose: np.ndarray, to_world: np.ndarray, path: Path
) -> tuple[np.ndarray, np.ndarray]:
    """Which pixels (H, W) of a range image met something, and where, (N, 3) in the vehicle's frame."""
    if pixel_pose.shape[:2] != image.shape[:2]:
        raise ValueError(
            f"found a range image of {image.shape[0]} × {image.shape[1]} pixels in {path}, expected "
            f"{pixel_pose.shape[0]} × {pixel_pose.shape[1]} as of its poses: the tables are of several versions"
        )
    return image[..., 0] > 0, range_points(image[..., 0], calibration, pixel_pose, invert(to_world))


def _numbered(objects: np.ndarray) -> np.ndarray:
    """Objects numbered from 1; 0 stays."""
    numbers = np.zeros(len(objects), dtype=np.int64)
    there = objects > 0
    numbers[there] = np.unique(objects[there], return_inverse=True)[1].reshape(-1) + 1
    return numbers
