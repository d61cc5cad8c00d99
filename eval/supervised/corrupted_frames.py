"""Labeled frames under a corruption, on which a segmenter that learned from sound frames is measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np

from crosspoint.eval.corruptions.robo3d import ROBO3D, SEVERITIES, beams_in_file_order, corrupt_frame
from crosspoint.eval.metrics.corruption_error import mean_frame_error, mean_resilience
from crosspoint.eval.supervised.labeled_frames import LabeledFrames
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.semantickitti import SemanticKitti
from crosspoint.scene.ops.voxels import VoxelConfig

Corruptions = Literal["none", "robo3d"]

WORD = 0x524F424F  # keeps these draws apart from others of the same seed


class CorruptedFrames(LabeledFrames):
    """Frames of a dataset, each corrupted by draws of its own.

    Args:
        dataset: with classes and labels.
        voxels: how space is cut.
        name: of the corruption.
        severity: from 1 to 3.
        seed: of all draws.

    Raises:
        ValueError: as `LabeledFrames`, or if frames lack what the corruption needs.
    """

    def __init__(self, dataset: LidarDataset, voxels: VoxelConfig, name: str, severity: int, seed: int) -> None:
        self.name, self.severity, self.seed = name, severity, seed
        super().__init__(dataset, voxels)

    def cloud(self, index: int) -> LidarSample:
        """A corrupted frame without its images; errors as of `corrupt_frame`."""
        draws = np.random.default_rng([self.seed, WORD, [*ROBO3D].index(self.name), self.severity, index])
        frame = super().cloud(index)
        if "ring" not in frame.point_fields and isinstance(self.dataset, SemanticKitti):
            fields = {**frame.point_fields, "ring": beams_in_file_order(frame.points)}
            frame = replace(frame, point_fields=fields)
        return corrupt_frame(frame, self.name, self.severity, draws, self.dataset.classes)


def check_corruptions(dataset: LidarDataset, voxels: VoxelConfig) -> None:
    """Corrupt the first frame in every way, before hours are spent; raises ValueError where it lacks what one needs."""
    for name in ROBO3D:
        CorruptedFrames(dataset, voxels, name, 1, 0)


def under_corruptions(
    measure: Callable[[LabeledFrames], float], dataset: LidarDataset, voxels: VoxelConfig, clean: float, seed: int
) -> tuple[dict[str, float], list[JsonObject]]:
    """Figures of a network on corrupted test frames, in percent, and a record for each corruption and severity.

    - miou_NAME: mean over the severities of a corruption.
    - miou_corrupted: mean over the corruptions.
    - retained: mean over the corruptions of miou_NAME as a share of the clean mIoU, Robo3D's mRR.
    - mce: against Robo3D's MinkUNet-18 on the same corruptions, where the frames are nuScenes' or SemanticKITTI's.

    Args:
        measure: the mIoU of the network on frames, in percent.
        dataset: the test frames.
        voxels: how space is cut.
        clean: mIoU on the frames as they are, in percent.
        seed: of all draws.
    """
    records: list[JsonObject] = []
    figures: dict[str, float] = {}
    for name in ROBO3D:
        found = []
        for severity in range(1, SEVERITIES + 1):
            found.append(measure(CorruptedFrames(dataset, voxels, name, severity, seed)))
            records.append({"corruption": name, "severity": severity, "miou": found[-1]})
        figures[f"miou_{name}"] = float(np.mean(found))
    shares = {name: figures[f"miou_{name}"] / 100 for name in ROBO3D}
    figures["miou_corrupted"] = 100 * float(np.mean([*shares.values()]))
    figures["retained"] = 100 * mean_resilience(clean / 100, shares)
    error = mean_frame_error(shares, dataset.name.partition(" (")[0])
    return figures | ({} if error is None else {"mce": 100 * error}), records
