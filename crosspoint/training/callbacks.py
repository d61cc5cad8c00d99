"""What happens around an epoch: the probe on the hold-out, a line in the log, a guard, whole checkpoints."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO
from torch import nn

from crosspoint.checkpoints.load import read_checkpoint
from crosspoint.datasets.pairs import PairDataset
from crosspoint.renderers.atomic import atomic_write
from crosspoint.transforms import unit_sphere

log = logging.getLogger(__name__)


class HoldOut(NamedTuple):
    """Labeled clouds of the training data: what a probe fits, and what it measures on (never a test split)."""

    fit_points: np.ndarray  # (n, N, 3)
    fit_labels: np.ndarray  # (n,)
    held_points: np.ndarray  # (m, N, 3)
    held_labels: np.ndarray  # (m,)

    @classmethod
    def of(cls, dataset: PairDataset, fit: np.ndarray, held: np.ndarray, points: int) -> HoldOut:
        """Read the first `points` points of the clouds at two lists of indices, scaled as in pre-training."""
        clouds = (np.stack([dataset.read_points(int(i))[:points] for i in part]) for part in (fit, held))
        fit_points, held_points = (unit_sphere(torch.from_numpy(part)).numpy() for part in clouds)
        return cls(fit_points, dataset.labels[fit], held_points, dataset.labels[held])


class HoldOutProbe(Callback):
    """Measure the encoder after every so many epochs and after the last; keep the best.

    Logs "probe/<name>" for each figure, and saves a checkpoint when "accuracy" rises.
    """

    def __init__(
        self, probe: Callable[[nn.Module, HoldOut], dict[str, float]], data: HoldOut, every: int, best: Path
    ) -> None:
        self.probe = probe
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
        figures = self.probe(method.encoder, self.data) if trainer.is_global_zero else {}
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


class EpochReport(Callback):
    """One line in the log per epoch, for runs without a progress bar."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self.started = time.perf_counter()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what was logged in this epoch."""
        figures = "  ".join(f"{name} {float(value):.3f}" for name, value in trainer.callback_metrics.items())
        seconds = time.perf_counter() - self.started
        log.info("epoch %d/%d  %.1f s  %s", trainer.current_epoch + 1, trainer.max_epochs or 0, seconds, figures)


class StopOnDivergence(Callback):
    """End the run when an epoch's loss is not finite; the checkpoint of the epoch before stays."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Once an epoch, as every look at the loss waits for the device."""
        loss = trainer.callback_metrics["train/loss"]
        if not torch.isfinite(loss):
            raise ValueError(
                f"found a loss of {float(loss)} in epoch {trainer.current_epoch + 1}, expected a finite one: lower "
                "training.learning_rate, or raise method.temperature"
            )


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, and are read without running code from them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        """Write beside the old checkpoint, then take its name."""
        with atomic_write(Path(path)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(self, path: Any, map_location: Any = None, weights_only: bool | None = True) -> dict[str, Any]:
        """Tensors and plain containers alone."""
        return read_checkpoint(Path(path))
