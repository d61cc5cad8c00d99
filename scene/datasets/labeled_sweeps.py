"""Sweeps of a LiDAR alone with a file of labels beside each: what the readers of such datasets have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

import numpy as np
import torch

from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import IGNORED, LidarSample
from crosspoint.scene.datasets.readers import (
    find_sweeps,
    layout,
    misfit,
    optional_file,
    read_labels,
    read_sweep,
    subsample,
    to_classes,
)
from crosspoint.scene.datasets.submission import first_numbers, spread_classes, written_numbers


class SweepFiles(NamedTuple):
    """The files of one frame."""

    name: str
    sweep: Path
    labels: Path


class LabeledSweeps(LidarDataset, ABC):
    """Frames without images, in the order of their files' paths; the base class of the readers of such datasets.

    A reader sets the class attributes and finds the frames of a split; it may set `classes` and `class_of_label` anew
    before it calls this constructor.

    Args:
        root: the dataset's folder.
        split: one of `splits`, or None for all frames.
        skip: keep every skip-th frame, from the first on.
        labels: whether points have classes; None for where a frame's file is there.
        columns: numbers in a row of a sweep, which begins x y z intensity; None for that of the dataset.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for that of the dataset.
        skip_incomplete: leave out frames that lack a file or cannot be read, and say how many.

    Attributes:
        title: what messages call the dataset.
        usual: columns and largest intensity of its sweeps.
        class_of_label: the class of each number that a file of labels may hold, `IGNORED` among them.
        label_bits: which bits of a label say the class; the others number objects.

    Raises:
        FileNotFoundError: if a folder of sweeps is not there.
        ValueError: if the split is unknown, or an argument out of range.
    """

    title: ClassVar[str]
    usual: ClassVar[tuple[int, float]] = (4, 1.0)
    label_bits: ClassVar[int] = 0xFFFF_FFFF
    class_of_label: Mapping[int, int]

    def __init__(
        self,
        root: str | Path,
        split: str | None,
        skip: int,
        labels: bool | None,
        columns: int | None,
        intensity_scale: float | None,
        skip_incomplete: bool,
    ) -> None:
        self._layout = layout(columns, intensity_scale, self.usual)
        if split is not None and split not in self.splits:
            raise ValueError(f"found the split {split!r}, expected one of: {', '.join(self.splits)}")
        self.name = self.title if split is None else f"{self.title} ({split})"
        self._labels, self._root = labels, Path(root)
        self._frames = subsample(self._find(Path(root), split), skip)
        if labels is False:
            self.classes = []
        if skip_incomplete:
            self.leave_out_incomplete()

    @abstractmethod
    def _find(self, root: Path, split: str | None) -> list[SweepFiles]:
        """The frames of a split, or all, sorted."""

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, index: int) -> LidarSample:
        frame = self._frames[index]
        sweep = read_sweep(frame.sweep, *self._layout)
        fields = {"intensity": sweep.intensity}
        for path in optional_file(frame.labels, self._labels):
            raw = self._read_raw(path, sweep.kept) & self.label_bits
            fields["label"] = torch.from_numpy(to_classes(raw, self.class_of_label, path))
        return LidarSample(frame.name, sweep.points, fields)

    def label_numbers(self) -> list[int]:
        """Of each class the first label that makes it up."""
        return first_numbers(self.class_of_label, len(self.classes))

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: the sweep, then its labels."""
        frame = self._frames[index]
        return [frame.sweep, *optional_file(frame.labels, self._labels)]

    def label_files(self, index: int) -> list[Path]:
        """The labels of the sweep."""
        return [self._frames[index].labels]

    def misfit(self, index: int) -> str | None:
        """What the sizes of sweep and labels say is wrong."""
        sweep, *labels = self.files(index)
        return misfit(sweep, self._layout[0], labels)

    def submission(self, index: int, predicted: np.ndarray) -> tuple[str, np.ndarray]:
        """The file of a sweep's predictions, in a folder beside that of the sweeps; errors as of `spread_classes`."""
        path = self._frames[index].sweep
        place = path.parents[1].relative_to(self._root) / "predictions" / f"{path.stem}.label"
        numbers, kept = written_numbers(self.class_of_label, self.name), read_sweep(path, *self._layout).kept
        return place.as_posix(), spread_classes(predicted, numbers, kept, str(path), other=0)

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these."""
        self._frames = [self._frames[index] for index in kept]

    def _read_raw(self, path: Path, kept: np.ndarray) -> np.ndarray:
        """What a file of labels says of the returns that were kept (N,)."""
        return read_labels(path, kept)


def beside_sweeps(folder: Path, where: str, sweeps: str = "velodyne", prefix: str | None = None) -> list[SweepFiles]:
    """The frames of one sequence: `<folder>/<sweeps>/*.bin`, each with `<folder>/labels/*.label` of its name.

    Args:
        folder: of the sequence.
        where: what it should hold, for the error.
        sweeps: the name of the folder of sweeps.
        prefix: of the frames' names, before a slash; None for the folder's name.

    Raises:
        FileNotFoundError: if there is no such folder, or no sweep in it.
    """
    prefix = folder.name if prefix is None else prefix
    return [
        SweepFiles(f"{prefix}/{path.stem}", path, folder / "labels" / f"{path.stem}.label")
        for path in find_sweeps(folder / sweeps, where)
    ]


def classes_of(names: Mapping[str, Sequence[int]], ignored: Sequence[int]) -> dict[int, int]:
    """The class of each label, counted in the order of the names; `IGNORED` for those that no figure counts.

    Args:
        names: the labels that make up each class.
        ignored: labels of no class.
    """
    places = {label: place for place, labels in enumerate(names.values()) for label in labels}
    return dict.fromkeys(ignored, IGNORED) | places


def present(root: Path, wanted: Sequence[str], below: str, title: str) -> list[Path]:
    """The folders of a split's sequences that are there.

    Args:
        root: above the sequences.
        wanted: their names.
        below: the folder that a sequence must have.
        title: of the dataset, for the error.

    Raises:
        FileNotFoundError: if none is there.
    """
    found = [root / name for name in wanted if (root / name / below).is_dir()]
    if not found:
        there = sorted(path.parent.name for path in root.glob(f"*/{below}")) if root.is_dir() else []
        raise FileNotFoundError(
            f"found {', '.join(there) if there else 'no sequence'} in {root}, expected some of {', '.join(wanted)} of "
            f"{title}, each with a folder {below}: give the folder above the sequences as `root`"
        )
    return found
