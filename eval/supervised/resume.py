"""Supervised training that can be interrupted: kept after every epoch, and known again by all that decides it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from crosspoint.checkpoints.files import read_checkpoint

CHECKPOINT = "training.ckpt"
DIGEST_KEY = "crosspoint_training"  # where the checkpoint keeps what it is known by


class InterruptedTraining(Callback):
    """Write the state of a training after every epoch.

    Args:
        folder: of the file.
        digest: of all that decides the training.
    """

    def __init__(self, folder: Path, digest: str) -> None:
        self.folder = folder
        self.digest = digest

    @classmethod
    def of(cls, folder: Path, *decides: object) -> InterruptedTraining:
        """A training that all of `decides` decides, values that JSON holds: of network, data, recipe and seed.

        Raises:
            ValueError: if the folder has a training of another network, on other data, by another recipe or seed.
        """
        unfinished = cls(folder, hashlib.sha256(json.dumps(decides).encode()).hexdigest())
        path = unfinished.checkpoint
        if path is not None and read_checkpoint(path).get(DIGEST_KEY) != unfinished.digest:
            raise ValueError(
                f"found {path} of another network, data, recipe or seed, expected the training that was interrupted: "
                "repeat its command, or choose another folder"
            )
        return unfinished

    @property
    def checkpoint(self) -> Path | None:
        """The file to go on from, where there is one."""
        path = self.folder / CHECKPOINT
        return path if path.is_file() else None

    def on_save_checkpoint(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Sign the file."""
        checkpoint[DIGEST_KEY] = self.digest

    @staticmethod
    def remove(folder: Path) -> None:
        """The training is done, and what it was for is written."""
        (folder / CHECKPOINT).unlink(missing_ok=True)
