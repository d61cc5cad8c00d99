"""Means of rows by the segment they belong to."""

from __future__ import annotations

import torch
from torch import Tensor


def mean_by_segment(rows: Tensor, segment: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The mean of the rows of each segment.

    Args:
        rows: (P, C).
        segment: (P,) int64 in [0, count).
        count: S.

    Returns:
        (S, C), zeros where a segment has no row, and (S,) bool: which have one.
    """
    number = torch.bincount(segment, minlength=count)
    sums = rows.new_zeros(count, rows.shape[1]).index_add(0, segment, rows)
    return sums / number.clamp(min=1)[:, None], number > 0
