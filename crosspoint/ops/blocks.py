"""Blocks of the rows of clouds that stay in a cache, and maxima over points that grow from block to block."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from crosspoint.ops.edge_moments import CHUNK_CPU, CHUNK_GPU, winning_slots

Block = tuple[slice, slice]  # clouds and points, to index (B, N, …) with


def blocks(x: Tensor, width: int) -> Iterator[Block]:
    """Parts of x (B, N, C) whose outputs of some width stay in a cache: several clouds, or a piece of one."""
    limit = CHUNK_GPU if x.is_cuda else CHUNK_CPU
    batch, count, _ = x.shape
    clouds = max(1, limit // (count * width))
    points = count if clouds > 1 else max(1, limit // width)
    for cloud in range(0, batch, clouds):
        for point in range(0, count, points):
            yield slice(cloud, cloud + clouds), slice(point, point + points)


class RunningMaximum:
    """Highest values (B, D) over the points seen so far, and the first point that has each.

    Args:
        like: any tensor of the values' type and device.
        shape: (B, D).
        winners: whether to note the points.
    """

    def __init__(self, like: Tensor, shape: tuple[int, int], *, winners: bool) -> None:
        self.values = like.new_full(shape, -torch.inf)
        self.winners = torch.zeros(shape, dtype=torch.int64, device=like.device) if winners else None

    def update(self, block: Block, values: Tensor) -> None:
        """Take in the values (b, n, D) of a block; overwrites them."""
        clouds, points = block
        before, highest = self.values[clouds], values.amax(dim=1)
        if self.winners is not None:
            slots = winning_slots(values, highest).long() + points.start
            self.winners[clouds] = torch.where(highest > before, slots, self.winners[clouds])
        torch.maximum(highest, before, out=before)
