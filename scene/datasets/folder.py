"""A user's own rig, and how the synthetic world is kept: plain files in one folder.

    <root>/calibration.yaml               cameras, classes, scale of the intensity: see scene/datasets/rig.py
    <root>/points/<name>.bin              float32 rows x y z intensity; meters, x forward, y left, z up; rows of more
                                          numbers where the calibration says `columns`; or .npy, .ply, .pcd, .las
    <root>/images/<camera>/<name>.png     or .jpg; without lens distortion, one size for all cameras; a LiDAR alone has
                                          none, which is enough to segment its sweeps
    <root>/labels/<name>.label            optional: uint32 per return; lower 16 bits the class's place in `classes`
                                          from 1 on (0: ignored), upper 16 the object's number in the frame (0: none)
    <root>/boxes/<name>.txt               optional: a line per object: class x y z length width height heading;
                                          center and size in meters, heading in radians about z from x
    <root>/poses.txt                      optional: a line per frame: name and 3×4 matrix from LiDAR to world, by rows;
                                          needed where several sweeps are aggregated
    <root>/times.txt                      optional: a line per frame: name and seconds; else those of a sequence are
                                          0.1 s apart
    <root>/splits/{train,val}.txt         optional: a name per line

Frames are ordered by name, so the frames of a sequence stand together when its name comes first: the digits at the end
of a name count the frames of the sequence that the rest of it names. Frames without a file of labels or boxes have
none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from crosspoint.scene.data.calibration import invert, rigid
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.data.sweeps import INTERVAL, EarlierSweep, add_sweeps, check_sweeps
from crosspoint.scene.datasets.folder_writing import write_frame, write_poses, write_split
from crosspoint.scene.datasets.readers import (
    SWEEP_SUFFIXES,
    find_image,
    find_sweeps,
    layout,
    optional_file,
    read_images,
    read_labels,
    read_lines,
    read_sweep,
    subsample,
    to_classes,
)
from crosspoint.scene.datasets.rig import Rig, read_rig, write_rig
from crosspoint.scene.datasets.submission import spread_classes

__all__ = ["FolderScenes", "Rig", "read_rig", "write_frame", "write_poses", "write_rig", "write_split"]

_SUFFIXES = {"labels": ".label", "boxes": ".txt"}


class FolderScenes(LidarDataset):
    """Frames of a plain folder.

    Args:
        root: the folder.
        split: whose names are read from `splits/<split>.txt`; None for all frames.
        skip: keep every skip-th frame, from the first on.
        sweeps: how many are aggregated, the frame's own and those before it in its sequence; only its own points have
            labels.
        weak_labels: folder of PNG maps that mirrors the images: `<folder>/<path of the image relative to root>`, with
            the suffix .png: 0 for nothing, 1 to K for the classes of its manifest.
        superpixels: folder of PNG maps of regions, likewise.
        images: whether frames have images; None for where there is a folder `images`.
        labels: whether points have classes; None for where a frame's file is there.
        boxes: whether frames have boxes, likewise.
        columns: numbers in a row of a .bin sweep; None for what calibration.yaml says, or else 4.
        intensity_scale: the sensor's largest intensity; None for what calibration.yaml says, or else 1.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if the folder, its calibration, its points or the list of the split are not there, or no
            poses though several sweeps are aggregated; or a folder of maps or its manifest is not there.
        ValueError: if the calibration is broken, the split is empty or names a frame that is not there, or `sweeps` is
            below 1.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        skip: int = 1,
        sweeps: int = 1,
        *,
        weak_labels: str | Path | None = None,
        superpixels: str | Path | None = None,
        images: bool | None = None,
        labels: bool | None = None,
        boxes: bool | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        check_sweeps(sweeps)
        self.root = Path(root)
        self.rig = read_rig(self.root)
        self.name = self.root.resolve().name
        self.classes = [] if labels is False else self.rig.classes
        self.box_classes = [] if boxes is False else self.rig.box_classes
        self.things = [name for name in self.classes if name in self.rig.box_classes]
        self._labels, self._boxed = labels, boxes
        self._images = bool(self.rig.camera_names) and (self._has("images") if images is None else images)
        self._layout = layout(columns, intensity_scale, (self.rig.columns, self.rig.intensity_scale))
        swept = find_sweeps(self.root / "points", "sweeps <name>.bin of a rig", SWEEP_SUFFIXES)
        self._suffix = swept[0].suffix
        names = [path.stem for path in swept]
        self.names = subsample(names if split is None else self._split(split, set(names)), skip)
        self._sweeps = sweeps
        self._earlier = _earlier_names(names, sweeps - 1)
        self._poses = self.poses() if sweeps > 1 or (self.root / "poses.txt").is_file() else {}
        self._times = self._read_times()
        self.open_maps(self.root, weak_labels, superpixels)
        if skip_incomplete:
            self.leave_out_incomplete()

    @classmethod
    def splits_in(cls, root: Path | None) -> Sequence[str]:
        """The lists that are there."""
        return sorted(path.stem for path in (root / "splits").glob("*.txt")) if root is not None else []

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> LidarSample:
        name = self.names[index]
        sweep = read_sweep(self._points(name), *self._layout)
        fields = {"intensity": sweep.intensity}
        for path in optional_file(self._file("labels", name), self._labels):
            raw = read_labels(path, sweep.kept)
            labels = to_classes(raw & 0xFFFF, {place: place - 1 for place in range(len(self.classes) + 1)}, path)
            fields |= {"label": torch.from_numpy(labels), "instance": torch.from_numpy(raw >> 16)}
        sample = LidarSample(
            name,
            sweep.points,
            fields,
            boxes=self._boxes(name) if optional_file(self._file("boxes", name), self._boxed) else None,
            pose=torch.from_numpy(self._poses[name]) if name in self._poses else None,
        )
        if self._images and self.rig.cameras is not None:
            cameras = self.rig.cameras
            images = read_images(self.image_files(index), cameras.size, cameras.image_sizes.tolist())
            sample = replace(sample, images=images, cameras=self.rig.cameras)
        sample = self.with_maps(sample, index)
        if self._sweeps == 1:
            return sample
        return add_sweeps(sample, [self._read_earlier(name, *other) for other in self._earlier[name]])

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: points, images, labels, boxes, earlier points, maps."""
        name = self.names[index]
        labels = optional_file(self._file("labels", name), self._labels)
        boxes = optional_file(self._file("boxes", name), self._boxed)
        earlier = [self._points(other) for other, _ in self._earlier[name]]
        return [self._points(name), *self.image_files(index), *labels, *boxes, *earlier, *self.map_files(index)]

    def image_files(self, index: int) -> list[Path]:
        """The image of each camera."""
        folders = [self.root / "images" / camera for camera in self.rig.camera_names] if self._images else []
        return [find_image(folder, self.names[index]) for folder in folders]

    def submission(self, index: int, predicted: np.ndarray) -> tuple[str, np.ndarray]:
        """The file of a sweep's labels as this reader takes it; errors as of `spread_classes`."""
        name = self.names[index]
        kept = read_sweep(self._points(name), *self._layout).kept
        numbers = np.array(self.label_numbers(), dtype="<u4")
        return f"labels/{name}.label", spread_classes(predicted, numbers, kept, name, other=0)

    def label_files(self, index: int) -> list[Path]:
        """The labels of the points."""
        return [self._file("labels", self.names[index])]

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these."""
        self.names = [self.names[index] for index in kept]

    def poses(self) -> dict[str, np.ndarray]:
        """From LiDAR to world, (4, 4) for each name in `poses.txt`.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if a line is no name with a rigid transform.
        """
        path = self.root / "poses.txt"
        poses = {}
        for line in read_lines(path, "poses: a name and 12 numbers a line"):
            name, *words = line.rsplit(maxsplit=12)
            numbers = _numbers(words, 12, line, path).reshape(3, 4)
            poses[name] = rigid(numbers[:, :3], numbers[:, 3])
        return poses

    def _read_times(self) -> dict[str, float]:
        path = self.root / "times.txt"
        if not path.is_file():
            return {}
        pairs = [line.rsplit(maxsplit=1) for line in read_lines(path, "times: a name and seconds a line")]
        return {name: float(_numbers(words, 1, " ".join([name, *words]), path)[0]) for name, *words in pairs}

    def _read_earlier(self, name: str, other: str, steps: int) -> EarlierSweep:
        sweep = read_sweep(self._points(other), *self._layout)
        absent = [one for one in (name, other) if one not in self._poses or (self._times and one not in self._times)]
        if absent:
            raise ValueError(
                f"found no pose or no time of {absent[0]} in {self.root}, expected one for each frame where several "
                "sweeps are aggregated: add it to poses.txt and times.txt"
            )
        to_frame = invert(self._poses[name]) @ self._poses[other]
        seconds = self._times[name] - self._times[other] if self._times else INTERVAL * steps
        return EarlierSweep(sweep.points, {"intensity": sweep.intensity}, to_frame, seconds)

    def _split(self, split: str, there: set[str]) -> list[str]:
        path = self.root / "splits" / f"{split}.txt"
        names = sorted(set(read_lines(path, f"the names of the split {split!r}, one a line")))
        if not names:
            raise ValueError(f"found no name in {path}, expected those of the split's frames")
        absent = [name for name in names if name not in there]
        if absent:
            raise ValueError(
                f"found {len(absent)} names in {path} without points, the first {absent[0]}, expected points/<name>.bin"
            )
        return names

    def _has(self, kind: str) -> bool:
        return (self.root / kind).is_dir()

    def _points(self, name: str) -> Path:
        return self.root / "points" / f"{name}{self._suffix}"

    def _file(self, kind: str, name: str) -> Path:
        return self.root / kind / f"{name}{_SUFFIXES[kind]}"

    def _boxes(self, name: str) -> Boxes:
        path = self._file("boxes", name)
        geometry, labels = [], []
        for line in read_lines(path, "the boxes of a frame, one a line"):
            kind, *words = line.rsplit(maxsplit=7)
            if kind not in self.box_classes:
                raise ValueError(
                    f"found the class {kind!r} in {path}, expected one of box_classes: {', '.join(self.box_classes)}"
                )
            numbers = _numbers(words, 7, line, path)
            if numbers[3:6].min() < 0:
                raise ValueError(f"found a negative size in the line {line!r} in {path}, expected meters from 0")
            geometry.append(numbers)
            labels.append(self.box_classes.index(kind))
        stacked = np.array(geometry, dtype=np.float64).reshape(-1, 7)
        return Boxes(torch.from_numpy(stacked), torch.tensor(labels, dtype=torch.int64))


def _earlier_names(names: list[str], count: int) -> dict[str, list[tuple[str, int]]]:
    """Up to `count` frames before each in its sequence, the latest first, and how many numbers each lies back."""
    sequences: dict[str, list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        sequence = name.rstrip("0123456789")
        sequences[sequence].append((int(name[len(sequence) :] or 0), name))
    earlier = {}
    for frames in map(sorted, sequences.values()):
        for place, (number, name) in enumerate(frames):
            before = frames[max(0, place - count) : place][::-1]
            earlier[name] = [(other, number - step) for step, other in before]
    return earlier


def _numbers(words: list[str], count: int, line: str, path: Path) -> np.ndarray:
    try:
        numbers = np.array([float(word) for word in words])
    except ValueError:
        numbers = np.zeros(0)
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"found the line {line!r} in {path}, expected a name and {count} finite numbers")
    return numbers
