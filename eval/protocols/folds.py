"""Few-shot classification on stored folds as a protocol: an SVM on frozen features, or fine-tuned as papers do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.few_shot import task_column
from crosspoint.eval.protocols.pointbert_folds import find_folds, folds_svm, stored_settings
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol, on_dataset
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.pointbert_folds import FOLDS, folds_finetune
from crosspoint.eval.targets import EncoderTarget
from crosspoint.renderers.json_object import JsonObject


@dataclass(frozen=True)
class Folds(Protocol):
    """Point-BERT's stored few-shot tasks, all settings that lie there: an SVM on frozen features, or fine-tuned.

    Papers fine-tune; interrupted, the same command with --cache goes on from the last whole fold.

    Args:
        folds: folder of 5way_10shot/0.pkl …
        mode: svm: an SVM on frozen features; finetuned: all weights are trained; scratch: all from random ones; frozen:
            a linear head on the frozen encoder
        count: how many of each setting, from number 0
        C: penalty C of the SVM
        recipe: settings of training; the defaults are DGCNN's, for 150 epochs
        resources: hardware of training; an accelerator that is auto follows --device
    """

    name = "folds"
    unread = frozenset({"jobs"})
    target = EncoderTarget
    study_flags: ClassVar[Mapping[str, str]] = {"folds": "folds"}

    folds: Path | None = None
    mode: Literal["svm", "finetuned", "scratch", "frozen"] = "svm"
    count: int = 10
    C: float = 1.0
    recipe: FinetuneConfig = FOLDS
    resources: Resources = field(default_factory=Resources)

    def check_settings(self, data: EvaluationData) -> None:
        """Refuse to go on without a folder, and settings that the mode does not read."""
        self._folder()
        svm = self.mode == "svm"
        changed = {"recipe": self.recipe != FOLDS, "resources": self.resources != Resources(), "C": self.C != 1}
        given = [name for name in (("recipe", "resources") if svm else ("C",)) if changed[name]]
        if given:
            raise ValueError(
                f"found {given[0]} for mode {self.mode}, which does not read it, expected none: leave --{given[0]} "
                f"out, or give --mode {'finetuned' if svm else 'svm'}"
            )

    def check(self, data: EvaluationData) -> None:
        """Refuse a folder without all folds."""
        find_folds(self._folder(), stored_settings(self._folder()), self.count)

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `folds_svm` or `folds_finetune`."""
        folder = self._folder()
        shared: JsonObject = {
            "settings": stored_settings(folder),
            "folds": self.count,
            "points": run.data.points,
            "normalize": run.data.normalize,
            "progress": True,
        }
        if self.mode == "svm":
            features = partial(run.extract, progress=False)  # of the folds there is a bar already
            result = folds_svm(folder, features, C=self.C, **shared)
        else:
            result = folds_finetune(
                folder,
                run.encoder,
                mode=self.mode,
                recipe=self.recipe,
                seed=run.seed,
                resources=run.resources(self.resources),
                cache=run.cache,
                **shared,
            )
        return on_dataset(result, "modelnet40/folds"), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Accuracy of each setting."""
        kind = {"svm": "SVM", "finetuned": "fine-tuned", "scratch": "from scratch", "frozen": "linear head"}[self.mode]
        settings = stored_settings(self._folder())
        return [task_column(f"folds, {kind}", *each, "ModelNet40", self.name) for each in settings]

    def _folder(self) -> Path:
        if self.folds is None:
            raise ValueError("found no --folds, expected the folder that folds reads: give it")
        return self.folds
