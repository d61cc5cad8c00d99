"""Detection of objects in LiDAR frames as a protocol."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import frames_label
from crosspoint.eval.protocols.frame_protocol import on_frames, on_these_frames
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol
from crosspoint.eval.report.class_tables import class_tables
from crosspoint.eval.report.curves import recorded_curves
from crosspoint.eval.report.report_model import Contribution, Picture
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.boxed_frames import checked_boxes
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.detection import DETECTOR, RECIPE, RESOURCES, detection
from crosspoint.eval.supervised.detector_training import DetectionConfig
from crosspoint.eval.targets import FrameTarget
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.validate import check_scenes
from crosspoint.scene.detection.detector import DetectorConfig
from crosspoint.scene.models.birdseye_encoder import BirdsEyeEncoder
from crosspoint.scene.viz.found_boxes import draw_found_boxes
from crosspoint.scene.viz.predictions import frame_answers
from crosspoint.training.loggers import Names

FIGURES = {"objects": "objects", "ap_3d": "AP", "ap_bev": "AP from above"}  # of a class, in a report
SHOWN = 2  # frames in a report, spread evenly
DPI = 75


@dataclass(frozen=True)
class Detection(Protocol):
    """Detection of objects in LiDAR frames: a detector that begins with an encoder of scenes; AP of its boxes.

    Args:
        fraction: share of the training frames that is used: 0.01 takes every hundredth (of nuScenes, scenes)
        detector: what is built on the encoder; the defaults are SECOND's backbone and CenterPoint's head
        recipe: settings of training; the defaults are SECOND's on KITTI
        resources: hardware of training
        logger: csv, tensorboard, wandb, mlflow, several with commas between; they write to --save_dir
    """

    name = "detection"
    target = FrameTarget
    trains = True
    study_flags: ClassVar[Mapping[str, str]] = {"epochs": "recipe.epochs"}

    fraction: float = 1.0
    detector: DetectorConfig = DETECTOR
    recipe: DetectionConfig = RECIPE
    resources: Resources = RESOURCES
    logger: Names | None = None

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        """Encoders without a map from above, and voxels without an extent."""
        reason = super().unsupported(checkpoint)
        if reason is not None:
            return reason
        if not issubclass(checkpoint.network, BirdsEyeEncoder):
            return f"a {checkpoint.network.__name__}, which gives no map from above"
        if checkpoint.voxels.extent is None:
            return "voxels without an extent"
        return None

    def check(self, data: EvaluationData) -> None:
        """Refuse frames that are missing, cannot be read, or have no boxes."""
        for frames in (data.train_frames, data.test_frames, data.validation_frames):
            if frames is None:
                continue
            if not frames.box_classes:
                raise ValueError(f"found no boxes in {frames.name}, expected a dataset that has them")
            check_scenes(frames, frames=1, pairs=False)
            checked_boxes(frames[0], frames.box_classes)
        data.refuse_frame_overlap()

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `detection`; its answers lie beside the network."""
        encoder, data = run.encoder, run.data
        assert isinstance(encoder, BirdsEyeEncoder)  # as `unsupported` found
        result = detection(
            encoder,
            voxels=run.checkpoint.voxels,
            detector=self.detector,
            recipe=self.recipe,
            **on_these_frames(run, self.name, self.fraction, self.resources, self.logger),
        )
        return on_frames(result, data), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """AP of volumes and by the distance of centers, means over the classes."""
        share = "" if self.fraction == 1 else f", {100 * self.fraction:g} % of labels"
        titles = {"ap_3d": "AP", "map_centers": "mAP by centers"}
        return [
            Column(f"detection {title}{share}, {frames_label(data)}", self.name, metric)
            for metric, title in titles.items()
        ]

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """Curves over the epochs, AP by class, and some frames with true and found boxes."""
        curves, folder = recorded_curves("detection", result), run.folder_of(self.name)
        tables = class_tables("Classes: detection", result, FIGURES)
        if folder is None:
            return Contribution(curves=curves, tables=tables)
        frames = run.data.test_frames
        chosen = sorted({*np.linspace(0, len(frames) - 1, SHOWN + 2).astype(int)[1:-1].tolist()})
        pictures = [_picture(frames, index, folder) for index in chosen]
        return Contribution(curves=curves, tables=tables, pictures=pictures)


def _picture(frames: LidarDataset, index: int, folder: Path) -> Picture:
    """A frame's images, and its cloud from above, with true and found boxes."""
    frame, file = frames[index], io.BytesIO()
    answers = frame_answers(folder, index, frames=len(frames), points=len(frame.points))
    assert answers.boxes is not None and answers.scores is not None
    figure = draw_found_boxes(frame, answers.boxes, answers.scores, frames.box_classes)
    figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    return Picture(frame.name, file.getvalue())
