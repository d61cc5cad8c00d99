"""Pairs that pre-training reads: a cloud and some views of the same object.

A `PairDataset` is indexed by `(index, seed)`: whatever an access draws (which view, which file of several) depends
on these two numbers alone. The sampler makes the seed from the run's seed and the epoch, so a run gives the same
batches with any number of loader workers, and gives them again after a resume.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import ClassVar, NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from crosspoint.datasets.field_columns import missing_fields
from crosspoint.fields import Fields
from crosspoint.plugins import SampleDataset

Pairs = TypeVar("Pairs", bound="PairDataset")  # typing.Self is of Python 3.11


class ObjectPair(NamedTuple):
    """One object seen in both modalities; a batch of pairs stacks every field along a new first axis."""

    points: Tensor  # (N, 3) float32, y up; with fields behind x y z where the encoder takes some
    images: Tensor  # (V, 3, H, W) uint8
    label: Tensor  # () int64, -1 where the class is unknown


class PairDataset(SampleDataset):
    """Map-style dataset of `ObjectPair`: the base class of built-in ones and a user's own.

    A subclass sets `classes` and `labels`, and defines `__len__`, `__getitem__` and `read_points`. The arguments of its
    constructor are the keys below `data.dataset` in YAML.

    Attributes:
        classes: names of the classes; empty where there are none.
        labels: (n,) int64, -1 where the class is unknown.
        has_views: whether pairs have images, or embeddings of them.
    """

    has_views: ClassVar[bool] = True
    classes: list[str]
    labels: np.ndarray
    fields: Fields = ()
    _points: Tensor | None = None  # (n, N, 3 + 3 F) float32, of all clouds, where they are kept in memory

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        """The pair at (index, seed); the seed decides all that is drawn."""
        raise IndexError(f"found {type(self).__name__} without items, expected a dataset that defines __getitem__")

    def read_points(self, index: int) -> np.ndarray:
        """The cloud alone, (N, 3) float32: what a probe reads."""
        return self[index, 0].points.numpy()

    def with_fields(self: Pairs, fields: Fields) -> Pairs:
        """The same pairs, whose clouds have normals or colors behind x y z; a dataset that has some defines it.

        Raises:
            ValueError: if there are no such fields.
        """
        if fields:
            raise missing_fields(fields, type(self).__name__)
        return self

    def reread(self: Pairs, fields: Fields) -> Pairs:
        """A copy with other fields, whose clouds are read anew where they are kept in memory."""
        made = copy.copy(self)
        made.fields = fields
        if self._points is not None and fields != self.fields:
            made._points = torch.stack([torch.from_numpy(made.read_points(i)) for i in range(len(self))])
        return made

    def where(self, index: int) -> str:
        """What an object is called and where it lies, for messages."""
        return f"object {index} of {type(self).__name__}"


def draw_views(available: int, wanted: int, seed: int) -> list[int]:
    """Choose `wanted` of `available` views: without repeats while there are enough, with repeats after that.

    Raises:
        ValueError: if there is no view to choose from.
    """
    if available < 1:
        raise ValueError("found an object with no view, expected at least one: render it, or leave it out")
    generator = np.random.default_rng(seed)
    return generator.choice(available, size=wanted, replace=wanted > available).tolist()


def stack_pairs(pairs: Sequence[ObjectPair]) -> ObjectPair:
    """Collate pairs into one batch: points (B, N, 3), images (B, V, 3, H, W), label (B,)."""
    points, images, labels = zip(*pairs, strict=True)
    return ObjectPair(torch.stack(points), torch.stack(images), torch.stack(labels))
