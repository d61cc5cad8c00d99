"""Callbacks of every training: a line in the log per epoch, and checkpoints that appear whole."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import TorchCheckpointIO

from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.renderers.atomic import atomic_write

log = logging.getLogger(__name__)


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


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints appear whole or not at all, and are read without running code from them."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        """Write beside the old checkpoint, then take its name."""
        with atomic_write(Path(path)) as file:
            torch.save(checkpoint, file)

    def load_checkpoint(
        self, path: str | Path, map_location: object = None, weights_only: bool | None = True
    ) -> dict[str, Any]:
        """Tensors and plain containers alone."""
        return read_checkpoint(Path(path))
