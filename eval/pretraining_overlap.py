"""Test frames that a checkpoint was pre-trained on: their clouds have told its image network the depth."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from msgspec import Struct

from crosspoint.checkpoints.record import REMEDY
from crosspoint.plugins import import_plugin
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import checked
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.kitti_object import KittiObject
from crosspoint.scene.datasets.semantickitti import SemanticKitti

log = logging.getLogger("crosspoint")

SHOWN = 3  # drives that a message names
_DRIVE = re.compile(r"\d{4}_\d\d_\d\d_drive_\d{4}")
_SEQUENCE = re.compile(r"sequences/(\d\d)/")

# The raw drives of KITTI's odometry sequences, from the readme of its development kit
# (https://www.cvlibs.net/datasets/kitti/eval_odometry.php): four of them are drives of Eigen's test split.
ODOMETRY = {
    "00": "2011_10_03_drive_0027",
    "01": "2011_10_03_drive_0042",
    "02": "2011_10_03_drive_0034",
    "03": "2011_09_26_drive_0067",
    "04": "2011_09_30_drive_0016",
    "05": "2011_09_30_drive_0018",
    "06": "2011_09_30_drive_0020",
    "07": "2011_09_30_drive_0027",
    "08": "2011_09_30_drive_0028",
    "09": "2011_09_30_drive_0033",
    "10": "2011_09_30_drive_0034",
}


class _Dataset(Struct, frozen=True):
    class_path: str | None = None
    init_args: dict[str, Any] = {}


class _Data(Struct, frozen=True):
    dataset: _Dataset | None = None


class _Config(Struct, frozen=True):
    """What is read of a run's configuration here."""

    data: _Data = _Data()


def refuse_pretraining_overlap(config: JsonObject, where: Path, test: LidarDataset, *, allowed: bool) -> None:
    """Refuse test frames that a checkpoint was pre-trained on, and test drives of KITTI of which it saw any frame.

    Neighboring frames of a drive are nearly the same, so drives count as a whole there. What cannot be told, for the
    data of pre-training are not here or do not name their drives, is logged.

    Args:
        config: of the run; without a dataset of frames, nothing is refused.
        where: the checkpoint.
        test: what is measured on.
        allowed: say it, and go on.

    Raises:
        ValueError: if frames or drives are in both.
    """
    described = checked(config, _Config, f"the config in {where}", "the configuration of a run", REMEDY).data.dataset
    if described is None or described.class_path is None:
        return
    try:
        if not issubclass(import_plugin("dataset", described.class_path, object), LidarDataset):
            return
        seen = open_scenes(described.class_path, **described.init_args)
        shared = sorted(drives_of(seen) & drives_of(test))
        known = {path for files in _files(seen) for path in files}
        frames = sum(not known.isdisjoint(files) for files in _files(test))
    except (ValueError, OSError) as error:
        log.warning(
            "cannot tell whether %s was pre-trained on frames of %s, for its data cannot be read: %s",
            *(where, test.name, error),
        )
        return
    if isinstance(seen, KittiObject) and drives_of(test):
        log.warning(
            "%s was pre-trained on %s, whose frames come from KITTI's drives and do not say from which: figures on %s "
            "may be too high",
            *(where, seen.name, test.name),
        )
    if not shared and not frames:
        return
    what = f"{len(shared)} drives of {test.name} ({', '.join(shared[:SHOWN])}{', …' * (len(shared) > SHOWN)})"
    found = f"found {what if shared else f'{frames} frames of {test.name}'} in what {where} was pre-trained on"
    if not allowed:
        raise ValueError(
            f"{found}, expected none: pre-train without them (data.dataset), or give --allow_overlap true to measure "
            "all the same"
        )
    log.warning("%s: figures are too high", found)


def drives_of(frames: LidarDataset) -> set[str]:
    """The raw drives of KITTI that frames come from, as the paths of their files say; empty for other data."""
    names = [path.as_posix() for index in range(len(frames)) for path in frames.files(index)]
    if isinstance(frames, SemanticKitti):
        sequences = {found for name in names for found in _SEQUENCE.findall(name)}
        return {ODOMETRY[sequence] for sequence in sequences if sequence in ODOMETRY}
    return {found for name in names for found in _DRIVE.findall(name)}


def _files(frames: LidarDataset) -> Iterator[set[Path]]:
    """The first file of each frame, which tells it apart, and its images, wherever links lead."""
    for index in range(len(frames)):
        yield {path.resolve() for path in (*frames.files(index)[:1], *frames.image_files(index))}
