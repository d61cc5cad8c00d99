"""Base of trainings on labeled frames, and how one that was interrupted is known again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import nn

from crosspoint.eval.features import feature_key
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.resume import InterruptedTraining
from crosspoint.eval.supervised.trainer import Examples, Training
from crosspoint.scene.data.lidar_dataset import LidarDataset


class FrameExamples(Examples, Protocol):
    """Examples that say how they become a batch."""

    def collate(self, samples: Sequence[Any]) -> Any:
        """Examples → a batch."""
        ...


class KnownFrames(Protocol):
    """Frames of a dataset that are known again by a fingerprint."""

    @property
    def dataset(self) -> LidarDataset:
        """Where they are from."""
        ...

    def __len__(self) -> int: ...

    def fingerprint(self) -> np.ndarray:
        """Numbers of some of them."""
        ...


class FrameTraining(Training):
    """Train a network on frames; what is drawn for a frame comes from its seed in the epoch.

    Args:
        network: with the modes of its modules set.
        frames: of the training; they collate their batches.
        batch_size: frames per process and step.
        resources: what it runs on.
        seed: of the order, the augmentation, and all else that is drawn.
    """

    def __init__(
        self, network: nn.Module, frames: FrameExamples, *, batch_size: int, resources: Resources, seed: int
    ) -> None:
        super().__init__(
            network,
            frames,
            batch_size=batch_size,
            resources=resources,
            seed=seed,
            smallest=1,
            collate=frames.collate,
        )


def interrupted_training(
    folder: Path | None,
    network: nn.Module,
    train: KnownFrames,
    validation: KnownFrames | None,
    resources: Resources,
    *settings: object,
) -> InterruptedTraining | None:
    """The training of a folder that may have been interrupted; None without a folder.

    Args:
        folder: of the training.
        network: as it begins.
        train: frames of the training.
        validation: frames that choose the epoch, where there are some.
        resources: what it runs on; how much memory and how many workers change nothing.
        settings: all else that decides the result, as JSON holds it.
    """
    if folder is None:
        return None
    splits = [train] if validation is None else [train, validation]
    data = [[feature_key(network, frames.fingerprint()), frames.dataset.name, len(frames)] for frames in splits]
    return InterruptedTraining.of(folder, data, [resources.precision, resources.devices], *settings)
