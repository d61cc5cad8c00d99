"""Density- and class-aware sampling of pairs (DCAS): rare ranges and rare classes as often as common ones.

Zhang et al., Fine-grained Image-to-LiDAR Contrastive Distillation with Visual Foundation Models (OLIVINE), 2024,
https://arxiv.org/abs/2405.14271.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

ROWS = 2**22  # kernel values held at once


def balanced_sample(ranges: Tensor, labels: Tensor, count: int, generator: Generator) -> Tensor:
    """Pairs drawn without replacement, each with a chance that falls with the density of its range and class.

    P(p) ∝ 1 / (f(r_p) · N_{y_p}), f the density of ranges among the pairs, N_y how many of them have the class y.

    Args:
        ranges: (P,) meters from the sensor, rounded to steps, as their density is computed at each value once.
        labels: (P,) int64 classes.
        count: how many to draw; all pairs where there are not more.
        generator: on the device of the pairs.

    Returns:
        (min(count, P),) int64, none twice.
    """
    if count >= len(ranges):
        return torch.randperm(len(ranges), generator=generator, device=ranges.device)
    numbers = torch.bincount(labels)[labels]
    odds = (density(ranges) * numbers).reciprocal()
    # The smallest of exponential variables of these rates: a draw without replacement, whatever the number of pairs.
    waits = torch.empty_like(odds).exponential_(generator=generator) / odds
    return waits.topk(count, largest=False).indices


def density(values: Tensor) -> Tensor:
    """Density of values (P,) at each of them, by Gaussian kernels: (P,).

    f(r) = 1/(P h √(2π)) Σₘ exp(−(r − rₘ)²/(2 h²)), with the bandwidth h = 1.06 · std · P^(−1/5) (Silverman's rule).
    Values that are equal count as one with a weight: memory does not grow with the square of the values, but of the
    different ones, and that in blocks.
    """
    different, place, counts = values.double().unique(return_inverse=True, return_counts=True)
    deviation = float(values.double().std()) if len(values) > 1 else 0.0
    if deviation == 0.0:  # one range alone: no pair is rarer than another
        return torch.ones_like(values)
    bandwidth = 1.06 * deviation * len(values) ** -0.2
    weights = counts.double() / (len(values) * bandwidth * math.sqrt(2 * math.pi))
    block = max(1, ROWS // len(different))
    sums = [
        torch.exp(-0.5 * ((part[:, None] - different) / bandwidth).square()) @ weights
        for part in different.split(block)
    ]
    return torch.cat(sums)[place].to(values.dtype)
