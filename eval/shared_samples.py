"""Training and test data that share samples: a network measured on what it was trained on looks better than it is."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crosspoint.datasets.clouds import Clouds
from crosspoint.scene.data.lidar_dataset import LidarDataset

log = logging.getLogger("crosspoint")

TOLERATED = 0.1  # share of the test clouds: archives such as ModelNet have some objects twice, and are measured so


def cloud_identities(clouds: Clouds) -> list[str]:
    """A digest of each cloud's points that their order does not change: equal for equal clouds."""
    ordered = np.ascontiguousarray(np.sort(clouds.points, axis=1))
    return [hashlib.sha256(cloud.tobytes()).hexdigest() for cloud in ordered]


def frame_identities(frames: LidarDataset) -> list[Path]:
    """The file of each frame's points, wherever links lead; empty where the frames have no files."""
    files = [frames.files(index)[:1] for index in range(len(frames))]
    return [path.resolve() for first in files for path in first]


def refuse_shared_clouds(
    train: Clouds, test: Clouds, identities: tuple[Sequence[str], Sequence[str]] | None = None, *, allowed: bool = False
) -> None:
    """Refuse test clouds that are training clouds, too; a few are logged.

    Where nothing but their points tells clouds apart, splits are as the authors of an archive made them: clouds in both
    are logged, however many.

    Args:
        train: what is learned from.
        test: what is measured on.
        identities: what tells the objects of each split apart, in the order of the clouds; None compares the points.
        allowed: say it, and go on.

    Raises:
        ValueError: if more than a tenth of the test clouds come from the meshes or files of training clouds.
    """
    learned, asked = identities or (cloud_identities(train), cloud_identities(test))
    known, count = {*learned}, len(test)
    shared = sum(one in known for one in asked)
    if shared == 0:
        return
    found = f"found {shared} of {count} clouds of the split {test.split!r} of {test.name} in {train.split!r}, too"
    if allowed or identities is None or shared <= TOLERATED * count:
        log.warning("%s: figures are too high", found)
        return
    raise ValueError(
        f"{found}, expected splits that share none: give others, or --allow_overlap true to measure all the same"
    )


def refuse_shared_frames(train: LidarDataset, test: LidarDataset, names: tuple[str, str], *, allowed: bool) -> None:
    """Refuse test frames that are training frames, too.

    Args:
        train: what is learned from.
        test: what is measured on, or what chooses the epoch.
        names: of the two splits.
        allowed: say it, and go on.

    Raises:
        ValueError: if a frame is in both.
    """
    known, asked = {*frame_identities(train)}, frame_identities(test)
    shared = len([path for path in asked if path in known])
    if shared == 0 and names[0] == names[1]:
        shared = len(test)
    if shared == 0:
        return
    found = f"found {shared} of {len(test)} frames of the split {names[1]!r} of {test.name} in {names[0]!r}, too"
    if not allowed:
        raise ValueError(
            f"{found}, expected splits that share none: give others, or --allow_overlap true to measure all the same"
        )
    log.warning("%s: figures are too high", found)
