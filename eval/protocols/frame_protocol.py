"""Base of protocols on LiDAR frames: encoders that they take, and frames that they refuse."""

# No postponed annotations here: the command line evaluates those of a base class in the module of the subclass.

import sys
from dataclasses import dataclass, replace
from typing import Any

from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.protocol import Protocol, on_dataset
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.targets import FrameTarget
from crosspoint.scene.datasets.validate import check_scenes
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.training.loggers import Names


@dataclass(frozen=True)
class FrameProtocol(Protocol):
    """A protocol that trains a network of voxels on labeled frames."""

    target = FrameTarget
    trains = True

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        """Other networks than those for voxels, and voxels with other features than the intensity."""
        reason = super().unsupported(checkpoint)
        if reason is not None:
            return reason
        if not issubclass(checkpoint.network, MinkUNet):
            return f"a {checkpoint.network.__name__}, which is no MinkUNet"
        channels = checkpoint.config["in_channels"]
        if channels != checkpoint.voxels.channels:
            return f"an encoder for {channels} features of a voxel, where frames give {checkpoint.voxels.channels}"
        return None

    def check(self, data: EvaluationData) -> None:
        """Refuse frames that are missing or cannot be read."""
        for frames in (data.train_frames, data.test_frames, data.validation_frames):
            if frames is not None:
                check_scenes(frames, frames=1, pairs=False, labels=True)
        data.refuse_frame_overlap()


def on_these_frames(
    run: EvaluationRun, protocol: str, fraction: float, resources: Resources, logger: Names | None
) -> dict[str, Any]:
    """Arguments that all trainings on frames take alike: the frames, and how and where a network is trained.

    Args:
        run: of the protocol.
        protocol: its name.
        fraction: of the training frames.
        resources: as the protocol was given them.
        logger: names of loggers.
    """
    return {
        "train": run.data.train_frames,
        "test": run.data.test_frames,
        "validation": run.data.validation_frames,
        "fraction": fraction,
        "seed": run.seed,
        "resources": run.resources(resources),
        "progress": sys.stderr.isatty(),
        "out": run.folder_of(protocol),
        "logger": logger,
    }


def on_frames(result: Result, data: EvaluationData) -> Result:
    """The same result with the name of the dataset, and the frames that were left out, among its constants."""
    splits = {"train": data.train_frames, "test": data.test_frames, "validation": data.validation_frames}
    left_out = {name: frames.left_out for name, frames in splits.items() if frames is not None and frames.left_out}
    if left_out:
        result = replace(result, constants={**result.constants, "frames_left_out": left_out})
    return on_dataset(result, data.test_frames.name)
