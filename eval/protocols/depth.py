"""Depth estimation from images as a protocol."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.image_networks import image_stages
from crosspoint.eval.image_target import ImageTarget
from crosspoint.eval.pretraining_overlap import refuse_pretraining_overlap
from crosspoint.eval.protocols.benchmarks import frames_label
from crosspoint.eval.protocols.frame_protocol import on_frames, on_these_frames
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol
from crosspoint.eval.protocols.semseg import TITLES
from crosspoint.eval.report.curves import recorded_curves
from crosspoint.eval.report.report_model import Contribution, Picture
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.cloud_training import PREDICTIONS
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.depth_config import DepthConfig, Mode
from crosspoint.eval.supervised.depth_estimation import RECIPE, RESOURCES, depth_estimation, shown_frames
from crosspoint.eval.supervised.depth_frames import DepthFrames
from crosspoint.renderers.arrays import read_arrays
from crosspoint.scene.datasets.validate import check_scenes
from crosspoint.scene.viz.depth import draw_depth
from crosspoint.training.loggers import Names

DPI = 75


@dataclass(frozen=True)
class Depth(Protocol):
    """Depth estimation from single images: a linear probe on an image network, or fine-tuned; errors per image.

    Args:
        mode: linear: one layer on the frozen network's last two stages; finetuned; or scratch, from random weights
        fraction: share of the training frames that is used: 0.01 takes every hundredth (of nuScenes, scenes)
        recipe: settings of training and measuring; the defaults are SimIPU's on KITTI
        resources: hardware of training
        logger: csv, tensorboard, wandb, mlflow, several with commas between; they write to --save_dir
    """

    name = "depth"
    target = ImageTarget
    trains = True
    study_flags: ClassVar[Mapping[str, str]] = {"epochs": "recipe.epochs"}

    mode: Mode = "linear"
    fraction: float = 1.0
    recipe: DepthConfig = RECIPE
    resources: Resources = RESOURCES
    logger: Names | None = None

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        """A file without an image network."""
        return None if checkpoint.image_network is not None else "a point encoder without an image network"

    def check(self, data: EvaluationData) -> None:
        """Refuse frames that are missing, cannot be read, or have no images or no depth."""
        for frames in (data.train_frames, data.test_frames, data.validation_frames):
            if frames is not None:
                check_scenes(frames, frames=1, pairs=False)
                DepthFrames(frames, self.recipe)
        data.refuse_frame_overlap()

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `depth_estimation`."""
        data, checkpoint = run.data, run.checkpoint
        if not run.random_init and self.mode != "scratch":
            refuse_pretraining_overlap(
                checkpoint.run_config, checkpoint.path, data.test_frames, allowed=data.allow_overlap
            )
        result = depth_estimation(
            image_stages(checkpoint, run.weights_seed),
            mode=self.mode,
            recipe=self.recipe,
            **on_these_frames(run, self.name, self.fraction, self.resources, self.logger),
        )
        return on_frames(result, data), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """The share of pixels that are less than a quarter off: the table marks what is highest as best."""
        share = "" if self.fraction == 1 else f", {100 * self.fraction:g} % of frames"
        return [Column(f"{TITLES[self.mode]} depth δ1{share}, {frames_label(data)}", self.name, "delta1")]

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """Curves over the epochs, and some frames with the truth and what was told."""
        curves, folder = recorded_curves("depth", result), run.folder_of(self.name)
        if folder is None:
            return Contribution(curves=curves)
        frames = DepthFrames(run.data.test_frames, self.recipe)
        told = read_arrays(folder / PREDICTIONS, "the depth that a network told")["shown"]
        chosen = shown_frames(len(frames)) if len(told) else []
        return Contribution(
            curves=curves, pictures=[_picture(frames, *place) for place in zip(chosen, told, strict=True)]
        )


def _picture(frames: DepthFrames, index: int, told: np.ndarray) -> Picture:
    frame, file = frames.whole(index), io.BytesIO()
    figure = draw_depth(frame.images.numpy(), frame.depth.numpy(), told.astype(np.float32))
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(frame.name, file.getvalue())
