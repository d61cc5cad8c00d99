"""Maps of several layers of an image network as one."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def join_maps(maps: Sequence[Tensor]) -> Tensor:
    """Maps (I, C, h, w) of several layers, upsampled to the finest of them, corners on corners: (I, ΣC, h, w)."""
    size = max((part.shape[2:] for part in maps), key=lambda shape: shape.numel())
    parts = [
        part if part.shape[2:] == size else F.interpolate(part, size=size, mode="bilinear", align_corners=True)
        for part in maps
    ]
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]
