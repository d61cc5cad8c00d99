"""Validation of a dataset before a training starts: all that is wrong with it is named at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample

SHOWN = 5  # problems that one message names; more are counted


def check_scenes(dataset: LidarDataset, *, frames: int | None = 8, pairs: bool = True, labels: bool = False) -> None:
    """Look at a dataset before a training starts, and name all that is wrong with it at once.

    That each file of each frame is there costs little and is looked at for all frames; whole frames are read, and their
    points projected, for a few spread evenly.

    Args:
        dataset: the paths that its method `files` gives are looked for.
        frames: how many are read; None for all.
        pairs: whether each frame must have images, and each image a point, as pre-training needs it.
        labels: whether each frame must have labels, as segmentation needs them.

    Raises:
        FileNotFoundError: if files are missing.
        ValueError: if there is no frame, or a frame cannot be read, or, with `pairs`, has no image, an image without
            any point, or a calibration that projects nothing.
    """
    count = len(dataset)
    if count == 0:
        raise ValueError(f"found no frame in {dataset.name}, expected at least one: check the split and the folder")
    wanted = (path for index in range(count) for path in (*dataset.files(index), *dataset.label_files(index) * labels))
    missing = [path for path in dict.fromkeys(wanted) if not path.is_file()]
    if missing:
        remedy = ": fetch them, or set `skip_incomplete` to leave such frames out" * _can_skip(dataset)
        raise FileNotFoundError(
            f"found no file {_several(missing)}, expected all {count} frames of {dataset.name} whole{remedy}"
        )
    chosen = range(count) if frames is None else np.unique(np.linspace(0, count - 1, min(frames, count)).astype(int))
    problems = [problem for index in chosen for problem in _problems(dataset, int(index), pairs)]
    if problems and not dataset.skip_incomplete:
        raise ValueError(f"{dataset.name}: {_several(problems)}")


def _can_skip(dataset: LidarDataset) -> bool:
    return "skip_incomplete" in dataset.arguments


def _problems(dataset: LidarDataset, index: int, pairs: bool) -> list[str]:
    """What is wrong with one frame."""
    try:
        frame = dataset[index]
        return _blind_images(frame) if pairs else []
    except (ValueError, FileNotFoundError) as error:
        return [str(error)]


def _blind_images(frame: LidarSample) -> list[str]:
    if len(frame.images) == 0:
        return [f"found no image in {frame.name}, expected at least one: pre-training pairs points with pixels"]
    views = pair_points(frame).pair_view
    blind = sorted(set(range(len(frame.images))) - set(views.tolist()))
    if not blind:
        return []
    which = ", ".join(map(str, blind))
    return [
        f"found no point in image {which} of {len(frame.images)} of {frame.name}, expected some: check the calibration"
    ]


def _several(found: Sequence[object]) -> str:
    """The first few of a list, and how many more there are."""
    shown = "; ".join(map(str, found[:SHOWN]))
    return shown if len(found) <= SHOWN else f"{shown}; and {len(found) - SHOWN} more"
