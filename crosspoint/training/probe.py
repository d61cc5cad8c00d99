"""The probe of pre-training: a measurement of the encoder on labeled clouds that are held out of the training data."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn

from crosspoint.datasets.finite import FinitePairs
from crosspoint.datasets.pairs import PairDataset
from crosspoint.transforms import unit_sphere


class HoldOut(NamedTuple):
    """Labeled clouds of the training data: what a probe fits, and what it measures on (never a test split)."""

    fit_points: np.ndarray  # (n, N, 3)
    fit_labels: np.ndarray  # (n,)
    held_points: np.ndarray  # (m, N, 3)
    held_labels: np.ndarray  # (m,)

    @classmethod
    def of(cls, dataset: PairDataset, fit: np.ndarray, held: np.ndarray, points: int) -> HoldOut:
        """Read the first `points` points of the clouds at two lists of indices, scaled as in pre-training.

        Raises:
            ValueError: if a number is not finite.
        """
        dataset = FinitePairs(dataset)
        clouds = (np.stack([dataset.read_points(int(i))[:points] for i in part]) for part in (fit, held))
        fit_points, held_points = (unit_sphere(torch.from_numpy(part)).numpy() for part in clouds)
        return cls(fit_points, dataset.labels[fit], held_points, dataset.labels[held])


Measure = Callable[[nn.Module, HoldOut], dict[str, float]]


class HoldOutProbe(Callback):
    """Measurement of the encoder after every so many epochs and after the last; the best checkpoint is kept.

    Logs "probe/<name>" for each figure, and saves a checkpoint when "accuracy" rises.
    """

    def __init__(self, measure: Measure, data: HoldOut, every: int, best: Path) -> None:
        self.measure = measure
        self.data = data
        self.every = every
        self.path = best
        self.best = float("-inf")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Rank 0 measures, all ranks log the same."""
        done = trainer.current_epoch + 1
        if done % self.every and done != trainer.max_epochs:
            return
        method: Any = pl_module.method
        figures = self.measure(method.encoder, self.data) if trainer.is_global_zero else {}
        figures = trainer.strategy.broadcast(figures)
        pl_module.log_dict({f"probe/{name}": value for name, value in figures.items()}, prog_bar=True)
        if figures["accuracy"] > self.best:
            self.best = figures["accuracy"]
            trainer.save_checkpoint(self.path)

    def state_dict(self) -> dict[str, float]:
        """What a resumed run has to know."""
        return {"best": self.best}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from an earlier process."""
        self.best = state_dict["best"]
