"""KITTI object detection (Geiger et al. 2012, https://www.cvlibs.net/datasets/kitti/eval_object.php): boxes.

    <root>/training/{calib/000000.txt, image_2/000000.png, velodyne/000000.bin}   or .jpg
    <root>/training/label_2/000000.txt            optional
    <root>/testing/{calib, image_2, velodyne}     optional
    <root>/ImageSets/{train,val,test}.txt         optional: a frame's number per line

The customary lists (3,712 frames to train, 3,769 to validate) come with most detection toolboxes. The sweeps are
float32 rows x y z reflectance, the reflectance in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crosspoint.scene.data.calibration import invert, lidar_cameras
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.datasets.kitti_calibration import KittiCalibration
from crosspoint.scene.datasets.kitti_labels import KittiLabels, read_labels
from crosspoint.scene.datasets.kitti_results import to_results
from crosspoint.scene.datasets.readers import (
    find_image,
    find_sweeps,
    layout,
    optional_file,
    read_images,
    read_lines,
    read_sweep,
    subsample,
)

BOX_CLASSES = ("Car", "Pedestrian", "Cyclist")  # the three that are evaluated; others are left out


class KittiObject(LidarDataset):
    """The frames of KITTI's object benchmark, with the boxes of cars, pedestrians and cyclists.

    Args:
        root: the folder of `training`.
        split: whose numbers are read from `ImageSets/<split>.txt`; None for all frames of the part.
        skip: keep every skip-th frame, from the first on.
        part: "training" or "testing".
        weak_labels: folder of PNG maps that mirrors the images: `<folder>/<path of the image relative to root>`, with
            the suffix .png: 0 for nothing, 1 to K for the classes of its manifest.
        superpixels: folder of PNG maps of regions, likewise.
        boxes: whether frames have boxes; None for where label_2 has their file.
        columns: numbers in a row of a sweep, which begins x y z intensity; 3 where there is no intensity; None for 4.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for that of the dataset.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if the folder, its sweeps or the list of the split are not there, or a folder of maps or its
            manifest.
        ValueError: if the split is empty or names a frame that is not there, or the part is unknown.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        skip: int = 1,
        part: str = "training",
        *,
        weak_labels: str | Path | None = None,
        superpixels: str | Path | None = None,
        boxes: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        self._layout = layout(columns, intensity_scale)
        if part not in ("training", "testing"):
            raise ValueError(f'found part "{part}", expected "training" or "testing"')
        self.name = "kitti_object"
        self._folder = Path(root) / part
        labels = self._folder / "label_2"
        if boxes and not labels.is_dir():
            raise FileNotFoundError(f"found no folder {labels}, expected the boxes of each frame: set boxes to false")
        self._boxes = False if (boxes is None and part == "testing") or not labels.is_dir() else boxes
        self.box_classes = [] if self._boxes is False else list(BOX_CLASSES)
        sweeps = find_sweeps(self._folder / "velodyne", "sweeps of KITTI's object benchmark: give the folder above")
        numbers = [path.stem for path in sweeps]
        if split is not None:
            there, path = set(numbers), Path(root) / "ImageSets" / f"{split}.txt"
            numbers = sorted(set(read_lines(path, f"the numbers of the split {split!r}, one a line")))
            absent = [number for number in numbers if number not in there]
            if absent or not numbers:
                raise ValueError(
                    f"found {len(numbers)} numbers in {path}, {len(absent)} without a sweep"
                    f"{f', the first {absent[0]}' if absent else ''}, expected those of frames in {self._folder}"
                )
        self._numbers = subsample(numbers, skip)
        self.open_maps(root, weak_labels, superpixels)
        if skip_incomplete:
            self.leave_out_incomplete()

    @classmethod
    def splits_in(cls, root: Path | None) -> Sequence[str]:
        """The lists that are there."""
        return sorted(path.stem for path in (root / "ImageSets").glob("*.txt")) if root is not None else []

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> LidarSample:
        calibration = KittiCalibration(self._file(index, "calib", ".txt"))
        to_rectified = calibration.rotation("R0_rect") @ calibration.transform("Tr_velo_to_cam")
        K, shift = calibration.camera("P2")
        images = read_images(self.image_files(index))
        cameras = lidar_cameras(K[None], (shift @ to_rectified)[None], (images.shape[2], images.shape[3]))
        labels = self._box_files(index)
        boxes = read_boxes(labels[0], to_rectified) if labels else None
        sweep = read_sweep(self._file(index, "velodyne", ".bin"), *self._layout)
        sample = LidarSample(
            f"{self._folder.name}/{self._numbers[index]}",
            sweep.points,
            {"intensity": sweep.intensity},
            images,
            cameras=cameras,
            boxes=boxes,
        )
        return self.with_maps(sample, index)

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: sweep, image, calibration, boxes, maps."""
        others = [self._file(index, "calib", ".txt"), *self._box_files(index)]
        return [self._file(index, "velodyne", ".bin"), *self.image_files(index), *others, *self.map_files(index)]

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these."""
        self._numbers = [self._numbers[index] for index in kept]

    def labels(self, index: int) -> KittiLabels:
        """All labels of a frame as KITTI states them, DontCare among them; raises FileNotFoundError without a file."""
        return read_labels(self._file(index, "label_2", ".txt"))

    def results(self, index: int, boxes: Boxes, scores: Tensor) -> KittiLabels:
        """Detections in a frame, boxes in the LiDAR's frame and scores (n,), as KITTI states them; see `to_results`."""
        calibration = KittiCalibration(self._file(index, "calib", ".txt"))
        to_rectified = calibration.rotation("R0_rect") @ calibration.transform("Tr_velo_to_cam")
        with Image.open(self.image_files(index)[0]) as image:
            size = image.height, image.width
        names = [BOX_CLASSES[label] for label in boxes.labels.tolist()]
        return to_results(boxes.geometry, names, scores, to_rectified, calibration.matrix("P2", (3, 4)), size)

    def image_files(self, index: int) -> list[Path]:
        """The left color image."""
        return [find_image(self._folder / "image_2", self._numbers[index])]

    def _box_files(self, index: int) -> list[Path]:
        return optional_file(self._file(index, "label_2", ".txt"), self._boxes)

    def _file(self, index: int, folder: str, suffix: str) -> Path:
        return self._folder / folder / f"{self._numbers[index]}{suffix}"


def read_boxes(path: Path, to_rectified: np.ndarray) -> Boxes:
    """The boxes of a label file, in the LiDAR's frame.

    A line holds: class, truncation, occlusion, angle of sight, four sides in the image, height, width, length, then the
    middle of the bottom face in the first camera's rectified frame, and the turn about that frame's y (down).

    Args:
        path: the file.
        to_rectified: (4, 4) LiDAR → that frame.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a line has not 15 words (16 with a score), or words that are no numbers.
    """
    to_lidar, geometry, labels = invert(to_rectified), [], []
    for line in read_lines(path, "the labels of a frame"):
        kind, *words = line.split()
        try:
            numbers = [float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) not in (14, 15) or not all(map(math.isfinite, numbers)):
            raise ValueError(f"found the line {line!r} in {path}, expected a class and 14 numbers")
        if kind not in BOX_CLASSES:
            continue
        height, width, length, x, y, z, turn = numbers[7:14]
        if min(height, width, length) < 0:
            raise ValueError(f"found a negative size in the line {line!r} in {path}, expected meters from 0")
        center = to_lidar @ [x, y - height / 2, z, 1.0]
        ahead = to_lidar[:3, :3] @ [math.cos(turn), 0.0, -math.sin(turn)]  # the length's direction, level in the camera
        geometry.append([*center[:3], length, width, height, math.atan2(ahead[1], ahead[0])])
        labels.append(BOX_CLASSES.index(kind))
    return Boxes(torch.tensor(geometry, dtype=torch.float64).view(-1, 7), torch.tensor(labels, dtype=torch.int64))
