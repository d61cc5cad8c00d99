"""A shared layer of which only the maximum over the points of a cloud is wanted.

The layer computes ``σ(BatchNorm(W x_r))`` at every row r of X, R rows in all. Normalization and LeakyReLU are monotone
in each channel, so the maximum over points is taken of ``h_r = W (x_r − μ)`` alone, before both (the minimum where
BatchNorm's weight is negative). In the backward pass, then, all but a few rows receive what the moments send:

    ∂L/∂x_r = Σ_{d: r wins d} g_d w_d  +  (x_r − μ) S  +  const,      S = 2/R · Wᵀ diag(∂L/∂var) W
    ∂L/∂W   = Σ_{winners} g_d x_rᵀ  +  2/R · diag(∂L/∂var) W (X − μ)ᵀ(X − μ)  +  ∂L/∂mean μᵀ

Two C×C matrices take the place of the (R, D) gradient. For D ≫ C the backward pass costs a fraction of the forward
one, and nothing of size (R, D) is kept.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from crosspoint.ops.batch_norm import scale_and_offset
from crosspoint.ops.blocks import RunningMaximum, blocks
from crosspoint.ops.plain import plain
from crosspoint.ops.precision import full_precision, product_type
from crosspoint.ops.shared_mlp import SharedMLP, maximum_over_points

# Below these the formula is as fast: fixed costs, and winners that are no longer few (benchmarks/pooling.py).
LEAST_VALUES = 2**20
LEAST_POINTS = 256


def layer_max_formula(layer: SharedMLP, x: Tensor) -> Tensor:
    """The defining formula: x (B, N, C) → (B, D)."""
    return maximum_over_points(layer(x))


def layer_max(layer: SharedMLP, x: Tensor) -> Tensor:
    """The same, without the outputs at every point where they are many: x (B, N, C) → (B, D)."""
    batch, count, channels = x.shape
    width = layer.norm.num_features
    if plain() or batch * count * width < LEAST_VALUES or count < LEAST_POINTS or width < 2 * channels:
        return layer_max_formula(layer, x)
    return layer_max_by_blocks(layer, x)


def layer_max_by_blocks(layer: SharedMLP, x: Tensor) -> Tensor:
    """The fast path."""
    norm, product = layer.norm, product_type(x)
    with torch.autocast(x.device.type, enabled=False):  # normalization in full precision
        x, weight = full_precision(x), full_precision(layer.linear.weight)
        lowest = norm.weight.detach() < 0
        extremum, *moments = _LinearExtremum.apply(x, weight, lowest, product, norm.training)
        scale, offset = scale_and_offset(norm, moments if norm.training else None, x.shape[0] * x.shape[1])
        return F.leaky_relu(torch.addcmul(offset, extremum, scale), layer.slope)


class _LinearExtremum(torch.autograd.Function):
    """Extremum (B, D) over points of h = W x, and mean and biased variance (D,) of h over all rows."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, lowest: Tensor, product: torch.dtype, moments: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        width = len(weight)
        sign = torch.where(lowest, -1.0, 1.0).to(x)
        signed = (weight * sign.unsqueeze(1)).T.to(product)  # the lowest value is the highest of −h
        mean = x.mean(dim=(0, 1))
        centered = (x - mean).to(product)  # products of mean zero: their squares add up to the variance
        highest = RunningMaximum(x, (len(x), width), winners=any(ctx.needs_input_grad))
        squares = x.new_zeros(width)
        for block in blocks(x, width):
            values = (centered[block] @ signed).to(x.dtype)
            if moments:
                squares += values.square().sum(dim=(0, 1))
            highest.update(block, values)
        if highest.winners is not None:
            ctx.save_for_backward(x, mean, weight, highest.winners)
        mean = weight @ mean
        return torch.addcmul(mean, highest.values, sign), mean, squares / (x.shape[0] * x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_mean: Tensor, grad_variance: Tensor) -> tuple[Tensor | None, ...]:
        x, mean, weight, winners = ctx.saved_tensors
        with torch.autocast(x.device.type, enabled=False):  # compiled, this is traced where autocast is on
            batch, count, channels = x.shape
            centered = (x - mean).flatten(0, 1)
            slanted = weight * (2 * grad_variance / len(centered)).unsqueeze(1)
            grad_x = torch.addmm(grad_mean @ weight / len(centered), centered, weight.T @ slanted)
            rows = (winners + count * torch.arange(batch, device=x.device).unsqueeze(1)).flatten()
            grad_x.index_add_(0, rows, (grad.unsqueeze(2) * weight).flatten(0, 1))
            chosen = x.flatten(0, 1).index_select(0, rows).view(batch, -1, channels)
            grad_weight = torch.einsum("bd,bdc->dc", grad, chosen)
            grad_weight += torch.outer(grad_mean, mean) + slanted @ (centered.T @ centered)
            return grad_x.view_as(x), grad_weight, None, None, None
