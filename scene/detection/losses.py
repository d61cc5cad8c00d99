"""Loss functions of detection heads, on tensors alone."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BETA = 1 / 9  # meters, or shares of an anchor, below which the smooth L1 loss is a square: SECOND's


def sigmoid_focal(logits: Tensor, targets: Tensor, *, alpha: float = 0.25, gamma: float = 2.0) -> Tensor:
    """Focal loss of independent classes, element by element.

    With p = sigmoid(logit): −α (1 − p)^γ log p where the target is 1, −(1 − α) p^γ log(1 − p) where it is 0. Lin et
    al., 2017, https://arxiv.org/abs/1708.02002.

    Args:
        logits: of any shape.
        targets: of the same shape, 0 or 1.
        alpha: weight of targets of 1.
        gamma: how little sure answers count.
    """
    entropy = F.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    p = logits.sigmoid()
    wrong = targets * (1 - p) + (1 - targets) * p
    return (targets * alpha + (1 - targets) * (1 - alpha)) * wrong**gamma * entropy


def heat_focal(logits: Tensor, heat: Tensor, *, alpha: float = 2.0, beta: float = 4.0) -> Tensor:
    """Focal loss of a heat map, divided by the number of its peaks; a scalar.

    With p = sigmoid(logit): −(1 − p)^α log p where the target is 1, and −(1 − t)^β p^α log(1 − p) where it is t < 1, so
    that little is asked of the surroundings of a peak. Law and Deng, CornerNet, 2018, https://arxiv.org/abs/1808.01244.

    Args:
        logits: of any shape.
        heat: of the same shape, from 0 to 1.
        alpha: how little sure answers count.
        beta: how little surroundings count.
    """
    p = logits.sigmoid().clamp(1e-4, 1 - 1e-4)
    peaks = heat == 1
    hit = -((1 - p) ** alpha) * p.log()
    miss = -((1 - heat) ** beta) * p**alpha * (1 - p).log()
    return torch.where(peaks, hit, miss).sum() / peaks.sum().clamp(min=1)


def smooth_l1(difference: Tensor, beta: float = BETA) -> Tensor:
    """Half the square over beta below beta, the absolute value less half of beta above; element by element."""
    size = difference.abs()
    return torch.where(size < beta, 0.5 * size**2 / beta, size - 0.5 * beta)
