"""Orthogonality of what two modalities share and what is one's own.

As CMCR's public code has it (https://arxiv.org/abs/2412.08973); the idea is that of difference losses, Bousmalis et
al., Domain Separation Networks, 2016, https://arxiv.org/abs/1608.06019.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from crosspoint.ops.precision import full_precision


def orthogonality(shared: Tensor, specific: Tensor) -> Tensor:
    """‖fᵀ ĝ‖ / C², Frobenius' norm: 0 where each channel of f is orthogonal to each of ĝ over all rows.

    A sum over rows, as published, so it grows with the number of voxels.

    Args:
        shared: (M, C) f, of length 1.
        specific: (M, C) g; ĝ is g brought to length 1.
    """
    with torch.autocast(shared.device.type, enabled=False):
        products = full_precision(shared).T @ F.normalize(full_precision(specific), dim=1)
        return torch.linalg.matrix_norm(products) / shared.shape[1] ** 2
