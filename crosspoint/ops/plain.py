"""Plain operations: what a graph for another runtime is made of.

The fast paths of this folder divide their work by the sizes that they see, hold trees, and bring gradients of their
own. A graph that is exported takes any number of clouds and points, so it is traced through the formulas instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

_asked: list[None] = []  # one entry for each block that is entered


def plain() -> bool:
    """Whether a fast path gives way to its formula here."""
    return bool(_asked)


@contextmanager
def plain_operations() -> Iterator[None]:
    """A block in which networks use plain operations alone, whose shapes may stay open; of this whole process."""
    _asked.append(None)
    try:
        yield
    finally:
        _asked.pop()


def squared_distances(first: Tensor, second: Tensor) -> Tensor:
    """|a − b|² of all pairs, one coordinate after the other: (B, N, C) and (B, M, C) → (B, N, M)."""
    total = torch.zeros((), dtype=first.dtype, device=first.device)
    for a, b in zip(first.unbind(dim=2), second.unbind(dim=2), strict=True):
        total = total + (a.unsqueeze(2) - b.unsqueeze(1)).square()
    return total
