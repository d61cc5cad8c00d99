"""What pre-training reads: a cloud and some views of the same object.

A `PairDataset` is indexed by `(index, seed)`: whatever an access draws (which view, which file of several) depends
on these two numbers alone. The sampler makes the seed from the run's seed and the epoch, so a run gives the same
batches with any number of loader workers, and gives them again after a resume.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor


class ObjectPair(NamedTuple):
    """One object seen in both modalities; a batch of pairs stacks every field along a new first axis."""

    points: Tensor  # (N, 3) float32, y up
    images: Tensor  # (V, 3, H, W) uint8
    label: Tensor  # () int64, -1 where the class is unknown


class PairDataset(Protocol):
    """A map-style dataset of `ObjectPair`."""

    classes: list[str]
    labels: np.ndarray  # (n,) int64, -1 where the class is unknown

    def __len__(self) -> int: ...

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair: ...

    def read_points(self, index: int) -> np.ndarray:
        """The cloud alone, (N, 3) float32: what a probe reads."""


def draw_views(available: int, wanted: int, seed: int) -> list[int]:
    """Choose `wanted` of `available` views: without repeats while there are enough, with repeats after that.

    Raises:
        ValueError: if there is no view to choose from.
    """
    if available < 1:
        raise ValueError("found an object with no view, expected at least one: render it, or leave it out")
    generator = np.random.default_rng(seed)
    return generator.choice(available, size=wanted, replace=wanted > available).tolist()


def stack_pairs(pairs: list[ObjectPair]) -> ObjectPair:
    """Collate pairs into one batch: points (B, N, 3), images (B, V, 3, H, W), label (B,)."""
    points, images, labels = zip(*pairs, strict=True)
    return ObjectPair(torch.stack(points), torch.stack(images), torch.stack(labels))
