"""Inventory of a folder of LiDAR frames: counts by split, files that are missing or do not fit, frames that are broken.

By default the files of all frames are looked for and their sizes compared, which takes no reading, and a few frames are
read whole. A deep look reads all of them.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from crosspoint.datasets.inventory import WHOLE, Part, examine_splits, in_chunks
from crosspoint.plugins import import_plugin
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.build import open_scenes

READ = 4  # frames of each split, spread evenly


def examine_scenes(
    name: str, root: Path | None, split: str | None, deep: bool, jobs: int, options: dict[str, Any]
) -> list[Part]:
    """Look at a dataset of frames.

    Args:
        name: short name or import path.
        root: its folder; None where it has none.
        split: the only one that is looked at; None for all that the dataset knows.
        deep: read all frames.
        jobs: processes that read, -1 for one per core.
        options: further arguments of the dataset.
    """
    made: type[LidarDataset] = import_plugin("dataset", name, LidarDataset)
    splits = [split] if split is not None else [*made.splits_in(root)] or [WHOLE]

    def examine(each: str) -> Part:
        chosen = {} if each == WHOLE and split is None else {"split": each}
        return _examine(open_scenes(name, root, **chosen, **options), each, deep, jobs)

    parts = examine_splits(splits, examine)
    optional = inspect.signature(made).parameters["split"].default is None if splits != [WHOLE] else False
    if split is not None or not optional or any(part.there for part in parts):
        return parts
    whole = examine_splits([WHOLE], examine)[0]  # frames of no known split, as one's own excerpt of a dataset has
    if not whole.there:
        return parts
    return [Part(part.name, absent=part.absent or part.problems[0]) for part in parts] + [whole]


class _Look(NamedTuple):
    """What the files of a frame are like."""

    missing: Path | None  # the first that is not there, or empty
    labels: Path | None  # that is not there
    labeled: bool
    misfit: str | None


class _Read(NamedTuple):
    """What a frame holds."""

    problem: str | None
    points: np.ndarray  # (classes,) of each


def _examine(dataset: LidarDataset, split: str, deep: bool, jobs: int) -> Part:
    count = len(dataset)
    looks: list[_Look] = in_chunks(_look, dataset, range(count), jobs, threads=True)
    whole = [index for index, look in enumerate(looks) if look.missing is None and look.misfit is None]
    chosen = whole if deep else [whole[place] for place in _spread(len(whole)) if dataset.files(whole[place])]
    reads: list[_Read] = in_chunks(_read, dataset, chosen, jobs if deep else 1)
    missing = [look.missing for look in looks if look.missing is not None]
    problems = [
        f"found no file, or an empty one, {path}, expected it whole: fetch it" for path in dict.fromkeys(missing)
    ]
    labeled = sum(look.labeled for look in looks)
    unlabeled = [look.labels for look in looks if look.labels is not None]
    if labeled and unlabeled:
        problems.append(
            f"found no labels of {len(unlabeled):,} of {count:,} frames, the first {unlabeled[0]}, expected all: fetch "
            "them"
        )
    problems += [look.misfit for look in looks if look.misfit is not None]
    problems += [read.problem for read in reads if read.problem is not None]
    return Part(split, _counts(dataset, labeled, reads if deep else []), problems)


def _spread(count: int) -> list[int]:
    return np.linspace(0, count - 1, min(READ, count)).astype(int).tolist()


def _counts(dataset: LidarDataset, labeled: int, reads: Sequence[_Read]) -> str:
    """In words."""
    said = [f"{len(dataset):,} frame{'s' * (len(dataset) != 1)}"]
    images = len(dataset.image_files(0)) if len(dataset) else 0
    if images:
        said.append(f"{images} image{'s' * (images > 1)} each")
    if labeled:
        said.append(f"{labeled:,} with labels of {len(dataset.classes)} classes")
    if reads and dataset.classes:
        points = np.sum([read.points for read in reads], axis=0)
        never = [name for name, number in zip(dataset.classes, points, strict=True) if number == 0]
        said.append(f"no point of: {', '.join(never)}" if never else "points of all classes")
    return "; ".join(said)


def _look(dataset: LidarDataset, indices: Sequence[int]) -> list[_Look]:
    """The files of some frames; none is opened."""
    looks = []
    for index in indices:
        missing = next((path for path in dataset.files(index) if not _has_content(path)), None)
        labels = dataset.label_files(index)
        absent = next((path for path in labels if not path.is_file()), None)
        misfit = dataset.misfit(index) if missing is None else None
        looks.append(_Look(missing, absent, bool(labels) and absent is None, misfit))
    return looks


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False


def _read(dataset: LidarDataset, indices: Sequence[int]) -> list[_Read]:
    """Some frames, each read whole."""
    reads, classes = [], len(dataset.classes)
    for index in indices:
        try:
            label = dataset[index].point_fields.get("label")
        except (ValueError, OSError) as error:
            reads.append(_Read(str(error), np.zeros(classes, dtype=np.int64)))
            continue
        kept = np.zeros(0, dtype=np.int64) if label is None else label[label >= 0].numpy()
        reads.append(_Read(None, np.bincount(kept, minlength=classes)))
    return reads
