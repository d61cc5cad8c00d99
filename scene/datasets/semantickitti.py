"""SemanticKITTI (Behley et al. 2019, https://arxiv.org/abs/1904.01416): KITTI's odometry sweeps, every return labeled.

    <root>/sequences/00/velodyne/000000.bin
    <root>/sequences/00/labels/000000.label       optional: not of the test sequences
    <root>/sequences/00/calib.txt                 where images or poses are used
    <root>/sequences/00/poses.txt                 optional: where the camera was; needed for several sweeps
    <root>/sequences/00/times.txt                 optional: seconds, a line per sweep; else sweeps are 0.1 s apart
    <root>/sequences/00/image_2/000000.png        optional, or .jpg: KITTI odometry's color images, a separate download

Labels come from the site that https://github.com/PRBonn/semantic-kitti-api names, all else from KITTI's odometry.
Sweeps are float32 rows x y z remission, the remission in [0, 1]. A label is a uint32: the class in the lower 16 bits,
the object's number in the upper 16, unique within its class.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from crosspoint.scene.data.calibration import invert, lidar_cameras, rigid
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import IGNORED, LidarSample
from crosspoint.scene.data.sweeps import INTERVAL, EarlierSweep, add_sweeps, check_sweeps
from crosspoint.scene.datasets.kitti_calibration import KittiCalibration
from crosspoint.scene.datasets.readers import (
    find_image,
    find_sweeps,
    layout,
    misfit,
    optional_file,
    read_images,
    read_labels,
    read_lines,
    read_sweep,
    subsample,
    to_classes,
)
from crosspoint.scene.datasets.submission import spread_classes, spread_objects

log = logging.getLogger("crosspoint")

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
# What a class is written as: a label of objects that stand. The server joins those of a class again.
_WRITTEN = np.array([_LABELS[name][0] for name in CLASSES], dtype="<u4")


class SemanticKitti(LidarDataset):
    """Sweeps of SemanticKITTI with 19 classes, and the left color image where it is there.

    Args:
        root: the folder of `sequences`.
        split: "train" (sequences 00–07, 09, 10), "val" (08) or "test" (11–21, without labels).
        skip: keep every skip-th sweep of the split, from the first on: 100 for the 1 % of the customary protocol.
        sequences: these instead of those of the split that are there, such as ["00"].
        images: whether frames come with image_2; None for where all sequences have it. Without, they have no view.
        sweeps: how many are aggregated, the frame's own and those before it; only its own points have labels.
        weak_labels: folder of PNG maps that mirrors the images: `<folder>/<path of the image relative to root>`, with
            the suffix .png: 0 for nothing, 1 to K for the classes of its manifest.
        superpixels: folder of PNG maps of regions, likewise.
        labels: whether points have classes; None for where a sweep's file is there, as it is in all but the test
            sequences. Without labels these are the sweeps of KITTI's odometry benchmark.
        columns: numbers in a row of a sweep, which begins x y z intensity; 3 where there is no intensity; None for 4.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for that of the dataset.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if a sequence has no sweeps, no image_2 though images are asked for, or no poses though
            several sweeps are; or a folder of maps or its manifest is not there.
        ValueError: if the split is unknown, a calibration broken, `sweeps` below 1, or maps are given without images.
    """

    splits = tuple(SPLITS)
    title = "semantickitti"
    things = CLASSES[:8]  # `thing_class` of the same file of semantic-kitti-api
    least_points = 50
    label_folder = "labels"  # of a sequence

    def __init__(
        self,
        root: str | Path,
        split: str = "train",
        skip: int = 1,
        sequences: Sequence[str] | None = None,
        images: bool | None = None,
        sweeps: int = 1,
        *,
        weak_labels: str | Path | None = None,
        superpixels: str | Path | None = None,
        labels: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        self._layout = layout(columns, intensity_scale)
        check_sweeps(sweeps)
        if split not in SPLITS:
            raise ValueError(f"found the split {split!r}, expected one of: {', '.join(SPLITS)}")
        self.name = f"{self.title} ({split})"
        labels = False if labels is None and split == "test" else labels
        self.classes = list(CLASSES)
        self._labels = labels
        folders = [Path(root) / "sequences" / name for name in sequences or ()]
        if sequences is None:
            folders = _folders_of(Path(root) / "sequences", split)
        if not folders:
            raise ValueError("found no sequence, expected at least one")
        where = "the sweeps of a SemanticKITTI sequence: give the folder above `sequences`"
        found = {folder: find_sweeps(folder / "velodyne", where) for folder in folders}
        blind = [folder for folder in folders if not (folder / "image_2").is_dir()]
        if images and blind:
            raise FileNotFoundError(f"found no folder {blind[0] / 'image_2'}, expected KITTI odometry's color images")
        self._images = not blind if images is None else images
        self.open_maps(root, weak_labels, superpixels)
        if self.map_names and not self._images:
            why = f"{blind[0]} has no image_2" if images is None else "images is false"
            raise ValueError(
                f"found {' and '.join(sorted(self.map_names))} for {self.name} without images ({why}), expected images "
                "in each sequence: fetch them, or leave the maps out"
            )
        self._sweeps_per_frame = sweeps
        self._sweeps = subsample([path for paths in found.values() for path in paths], skip)
        self._earlier: dict[Path, list[Path]] = {path: [] for path in self._sweeps}
        if sweeps > 1:
            for paths in found.values():
                before = {path: paths[max(0, place + 1 - sweeps) : place] for place, path in enumerate(paths)}
                self._earlier |= {path: before[path][::-1] for path in before if path in self._earlier}
            for folder in folders:
                read_lines(folder / "poses.txt", "the poses of a sequence, which several sweeps need")
        self._rigs = {folder: _read_rig(folder) for folder in folders} if self._images else {}
        self._poses: dict[Path, np.ndarray] = {}
        if skip_incomplete:
            self.leave_out_incomplete()

    def __len__(self) -> int:
        return len(self._sweeps)

    def __getitem__(self, index: int) -> LidarSample:
        path = self._sweeps[index]
        sweep, folder = read_sweep(path, *self._layout), path.parents[1]
        fields = {"intensity": sweep.intensity}
        for labeled in optional_file(self._label_file(path), self._labels):
            labels, instances = _read_labels(labeled, sweep.kept)
            fields |= {"label": torch.from_numpy(labels), "instance": torch.from_numpy(instances)}
        pose = torch.from_numpy(self._pose(path)) if (folder / "poses.txt").is_file() else None
        sample = LidarSample(f"{folder.name}/{path.stem}", sweep.points, fields, pose=pose)
        if self._images:
            rig, images = self._rigs[folder], read_images(self.image_files(index))
            cameras = lidar_cameras(rig.intrinsics, rig.from_lidar, (images.shape[2], images.shape[3]))
            sample = self.with_maps(replace(sample, images=images, cameras=cameras), index)
        if self._sweeps_per_frame == 1:
            return sample
        return add_sweeps(sample, [self._read_earlier(path, other) for other in self._earlier[path]])

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: sweep, image, labels, earlier sweeps, maps."""
        path = self._sweeps[index]
        labels = optional_file(self._label_file(path), self._labels)
        return [path, *self.image_files(index), *labels, *self._earlier[path], *self.map_files(index)]

    def image_files(self, index: int) -> list[Path]:
        """The left color image, where images are read."""
        if not self._images:
            return []
        path = self._sweeps[index]
        return [find_image(path.parents[1] / "image_2", path.stem)]

    def label_files(self, index: int) -> list[Path]:
        """The labels of the sweep."""
        return [self._label_file(self._sweeps[index])]

    def misfit(self, index: int) -> str | None:
        """What the sizes of sweep and labels say is wrong."""
        path = self._sweeps[index]
        return misfit(path, self._layout[0], optional_file(self._label_file(path), self._labels))

    def label_numbers(self) -> list[int]:
        """As the benchmark's server takes them: of each class the label of what stands still."""
        return [] if not self.classes else [int(number) for number in _WRITTEN]

    def submission(self, index: int, predicted: np.ndarray) -> tuple[str, np.ndarray]:
        """The file of a sweep's predictions; errors as of `spread_classes`."""
        path = self._sweeps[index]
        kept, place = read_sweep(path, *self._layout).kept, f"{path.parents[1].name}/predictions/{path.stem}.label"
        return f"sequences/{place}", spread_classes(predicted, _WRITTEN, kept, str(path), other=0)

    def panoptic_submission(self, index: int, predicted: np.ndarray, objects: np.ndarray) -> tuple[str, bytes]:
        """The file of a sweep's classes and objects, which are in the upper 16 bits."""
        place, labels = self.submission(index, predicted)
        path = self._sweeps[index]
        numbers = spread_objects(objects, read_sweep(path, *self._layout).kept, str(path))
        return place, (numbers << 16 | labels).astype("<u4").tobytes()

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these."""
        self._sweeps = [self._sweeps[index] for index in kept]

    def _label_file(self, sweep: Path) -> Path:
        return sweep.parents[1] / self.label_folder / f"{sweep.stem}.label"

    def _read_earlier(self, path: Path, other: Path) -> EarlierSweep:
        sweep, steps = read_sweep(other, *self._layout), int(path.stem) - int(other.stem)
        times = path.parents[1] / "times.txt"
        seconds = INTERVAL * steps
        if times.is_file():
            seconds = _line_of(times, int(path.stem)) - _line_of(times, int(other.stem))
        to_frame = invert(self._pose(path)) @ self._pose(other)
        return EarlierSweep(sweep.points, {"intensity": sweep.intensity}, to_frame, seconds)

    def _pose(self, path: Path) -> np.ndarray:
        folder, number = path.parents[1], int(path.stem)
        if folder not in self._poses:
            self._poses[folder] = read_poses(folder)
        if number >= len(self._poses[folder]):
            raise ValueError(
                f"found {len(self._poses[folder])} poses in {folder / 'poses.txt'}, expected one for sweep {path.stem}"
            )
        pose: np.ndarray = self._poses[folder][number]
        return pose


def _folders_of(sequences: Path, split: str) -> list[Path]:
    """The sequences of a split that are there."""
    wanted = SPLITS[split]
    there = sorted(path.parent.name for path in sequences.glob("*/velodyne") if path.is_dir())
    if not there:
        return [sequences / name for name in wanted]
    found = [name for name in wanted if name in there]
    if not found:
        raise FileNotFoundError(
            f"found the sequences {', '.join(there)} in {sequences}, expected some of {', '.join(wanted)}, the split "
            f"{split!r}: choose another `split`, or name `sequences`"
        )
    if len(found) < len(wanted):
        absent = ", ".join(name for name in wanted if name not in found)
        log.warning("semantickitti (%s): left out the sequences %s, which are not in %s", split, absent, sequences)
    return [sequences / name for name in found]


def _line_of(path: Path, number: int) -> float:
    """The number in a line of times.txt."""
    lines = read_lines(path, "the seconds of a sequence's sweeps, one a line")
    try:
        seconds = float(lines[number])
    except (IndexError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"found no seconds of sweep {number} in {path}, expected a number in each line")
    return seconds


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
