"""Extremum over neighbours and moments over edges of h_ij = u_j + v_i, without holding h.

Let R rows (points of all clouds) have K neighbours each, M = R·K edges, deg_j = how often row j is a neighbour,
s_i = Σ_{j∈N(i)} u_j and t_j = Σ_{i: j∈N(i)} v_i. Then with u and v centred so that h has mean zero

    Σ h²       = Σ_j deg_j u_j² + 2 Σ_i v_i s_i + K Σ_i v_i²
    ∂Σh²/∂u_j  = 2 (deg_j u_j + t_j)          ∂Σh²/∂v_i = 2 (s_i + K v_i)

and the extremum sends its gradient to one neighbour per row and channel. Everything is (R, D): an edge tensor exists
only for a chunk of rows that fits a cache.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK_CPU = 2**19  # elements of a chunk of edges: two megabytes stay in the second-level cache
CHUNK_GPU = 2**26


def edge_extrema(u: Tensor, v: Tensor, rows: Tensor, lowest: Tensor) -> Tensor:
    """max_j u_j + v_i, or min_j where `lowest`: u, v (R, D), rows (R, K) int64, lowest (D,) bool → (R, D)."""
    return _NeighborExtremum.apply(u, rows, lowest) + v


def edge_extrema_and_moments(u: Tensor, v: Tensor, rows: Tensor, lowest: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The extremum as `edge_extrema`, with mean (D,) and biased variance (D,) of h over all edges."""
    mean, variance = _EdgeMoments.apply(u, v, rows)
    return edge_extrema(u, v, rows, lowest), mean, variance


class _NeighborExtremum(torch.autograd.Function):
    """Largest (or lowest) u over the neighbours of each row; the first of equal neighbours takes the gradient."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, rows: Tensor, lowest: Tensor) -> Tensor:
        keep_slots = ctx.needs_input_grad[0]
        sign = torch.where(lowest, -1.0, 1.0).to(u.dtype)
        signed = u * sign
        extremum = torch.empty((len(rows), u.shape[1]), dtype=u.dtype, device=u.device)
        slots = torch.empty(extremum.shape, dtype=torch.int16, device=u.device) if keep_slots else None
        k = rows.shape[1]
        # Codes fall along the row, so the highest code among equal neighbours is the first of them.
        codes = torch.arange(k, 0, -1, dtype=torch.uint8 if k < 256 else torch.int16, device=u.device).unsqueeze(1)
        for first, chunk in _chunks(rows, u.shape[1]):
            edges = signed.index_select(0, chunk.flatten()).view(*chunk.shape, -1)  # (r, K, D)
            part = extremum[first : first + len(chunk)]
            torch.amax(edges, dim=1, out=part)
            if slots is not None:
                # max with indices is several times slower than a comparison and a max of small integers.
                winners = (edges == part.unsqueeze(1)).to(codes.dtype).mul_(codes)
                # NaN equals nothing, not even itself: it is sent to the last neighbour, and comes to light in the loss.
                slots[first : first + len(chunk)] = (k - winners.amax(dim=1).to(torch.int16)).clamp_(max=k - 1)
        if slots is not None:
            ctx.save_for_backward(rows, slots)
            ctx.count = len(u)
        return extremum * sign

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        rows, slots = ctx.saved_tensors
        winner = rows.gather(1, slots.long())  # (R, D)
        return grad.new_zeros(ctx.count, grad.shape[1]).scatter_add_(0, winner, grad), None, None


class _EdgeMoments(torch.autograd.Function):
    """Mean and biased variance of u_j + v_i over all edges."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        k, edges = rows.shape[1], rows.numel()
        degree = torch.bincount(rows.flatten(), minlength=len(u)).to(u.dtype).unsqueeze(1)  # (R, 1)
        mean_u = (degree * u).sum(dim=0) / edges
        mean_v = v.mean(dim=0)
        u, v = u - mean_u, v - mean_v  # centred: the sums below would cancel otherwise
        around = F.embedding_bag(rows, u, mode="sum")  # s_i
        squares = (degree * u.square()).sum(dim=0) + (v * (2 * around + k * v)).sum(dim=0)
        ctx.save_for_backward(u, v, rows, degree, around)
        return mean_u + mean_v, squares / edges

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mean: Tensor, grad_variance: Tensor) -> tuple[Tensor, Tensor, None]:
        u, v, rows, degree, around = ctx.saved_tensors
        k, edges = rows.shape[1], rows.numel()
        shift, slope = grad_mean / edges, 2 * grad_variance / edges
        grad_u = degree * (shift + slope * u) + slope * _sum_over_sources(v, rows, degree)
        grad_v = k * shift + slope * (around + k * v)
        return grad_u, grad_v, None


def _sum_over_sources(v: Tensor, rows: Tensor, degree: Tensor) -> Tensor:
    """t_j = Σ_{i: j∈N(i)} v_i: the neighbour lists turned round, then summed as bags."""
    sources = torch.argsort(rows.flatten(), stable=True) // rows.shape[1]
    counts = degree.squeeze(1).long()
    return F.embedding_bag(sources, v, counts.cumsum(0) - counts, mode="sum")


def _chunks(rows: Tensor, channels: int) -> list[tuple[int, Tensor]]:
    """Split rows (R, K) so that one chunk has a bounded number of edge values; each with its first row's number."""
    limit = CHUNK_GPU if rows.is_cuda else CHUNK_CPU
    step = max(1, limit // (rows.shape[1] * channels))
    return [(first, rows[first : first + step]) for first in range(0, len(rows), step)]
