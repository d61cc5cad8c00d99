"""Panoptic segmentation of LiDAR frames as a protocol."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from matplotlib.figure import Figure

from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.panoptic.config import BranchConfig, Mode, PanopticConfig
from crosspoint.eval.panoptic.grouping import GroupingConfig
from crosspoint.eval.panoptic.instance_frames import thing_classes
from crosspoint.eval.panoptic.panoptic_segmentation import BRANCH, GROUPING, RECIPE, RESOURCES, panoptic_segmentation
from crosspoint.eval.protocols.benchmarks import frames_label
from crosspoint.eval.protocols.frame_protocol import FrameProtocol, on_frames, on_these_frames
from crosspoint.eval.protocols.protocol import Column, Measured
from crosspoint.eval.report.class_tables import class_tables
from crosspoint.eval.report.curves import recorded_curves
from crosspoint.eval.report.report_model import Contribution, Matrix, Picture
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.cloud_training import PREDICTIONS
from crosspoint.eval.supervised.config import Resources
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.viz.maps import draw_maps
from crosspoint.scene.viz.object_colors import by_object, true_objects
from crosspoint.scene.viz.predictions import frame_predictions
from crosspoint.training.loggers import Names

TITLES: dict[Mode, str] = {"finetuned": "fine-tuned", "scratch": "from scratch", "frozen": "frozen"}
FIGURES = {
    "kind": "kind",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "iou": "IoU",
    "matched": "matched",
    "invented": "invented",
    "missed": "missed",
}  # of a class, in a report
SHOWN = 2  # frames in a report, spread evenly
SIZE, DPI = (16.0, 7.2), 75  # inches of a picture, and dots in each


@dataclass(frozen=True)
class PanopticSegmentation(FrameProtocol):
    """Panoptic segmentation of LiDAR frames: classes and objects by Panoptic-PolarNet's head; PQ over raw points.

    Args:
        mode: finetuned; scratch, from random weights; or frozen, which trains the head alone
        fraction: share of the training frames that is used: 0.01 takes every hundredth (of nuScenes, scenes)
        things: names of the classes that have objects; by default those that the dataset names
        least_points: points of a segment below which it is no mistake; by default the benchmark's 15 for nuScenes, 50
            for SemanticKITTI, and 30
        recipe: settings of training; the defaults are CSC's
        branch: size of the part that finds objects
        grouping: how objects are found in what the network says
        resources: hardware of training
        logger: csv, tensorboard, wandb, mlflow, several with commas between; they write to --save_dir
    """

    name = "panoptic"
    study_flags: ClassVar[Mapping[str, str]] = {"epochs": "recipe.epochs"}

    mode: Mode = "finetuned"
    fraction: float = 1.0
    things: list[str] | None = None
    least_points: int | None = None
    recipe: PanopticConfig = RECIPE
    branch: BranchConfig = BRANCH
    grouping: GroupingConfig = GROUPING
    resources: Resources = RESOURCES
    logger: Names | None = None

    def check(self, data: EvaluationData) -> None:
        """Refuse frames that are missing or cannot be read, and classes with objects that are not there."""
        super().check(data)
        thing_classes(data.train_frames, self.things)

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `panoptic_segmentation`; its answers lie beside the network."""
        encoder, data = run.encoder, run.data
        assert isinstance(encoder, MinkUNet)  # as `unsupported` found
        result = panoptic_segmentation(
            encoder,
            voxels=run.checkpoint.voxels,
            mode=self.mode,
            recipe=self.recipe,
            branch=self.branch,
            grouping=self.grouping,
            things=self.things,
            least_points=self.least_points,
            **on_these_frames(run, self.name, self.fraction, self.resources, self.logger),
        )
        return on_frames(result, data), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """PQ, and PQ of things."""
        share = "" if self.fraction == 1 else f", {100 * self.fraction:g} % of labels"
        titles = {"pq": "PQ", "pq_things": "PQ of things"}
        return [
            Column(f"{TITLES[self.mode]} {title}{share}, {frames_label(data)}", self.name, metric)
            for metric, title in titles.items()
        ]

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """Curves over the epochs, the confusion matrix of points, qualities by class, and frames with their objects."""
        rows = [row for row in result.records if "points_given" in row]
        matrix = Matrix(np.array([row["points_given"] for row in rows]), [row["class"] for row in rows])
        curves, folder = recorded_curves("panoptic segmentation", result), run.folder_of(self.name)
        tables = class_tables("Classes: panoptic segmentation", result, FIGURES)
        if folder is None:
            return Contribution(curves=curves, matrix=matrix, tables=tables)
        frames = run.data.test_frames
        chosen = sorted({*np.linspace(0, len(frames) - 1, SHOWN + 2).astype(int)[1:-1].tolist()})
        things = frames.things if self.things is None else self.things
        pictures = [_picture(frames, index, things, folder / PREDICTIONS) for index in chosen]
        return Contribution(curves=curves, matrix=matrix, tables=tables, pictures=pictures)


def _picture(frames: LidarDataset, index: int, things: Sequence[str], answers: Path) -> Picture:
    """A frame from above: true objects beside those that were found."""
    frame = frames[index]
    cloud = LidarSample(frame.name, frame.points)
    true = true_objects(frame, frames.classes, things)
    found = frame_predictions(answers, index, frames=len(frames), points=len(frame.points), array="instance")
    figure = Figure(figsize=SIZE, layout="constrained")
    maps = [by_object("true objects", true), by_object("objects found", found)]
    draw_maps(figure.subfigures(1, 1, squeeze=False)[0, 0], cloud, maps, SIZE)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(frame.name, file.getvalue())
