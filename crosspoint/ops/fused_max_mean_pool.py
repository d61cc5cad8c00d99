"""A shared layer of which the maximum and the mean over the points of a cloud are wanted.

The mean sends a gradient to every point, so the products with W stay. What goes are passes over memory: the layer's
values are written once, before BatchNorm, and everything after that (moments, normalization, LeakyReLU, both pools, and
the same backwards) happens block by block in a cache.
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

LEAST_VALUES = 2**22  # below, the formula is as fast or faster (benchmarks/pooling.py)


def layer_max_and_mean_formula(layer: SharedMLP, x: Tensor) -> Tensor:
    """The defining formula: x (B, N, C) → maximum and mean side by side (B, 2D)."""
    values = layer(x)
    return torch.cat([maximum_over_points(values), values.mean(dim=1)], dim=1)


def layer_max_and_mean(layer: SharedMLP, x: Tensor) -> Tensor:
    """The same in fewer passes over memory where they count: x (B, N, C) → (B, 2D)."""
    if plain() or x.shape[0] * x.shape[1] * layer.norm.num_features < LEAST_VALUES:
        return layer_max_and_mean_formula(layer, x)
    return layer_max_and_mean_by_blocks(layer, x)


def layer_max_and_mean_by_blocks(layer: SharedMLP, x: Tensor) -> Tensor:
    """The fast path."""
    norm, product = layer.norm, product_type(x)
    with torch.autocast(x.device.type, enabled=False):  # normalization in full precision
        x, weight = full_precision(x), full_precision(layer.linear.weight)
        values, *moments = _CenteredLinear.apply(x, weight, product, norm.training)
        scale, offset = scale_and_offset(norm, moments if norm.training else None, x.shape[0] * x.shape[1])
        offset = torch.addcmul(offset, moments[0], scale)  # the values are less their own mean
        return torch.cat(_ActivatedPools.apply(values, scale, offset, layer.slope), dim=1)


class _CenteredLinear(torch.autograd.Function):
    """h = W (x − μ) (B, N, D), with the mean W μ and the biased variance (D,) of W x over all rows."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, product: torch.dtype, moments: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        mean = x.mean(dim=(0, 1))
        centered, factors = (x - mean).to(product), weight.T.to(product)
        values, squares = (centered @ factors).to(x.dtype), x.new_zeros(len(weight))
        if moments:
            for block in blocks(x, len(weight)):
                squares += values[block].square().sum(dim=(0, 1))
        if any(ctx.needs_input_grad):
            ctx.save_for_backward(centered, mean, weight, values)
        return values, weight @ mean, squares / (x.shape[0] * x.shape[1])

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_mean: Tensor, grad_variance: Tensor) -> tuple[Tensor | None, ...]:
        centered, mean, weight, values = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):  # compiled, this is traced where autocast is on
            rows = values.shape[0] * values.shape[1]
            slant, factors = 2 * grad_variance / rows, weight.to(centered.dtype)
            grad_x, grad_weight = grad.new_empty(centered.shape), torch.zeros_like(factors)
            total = grad.new_zeros(centered.shape[2])
            for block in blocks(centered, len(weight)):
                part = torch.addcmul(grad[block], values[block], slant).to(centered.dtype)
                back = (part @ factors).to(grad.dtype)
                total += back.sum(dim=(0, 1))
                grad_x[block] = back
                grad_weight.addmm_(part.flatten(0, 1).T, centered[block].flatten(0, 1))
            # h is less μ's share: what all rows receive together, the rows give back in equal parts.
            grad_x += (grad_mean @ weight - total) / rows
            return grad_x, torch.addr(grad_weight.to(grad.dtype), grad_mean, mean), None, None


class _ActivatedPools(torch.autograd.Function):
    """Maximum and mean over points of σ(scale · h + offset): h (B, N, D), scale and offset (D,) → two of (B, D)."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, scale: Tensor, offset: Tensor, slope: float) -> tuple[Tensor, Tensor]:
        batch, count, width = h.shape
        highest = RunningMaximum(h, (batch, width), winners=any(ctx.needs_input_grad))
        total = h.new_zeros(batch, width)
        for block in blocks(h, width):
            values = F.leaky_relu_(torch.addcmul(offset, h[block], scale), slope)
            total[block[0]] += values.sum(dim=1)
            highest.update(block, values)
        if highest.winners is not None:
            ctx.save_for_backward(h, scale, offset, highest.winners)
            ctx.slope = slope
        return highest.values, total / count

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_max: Tensor, grad_mean: Tensor) -> tuple[Tensor | None, ...]:
        h, scale, offset, winners = ctx.saved_tensors
        everywhere, grad_h = (grad_mean / h.shape[1]).unsqueeze(1), torch.empty_like(h)
        highest = h.gather(1, winners.unsqueeze(1)).squeeze(1)  # of each cloud and channel (B, D)
        won = _activation_backward(grad_max, torch.addcmul(offset, highest, scale), ctx.slope)
        grad_scale, grad_offset = (won * highest).sum(dim=0), won.sum(dim=0)
        for block in blocks(h, h.shape[2]):
            values = h[block]
            activated = torch.addcmul(offset, values, scale)
            back = _activation_backward(everywhere[block[0]].expand_as(values), activated, ctx.slope)
            grad_offset += back.sum(dim=(0, 1))
            torch.mul(back, scale, out=grad_h[block])
            grad_scale += back.mul_(values).sum(dim=(0, 1))
        grad_h.scatter_add_(1, winners.unsqueeze(1), (won * scale).unsqueeze(1))
        return grad_h, grad_scale, grad_offset, None


def _activation_backward(grad: Tensor, before: Tensor, slope: float) -> Tensor:
    """The gradient before LeakyReLU, from that behind it."""
    result: Tensor = torch.ops.aten.leaky_relu_backward(grad, before, slope, False)
    return result
