"""One network of a study, and where its results lie."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from eval.features import extract_features
from eval.study.methods import Method
from eval.study.settings import Study


@dataclass(frozen=True)
class Subject:
    """One network of a study; its features are extracted once, when they are first asked for."""

    study: Study
    method: Method
    number: int

    @property
    def seed(self) -> int:
        """Of all that is drawn for this network, its random weights among them."""
        return self.study.seed + self.number

    @property
    def folder(self) -> Path:
        """Of its files."""
        return self.study.out / "runs" / self.method.folder / f"seed-{self.seed}"

    @cached_property
    def encoder(self) -> nn.Module:
        """The network, in eval mode."""
        return self.method.encoder(self.number, self.seed)

    @cached_property
    def _features(self) -> dict[str, np.ndarray]:
        return {}

    def encode(self, points: np.ndarray, progress: bool = False) -> np.ndarray:
        """Features (n, C) of points (n, N, 3), one cloud a pass: rounding depends on nothing but the cloud."""
        study = self.study
        return extract_features(
            self.encoder, points, batch_size=1, device=study.device_name, cache=study.cache, progress=progress
        )

    def features(self, split: str) -> np.ndarray:
        """Features (n, C) of a split."""
        if split not in self._features:
            self._features[split] = self.encode(self.study.clouds(split).points, progress=True)
        return self._features[split]

    def setting(self) -> dict[str, Any]:
        """What decided the features, as the single commands record it."""
        study = self.study
        return {
            "checkpoint": str(self.method.checkpoints[self.number]),
            "random_init": self.method.random_init,
            "encoder": self.encoder.config,
            "points": study.cloud_points,
            "normalise": study.normalise,
            "up_axis": study.up_axis,
        }
