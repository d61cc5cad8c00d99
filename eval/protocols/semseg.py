"""Semantic segmentation of LiDAR frames as a protocol."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch

from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import frames_label
from crosspoint.eval.protocols.frame_protocol import FrameProtocol, on_frames, on_these_frames
from crosspoint.eval.protocols.protocol import Column, Measured
from crosspoint.eval.report.class_tables import class_tables
from crosspoint.eval.report.curves import recorded_curves
from crosspoint.eval.report.report_model import Contribution, Matrix, Picture
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.cloud_training import PREDICTIONS
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.corrupted_frames import Corruptions
from crosspoint.eval.supervised.segmenter import Mode, SegmentationConfig
from crosspoint.eval.supervised.semantic_segmentation import RECIPE, RESOURCES, semantic_segmentation
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.viz.picture import draw_frame
from crosspoint.scene.viz.predictions import frame_predictions
from crosspoint.training.loggers import Names

TITLES: dict[Mode, str] = {
    "linear": "linear probe",
    "mlp": "MLP probe",
    "finetuned": "fine-tuned",
    "scratch": "from scratch",
}
SHOWN = 2  # frames in a report, spread evenly
DPI = 75


@dataclass(frozen=True)
class SemanticSegmentation(FrameProtocol):
    """Semantic segmentation of LiDAR frames: a probe on an encoder of scenes, or fine-tuned; mIoU per point.

    Args:
        mode: linear: one layer on the frozen encoder, BatchNorm and all; mlp: two; finetuned; scratch: random weights
        fraction: share of the training frames that is used: 0.01 takes every hundredth (of nuScenes, scenes)
        tta: views of a test frame, turned and mirrored, whose probabilities are averaged; 1 is the frame as it is
        corruptions: robo3d measures on corrupted test frames, too: Robo3D's 8 kinds, of 3 severities
        recipe: settings of training; the defaults are SLidR's
        resources: hardware of training
        logger: csv, tensorboard, wandb, mlflow, several with commas between; they write to --save_dir
    """

    name = "semseg"
    study_flags: ClassVar[Mapping[str, str]] = {"epochs": "recipe.epochs"}

    mode: Mode = "linear"
    fraction: float = 1.0
    tta: int = 1
    corruptions: Corruptions = "none"
    recipe: SegmentationConfig = RECIPE
    resources: Resources = RESOURCES
    logger: Names | None = None

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `semantic_segmentation`; its answers lie beside the network."""
        encoder, data = run.encoder, run.data
        assert isinstance(encoder, MinkUNet)  # as `unsupported` found
        result = semantic_segmentation(
            encoder,
            voxels=run.checkpoint.voxels,
            mode=self.mode,
            recipe=self.recipe,
            corruptions=self.corruptions,
            tta=self.tta,
            **on_these_frames(run, self.name, self.fraction, self.resources, self.logger),
        )
        return on_frames(result, data), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Mean IoU, and what corruptions leave of it."""
        share = "" if self.fraction == 1 else f", {100 * self.fraction:g} % of labels"
        share += "" if self.tta == 1 else f", {self.tta} views"
        label = f"{share}, {frames_label(data)}"
        columns = [Column(f"{TITLES[self.mode]} mIoU{label}", self.name, "miou")]
        if self.corruptions != "none":
            columns.append(Column(f"corrupted mIoU{label}", self.name, "miou_corrupted"))
            columns.append(Column(f"retained{label}", self.name, "retained"))
        return columns

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """Curves over the epochs, the confusion matrix of points, IoU by class, and frames with truth and answers."""
        rows = [row for row in result.records if "points_given" in row]
        matrix = Matrix(np.array([row["points_given"] for row in rows]), [row["class"] for row in rows])
        named = "segmentation" if self.name == SemanticSegmentation.name else TITLES[self.mode]
        curves, tables = recorded_curves(named, result), class_tables(f"Classes: {named}", result, {"iou": "IoU"})
        folder = run.folder_of(self.name)
        if folder is None:
            return Contribution(curves=curves, matrix=matrix, tables=tables)
        frames = run.data.test_frames
        chosen = sorted({*np.linspace(0, len(frames) - 1, SHOWN + 2).astype(int)[1:-1].tolist()})
        pictures = [_picture(frames, index, folder / PREDICTIONS) for index in chosen]
        return Contribution(curves=curves, matrix=matrix, tables=tables, pictures=pictures)


@dataclass(frozen=True)
class MlpProbe(SemanticSegmentation):
    """Semantic segmentation of LiDAR frames by a probe of two layers: `semseg --mode mlp`, for studies of both."""

    name = "semseg_mlp"

    mode: Mode = "mlp"


@dataclass(frozen=True)
class FinetunedSegmentation(SemanticSegmentation):
    """Semantic segmentation of LiDAR frames, fine-tuned: `semseg --mode finetuned`, for studies of both."""

    name = "semseg_finetuned"

    mode: Mode = "finetuned"


def _picture(frames: LidarDataset, index: int, answers: Path) -> Picture:
    """A frame from above: truth beside answers."""
    frame = frames[index]
    cloud = frame.keep_views(torch.arange(0))
    predicted = frame_predictions(answers, index, frames=len(frames), points=len(frame.points))
    file = io.BytesIO()
    draw_frame(cloud, frames.classes, predicted).savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(frame.name, file.getvalue())
