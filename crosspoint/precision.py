"""Full precision under autocast: statistics, distances and losses want it."""

from __future__ import annotations

import torch
from torch import Tensor


def full_precision(x: Tensor) -> Tensor:
    """The same values in float32 or better."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
