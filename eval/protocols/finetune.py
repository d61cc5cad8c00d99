"""Fine-tuned classification as a protocol."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import clouds_label, published_key
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol, on_dataset
from crosspoint.eval.report.curves import recorded_curves
from crosspoint.eval.report.report_model import Contribution
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.classification import Mode, fine_tune
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.splits import split_clouds
from crosspoint.training.loggers import Names

TITLES: dict[Mode, str] = {"finetuned": "fine-tuned", "scratch": "from scratch", "frozen": "linear head"}


@dataclass(frozen=True)
class Finetune(Protocol):
    """Classification fine-tuned from the encoder; the epoch is chosen on a part of the training split.

    Args:
        mode: finetuned: all weights are trained; scratch: all from random ones; frozen: a linear head on the frozen
            encoder
        validation: share of the training clouds that chooses the epoch
        fraction: share of the labels that is trained on
        recipe: settings of training; the defaults are DGCNN's
        resources: hardware of training; an accelerator that is auto follows --device
        logger: csv, tensorboard, wandb, mlflow, several with commas between; they write to --save_dir
    """

    name = "finetune"
    unread = frozenset({"cache", "jobs"})
    trains = True
    study_flags: ClassVar[Mapping[str, str]] = {"epochs": "recipe.epochs", "optimizer": "recipe.optimizer"}

    mode: Mode = "finetuned"
    validation: float = 0.1
    fraction: float = 1.0
    recipe: FinetuneConfig = field(default_factory=FinetuneConfig)
    resources: Resources = field(default_factory=Resources)
    logger: Names | None = None

    def check(self, data: EvaluationData) -> None:
        """Refuse splits that do not fit each other, or are too small."""
        train, test = data.clouds("train"), data.clouds("test")
        split_clouds(train, test, self.validation, self.fraction, data.seed)
        data.refuse_overlap(train, test)

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `fine_tune`."""
        test = run.data.clouds("test")
        result = fine_tune(
            run.encoder,
            run.data.clouds("train"),
            test,
            mode=self.mode,
            recipe=self.recipe,
            validation=self.validation,
            fraction=self.fraction,
            seed=run.seed,
            resources=run.resources(self.resources),
            progress=sys.stderr.isatty(),
            out=run.folder_of(self.name),
            logger=self.logger,
        )
        constants = dict(result.constants)
        constants["network"] = constants.pop("encoder")  # its class; what the run records as encoder are its settings
        return on_dataset(replace(result, constants=constants), test.name), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Accuracy of the chosen epoch."""
        test = data.clouds("test")
        title = f"{TITLES[self.mode]}, {clouds_label(test, data.root)}"
        return [Column(title, self.name, "accuracy", published_key(self.name, test))]

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """Curves over the epochs."""
        return Contribution(curves=recorded_curves("fine-tuning", result))
