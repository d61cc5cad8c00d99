"""Cross-modal code matching: a point and its pixel should be near to the same codes of a codebook.

Liu et al., Cross-Modal Discrete Representation Learning, 2021, https://arxiv.org/abs/2106.05438, in the form of CMCR's
public code (https://arxiv.org/abs/2412.08973).
"""

from __future__ import annotations

import torch
from torch import Tensor

from crosspoint.losses import info_nce
from crosspoint.ops.precision import full_precision

CLOSEST = 1e-6  # squared distance below which the root's gradient, which has no bound, is not taken


def code_matching(points: Tensor, pixels: Tensor, codes: Tensor, *, temperature: float = 1.0) -> Tensor:
    """How well the pairs are told from one another by the codes alone.

    With a_i = softmax(−|f_i − E| / t) and b_i = softmax(−|v_i − E| / t) over the codes, S_ij = a_i · log b_j + b_i ·
    log a_j, and the loss is the cross entropy of each pair among all others, −1/M Σᵢ log(exp S_ii / Σⱼ exp S_ij).

    S is a product of [a, b] and [log b, log a], so this is InfoNCE, in memory that does not grow with M². The public
    code loops over the rows, shifts S by its least value so that all exponentials are 1 or more, and adds 1e-5 to their
    sum; that changes the loss by less than 1e-5 / M, and is left out here. Liu et al. compare a_i with b_j in both
    terms; the public code, and this, compares pair i with pair j.

    Args:
        points: (M, C) f.
        pixels: (M, C) v, row by row the counterparts.
        codes: (K, C) E, which get no gradient.
        temperature: t. The public code has none, which is 1: then hundreds of codes, none further than 2 from a
            feature, have nearly equal shares, and the loss stays near ln M.

    Returns:
        A scalar; 0 where there is no pair.
    """
    if len(points) == 0:
        return (points.sum() + pixels.sum()) * 0.0
    with torch.autocast(points.device.type, enabled=False):
        codes = full_precision(codes.detach())
        log_a, log_b = (_log_shares(full_precision(rows), codes, temperature) for rows in (points, pixels))
        queries, keys = torch.cat([log_a.exp(), log_b.exp()], dim=1), torch.cat([log_b, log_a], dim=1)
        return info_nce(queries, keys, temperature=1.0, normalize=False)


def _log_shares(rows: Tensor, codes: Tensor, temperature: float) -> Tensor:
    """log softmax of the negative distances over a temperature: (M, C), (K, C) → (M, K)."""
    squares = rows.square().sum(dim=1, keepdim=True) + codes.square().sum(dim=1) - 2 * rows @ codes.T
    return torch.log_softmax(squares.clamp(min=CLOSEST).sqrt() / -temperature, dim=1)
