"""Part segmentation as a protocol."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import labeled_dataset
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import clouds_label, published_key
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol, on_dataset
from crosspoint.eval.report.curves import recorded_curves
from crosspoint.eval.report.report_model import Contribution, Segmented
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.cloud_training import PREDICTIONS
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.part_segmentation import PARTS, Mode, check_encoder, segment_parts
from crosspoint.eval.supervised.splits import split_clouds
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.renderers.arrays import read_arrays
from crosspoint.training.loggers import Names

SHOWN = 8  # clouds in a report
PART_POINTS = 2048  # per cloud of ShapeNetPart, as the original trains
K = 40  # neighbors per point, whatever the encoder was pre-trained with


@dataclass(frozen=True)
class PartSegmentation(Protocol):
    """Part segmentation fine-tuned from an encoder, on ShapeNetPart's layout; --k is 40 where it is not given.

    Args:
        parts: folder of ShapeNetPart's layout, if it is not the dataset itself
        part_points: points per cloud of --parts
        mode: finetuned: training starts from the encoder; scratch: from random weights
        train_split: name of the split to learn from; the original trains on trainval, with --validation 0
        validation: share of the training clouds that chooses the epoch; by default the split val does
        fraction: share of the training clouds that is trained on
        votes: passes over each test cloud, averaged
        recipe: settings of training; the defaults are the original's
        resources: hardware of training; an accelerator that is auto follows --device
        logger: csv, tensorboard, wandb, mlflow, several with commas between; they write to --save_dir
    """

    name = "partseg"
    unread = frozenset({"cache", "jobs"})
    trains = True
    study_flags: ClassVar[Mapping[str, str]] = {
        "parts": "parts",
        "part_points": "part_points",
        "epochs": "recipe.epochs",
        "optimizer": "recipe.optimizer",
    }

    parts: Path | None = None
    part_points: int = PART_POINTS
    mode: Mode = "finetuned"
    train_split: Literal["train", "trainval"] = "train"
    validation: float | None = None
    fraction: float = 1.0
    votes: int = 1
    recipe: FinetuneConfig = PARTS
    resources: Resources = field(default_factory=Resources)
    logger: Names | None = None

    def check_settings(self, data: EvaluationData) -> None:
        """Refuse a dataset without parts where no other one is given."""
        if self.parts is None and self.part_points != PART_POINTS:
            raise ValueError(
                f"found part_points {self.part_points} without --parts, whose clouds it is for: give --points instead"
            )
        if self.parts is None and not labeled_dataset(str(data.dataset)).has_parts:
            raise ValueError(
                f"found no --parts and the dataset {data.dataset}, expected the folder that partseg reads: give it"
            )

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        """Networks that keep no features of points for a decoder."""
        known = checkpoint.network.forward_levels is not PointEncoder.forward_levels
        return super().unsupported(checkpoint) or (None if known else "an encoder without forward_levels")

    def check(self, data: EvaluationData) -> None:
        """Refuse splits that do not fit each other, are too small, or have no parts."""
        train, test = self._clouds(data, self.train_split), self._clouds(data, "test")
        validation = self._validation(data)
        split_clouds(train, test, validation, self.fraction, data.seed)
        for held in (test, validation) if isinstance(validation, Clouds) else (test,):
            data.refuse_overlap(train, held)

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `segment_parts`; its answers lie beside the network."""
        train, test = self._clouds(run.data, self.train_split), self._clouds(run.data, "test")
        result = segment_parts(
            check_encoder(run.encoder),
            train,
            test,
            mode=self.mode,
            recipe=self.recipe,
            k=run.checkpoint.k or K,
            validation=self._validation(run.data),
            fraction=self.fraction,
            votes=self.votes,
            seed=run.seed,
            resources=run.resources(self.resources),
            progress=sys.stderr.isatty(),
            out=run.folder_of(self.name),
            logger=self.logger,
        )
        return on_dataset(result, test.name), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Mean IoU over clouds, and over categories."""
        test = self._clouds(data, "test")
        label = clouds_label(test, self.parts or data.root)
        return [
            Column(f"parts, instance mIoU, {label}", self.name, "instance_miou", published_key(self.name, test)),
            Column(
                f"parts, category mIoU, {label}",
                self.name,
                "category_miou",
                published_key(f"{self.name}_category", test),
            ),
        ]

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """Curves over the epochs, and one cloud of each category, until there are enough."""
        curves = recorded_curves("part segmentation", result)
        folder = run.folder_of(self.name)
        if folder is None:
            return Contribution(curves=curves)
        answers = read_arrays(folder / PREDICTIONS, "the predictions of part segmentation")
        clouds = self._clouds(run.data, "test")
        _, first = np.unique(clouds.labels, return_index=True)
        segmented = [
            Segmented(
                clouds.classes[clouds.labels[index]],
                clouds.points[index, :, :3],
                answers["truth"][index],
                answers["parts"][index],
            )
            for index in first[:SHOWN]
        ]
        return Contribution(curves=curves, segmented=segmented)

    def _clouds(self, data: EvaluationData, split: str) -> Clouds:
        if self.parts is None:
            return data.clouds(split)
        return data.other_clouds("shapenetpart", self.parts, split, self.part_points)

    def _validation(self, data: EvaluationData) -> Clouds | float:
        return self._clouds(data, "val") if self.validation is None else self.validation
