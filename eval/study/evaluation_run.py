"""One network of a study, and where its results lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import nn

from crosspoint.eval.encoder_target import ClassificationTarget
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.table_rows import TableRow


@dataclass(frozen=True)
class EvaluationRun:
    """One network of a study; its features are extracted once, when they are first asked for."""

    study: StudyConfig
    method: TableRow
    number: int

    @property
    def seed(self) -> int:
        """Of all that is drawn for this network, its random weights among them."""
        return self.study.seed + self.number

    @property
    def folder(self) -> Path:
        """Of its files."""
        return self.study.out / "runs" / self.method.folder / f"seed-{self.seed}"

    @property
    def checkpoint(self) -> Path:
        """File of its weights, or of those whose architecture it has."""
        return self.method.checkpoints[self.number].path

    @cached_property
    def measured(self) -> ClassificationTarget:
        """The same as the single commands know it, but for its clouds, which are the study's."""
        study = self.study
        return ClassificationTarget(
            self.checkpoint,
            study.dataset,
            study.root,
            points=study.cloud_points,
            normalize=study.normalize,
            up_axis=study.up_axis,
            random_init=self.method.random_init,
            k=study.k,
            seed=self.seed,
            device=study.device,
            cache=study.cache,
        )

    @property
    def encoder(self) -> nn.Module:
        """The network, in eval mode."""
        return self.measured.encoder

    @cached_property
    def _features(self) -> dict[str, np.ndarray]:
        return {}

    def features(self, split: str) -> np.ndarray:
        """Features (n, C) of a split."""
        if split not in self._features:
            self._features[split] = self.measured.features(self.study.clouds(split).points)
        return self._features[split]
