"""Two shared layers on every edge and the maximum over neighbors, without an edge tensor.

The part-segmentation DGCNN and its transform net have such blocks. The first layer is linear in [x_j − x_i ; x_i] and
becomes per-point, as in `edgeconv`: with BatchNorm folded in, its output on an edge is ``a_ij = σ(p_j + q_i)``. The
second layer needs a_ij itself. So both are computed for a few rows of points at a time, while they are in the cache:
the forward pass keeps sums and extrema of ``h_ij = W a_ij``, the backward pass computes a and h again. Four matrix
products per edge value instead of three, and no pass over memory that grows with the edges.

`edge_mlp` is the defining formula, `EdgeMLP` the fast path; tests hold them together in values and gradients.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from crosspoint.ops.batch_norm import scale_and_offset
from crosspoint.ops.edge_moments import edge_moments, row_chunks, winning_slots
from crosspoint.ops.edgeconv import edge_features, edge_terms, flat_rows
from crosspoint.ops.plain import plain
from crosspoint.ops.precision import full_precision, product_type
from crosspoint.ops.shared_mlp import SharedMLP


def edge_mlp(x: Tensor, neighbors: Tensor, first: SharedMLP, second: SharedMLP) -> Tensor:
    """The defining formula: x (B, N, C), neighbors (B, N, K) → (B, N, D)."""
    return second(first(edge_features(x, neighbors))).amax(dim=2)


class EdgeMLP(nn.Module):
    """Two shared layers on every edge, then the maximum over neighbors.

    Args:
        in_channels: C of the input (B, N, C).
        hidden: outputs of the first layer.
        out_channels: D of the output (B, N, D).
    """

    def __init__(self, in_channels: int, hidden: int, out_channels: int) -> None:
        super().__init__()
        self.first = SharedMLP(2 * in_channels, hidden)
        self.second = SharedMLP(hidden, out_channels)

    def forward(self, x: Tensor, neighbors: Tensor) -> Tensor:
        """x (B, N, C), neighbors (B, N, K) → (B, N, D)."""
        rows = flat_rows(neighbors)
        u, v, mean = edge_terms(x, self.first.linear.weight)
        product = product_type(x)
        with torch.autocast(x.device.type, enabled=False):  # normalization in full precision
            u, v = full_precision(u), full_precision(v)
            p, q = self._first_normalized(u, v, mean, rows)
            return self._second_normalized(p, q, rows, product).view(*x.shape[:2], -1)

    def _first_normalized(self, u: Tensor, v: Tensor, mean: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """p and q of a_ij = σ(p_j + q_i): u, v (R, C), mean (C,), rows (R, K) → two of (R, C)."""
        moments = None
        if self.first.norm.training:
            own_mean, variance = edge_moments(u, v, rows)
            moments = mean + own_mean, variance
        scale, offset = scale_and_offset(self.first.norm, moments, rows.numel())
        return u * scale, torch.addcmul(torch.addcmul(offset, mean, scale), v, scale)

    def _second_normalized(self, p: Tensor, q: Tensor, rows: Tensor, product: torch.dtype) -> Tensor:
        """The second layer and the maximum over neighbors: p, q (R, C), rows (R, K) → (R, D)."""
        if plain():
            edges = p.index_select(0, rows.flatten()).view(*rows.shape, -1) + q.unsqueeze(1)
            return self.second(F.leaky_relu(edges, self.first.slope)).amax(dim=1)
        norm, weight = self.second.norm, self.second.linear.weight
        weight = weight.to(p.dtype)
        extremum, mean, variance = _EdgeLayer.apply(
            p, q, weight, rows, norm.weight.detach() < 0, self.first.slope, product
        )
        scale, offset = scale_and_offset(norm, (mean, variance) if norm.training else None, rows.numel())
        return F.leaky_relu(torch.addcmul(offset, extremum, scale), self.second.slope)


class _EdgeLayer(torch.autograd.Function):
    """Extremum over neighbors, mean and biased variance over edges of h_ij = W σ(p_j + q_i)."""

    @staticmethod
    def forward(
        ctx: Any,
        p: Tensor,
        q: Tensor,
        weight: Tensor,
        rows: Tensor,
        lowest: Tensor,
        slope: float,
        product: torch.dtype,
    ) -> tuple[Tensor, Tensor, Tensor]:
        sign = torch.where(lowest, -1.0, 1.0).to(p)
        signed = (weight * sign.unsqueeze(1)).T.to(product)  # (C, D): the lowest value is the highest of −h
        width = weight.shape[0]
        extremum = p.new_empty(len(rows), width)
        slots = torch.empty(extremum.shape, dtype=torch.int16, device=p.device) if any(ctx.needs_input_grad) else None
        total, squares = p.new_zeros(2, width, dtype=torch.float64)
        shift = None
        for first, chunk in row_chunks(rows, max(width, p.shape[1])):
            part = slice(first, first + len(chunk))
            values = (_activated(p, q[part], chunk, slope).to(product) @ signed).to(p.dtype)
            if shift is None:
                shift = values.mean(dim=0)  # near the mean, so that the sum of squares does not cancel
            values -= shift
            total += values.sum(dim=0)
            squares += values.square().sum(dim=0)
            values = values.view(*chunk.shape, width)
            torch.amax(values, dim=1, out=extremum[part])
            if slots is not None:
                slots[part] = winning_slots(values, extremum[part])
        assert shift is not None
        offset = total / rows.numel()
        mean = sign * (shift + offset)
        if slots is not None:
            ctx.save_for_backward(p, q, weight, rows, slots, mean)
            ctx.slope, ctx.product = slope, product
        variance = squares / rows.numel() - offset.square()
        return sign * (extremum + shift), mean.to(p.dtype), variance.clamp_min_(0).to(p.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor, grad_mean: Tensor, grad_variance: Tensor) -> tuple[Tensor | None, ...]:
        p, q, weight, rows, slots, mean = ctx.saved_tensors
        # The moments send h_ij the gradient `slant · h_ij + level`, a matrix product of its own.
        slant = 2 * grad_variance / rows.numel()
        level = grad_mean / rows.numel() - slant * mean.to(slant.dtype)
        slanted = (weight * slant.unsqueeze(1)).T.to(ctx.product)
        level, product_weight = level.to(ctx.product), weight.to(ctx.product)
        grad_p, grad_q, grad_weight = torch.zeros_like(p), torch.empty_like(q), torch.zeros_like(weight)
        for first, chunk in row_chunks(rows, max(weight.shape)):
            part = slice(first, first + len(chunk))
            inputs = _activated(p, q[part], chunk, ctx.slope)
            factors = inputs.to(ctx.product)
            values = torch.addmm(level, factors, slanted)
            winners = slots[part].long().unsqueeze(1)
            values.view(*chunk.shape, -1).scatter_add_(1, winners, grad[part].to(ctx.product).unsqueeze(1))
            grad_weight += values.T @ factors
            back = (values @ product_weight).to(p.dtype)
            back = torch.ops.aten.leaky_relu_backward(back, inputs, ctx.slope, True)  # the sign of σ(x) is that of x
            torch.sum(back.view(*chunk.shape, -1), dim=1, out=grad_q[part])
            grad_p.index_add_(0, chunk.flatten(), back)
        return grad_p, grad_q, grad_weight, None, None, None, None


def _activated(p: Tensor, q: Tensor, rows: Tensor, slope: float) -> Tensor:
    """σ(p_j + q_i) for the edges of some rows: p (R, C), q (r, C), rows (r, K) → (r·K, C)."""
    edges = p.index_select(0, rows.flatten()).view(*rows.shape, -1)
    edges += q.unsqueeze(1)
    return F.leaky_relu_(edges, slope).flatten(0, 1)
