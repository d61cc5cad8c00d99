"""Maximum over neighbors and moments over edges of h_ij = u_j + v_i, without holding h.

Let R rows (points of all clouds) have K neighbors each, M = R·K edges, deg_j = how often row j is a neighbor,
s_i = Σ_{j∈N(i)} u_j and t_j = Σ_{i: j∈N(i)} v_i. Then

    Σ h        = Σ_j deg_j u_j + K Σ_i v_i
    Σ h²       = Σ_j deg_j u_j² + 2 Σ_i v_i s_i + K Σ_i v_i²
    ∂Σh²/∂u_j  = 2 (deg_j u_j + t_j)          ∂Σh²/∂v_i = 2 (s_i + K v_i)

and the variance is their difference, which does not cancel where u and v come from centered points. The maximum sends
its gradient to one neighbor per row and channel. Everything is (R, D): an edge tensor exists
only for a chunk of rows that fits a cache.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from crosspoint.ops.plain import plain

CHUNK_CPU = 2**18  # elements of a chunk of edges: a megabyte stays in the second-level cache
CHUNK_GPU = 2**26


def edge_maximum(u: Tensor, v: Tensor, rows: Tensor) -> Tensor:
    """max_j u_j + v_i: u, v (R, D), rows (R, K) int64 → (R, D)."""
    if plain():
        return u.index_select(0, rows.flatten()).view(*rows.shape, -1).amax(dim=1) + v
    return _NeighborMaximum.apply(u, rows).add_(v)


def edge_moments(u: Tensor, v: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and biased variance (D,) of u_j + v_i over all edges: u, v (R, D) with means near zero, rows (R, K)."""
    return _EdgeMoments.apply(u, v, rows)


class _NeighborMaximum(torch.autograd.Function):
    """Largest u over the neighbors of each row; the first of equal neighbors takes the gradient."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, rows: Tensor) -> Tensor:
        maximum = torch.empty((len(rows), u.shape[1]), dtype=u.dtype, device=u.device)
        slots = torch.empty(maximum.shape, dtype=torch.int16, device=u.device) if ctx.needs_input_grad[0] else None
        for first, chunk in row_chunks(rows, u.shape[1]):
            part = slice(first, first + len(chunk))
            edges = u.index_select(0, chunk.flatten()).view(*chunk.shape, -1)  # (r, K, D)
            torch.amax(edges, dim=1, out=maximum[part])
            if slots is not None:
                slots[part] = winning_slots(edges, maximum[part])
        if slots is not None:
            ctx.save_for_backward(rows, slots)
            ctx.count = len(u)
        return maximum

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        rows, slots = ctx.saved_tensors
        grad_u = grad.new_zeros(ctx.count, grad.shape[1])
        step = max(1, (CHUNK_GPU if grad.is_cuda else CHUNK_CPU) // grad.shape[1])
        for first in range(0, len(rows), step):
            part = slice(first, first + step)
            grad_u.scatter_add_(0, rows[part].gather(1, slots[part].long()), grad[part])
        return grad_u, None


class _EdgeMoments(torch.autograd.Function):
    """Mean and biased variance of u_j + v_i over all edges."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, v: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        k, edges = rows.shape[1], rows.numel()
        # bincount would make a GPU wait, to see how long its answer is.
        degree = u.new_zeros(len(u)).index_add_(0, rows.flatten(), u.new_ones(edges))  # (R,)
        around = F.embedding_bag(rows, u, mode="sum")  # s_i
        mean = (degree @ u + k * v.sum(dim=0)) / edges
        squares = degree @ u.square() + torch.add(around, v, alpha=k / 2).mul_(v).sum(dim=0) * 2
        ctx.save_for_backward(u, v, rows, degree, around, mean)
        return mean, (squares / edges - mean.square()).clamp_min_(0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_mean: Tensor, grad_variance: Tensor) -> tuple[Tensor, Tensor, None]:
        u, v, rows, degree, around, mean = ctx.saved_tensors
        k, edges = rows.shape[1], rows.numel()
        slope = 2 * grad_variance / edges
        shift = grad_mean / edges - slope * mean
        grad_u = _sum_over_sources(v, rows, degree).addcmul_(degree.unsqueeze(1), u).mul_(slope).addr_(degree, shift)
        grad_v = torch.add(around, v, alpha=k).mul_(slope).add_(k * shift)
        return grad_u, grad_v, None


def _sum_over_sources(v: Tensor, rows: Tensor, degree: Tensor) -> Tensor:
    """t_j = Σ_{i: j∈N(i)} v_i: the neighbor lists turned round, then summed as bags."""
    sources = torch.argsort(rows.flatten(), stable=True) // rows.shape[1]
    counts = degree.long()
    return F.embedding_bag(sources, v, counts.cumsum(0) - counts, mode="sum")


def winning_slots(edges: Tensor, extremum: Tensor) -> Tensor:
    """Which of the K neighbors is the first to have the extremum: (r, K, D), (r, D) → (r, D); overwrites `edges`.

    max with indices is many times slower on a CPU than a comparison and another max, both in place. NaN equals
    nothing, not even itself: it is sent to the last neighbor, and comes to light in the loss.
    """
    k = edges.shape[1]
    codes = torch.arange(k, 0, -1, dtype=edges.dtype, device=edges.device).unsqueeze(1)  # highest for the first
    return (k - edges.eq_(extremum.unsqueeze(1)).mul_(codes).amax(dim=1)).clamp_(max=k - 1)


def row_chunks(rows: Tensor, channels: int) -> list[tuple[int, Tensor]]:
    """Split rows (R, K) so that one chunk has a bounded number of edge values; each with its first row's number."""
    limit = CHUNK_GPU if rows.is_cuda else CHUNK_CPU
    step = max(1, limit // (rows.shape[1] * channels))
    return [(first, rows[first : first + step]) for first in range(0, len(rows), step)]
