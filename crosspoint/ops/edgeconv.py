"""EdgeConv: the graph convolution of DGCNN, per point instead of per edge.

Wang et al., Dynamic Graph CNN for Learning on Point Clouds, 2019, https://arxiv.org/abs/1801.07829. For a point i and
its neighbor j the layer computes ``h_ij = W [x_j − x_i ; x_i]``, normalizes h over all edges, applies LeakyReLU and
takes the maximum over j.

With ``W = [W1, W2]`` the edge value is a sum of two per-point values, ``h_ij = W1 x_j + (W2 − W1) x_i = u_j + v_i``:

- two products per point replace one per edge, k times fewer operations;
- the moments of h over all edges follow from sums of u over neighborhoods, so BatchNorm stays exact;
- normalization and LeakyReLU are monotone in each channel, so the maximum over j is taken of u alone, before both
  (the minimum where BatchNorm's weight is negative).

`edge_conv` is the defining formula, `EdgeConv` the fast path; tests hold them together in values and gradients.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.ops.batch_norm import scale_and_offset
from crosspoint.ops.edge_moments import edge_maximum, edge_moments
from crosspoint.ops.knn import knn
from crosspoint.ops.precision import full_precision


def gather_neighbors(x: Tensor, neighbors: Tensor) -> Tensor:
    """Rows of x (B, N, C) at neighbors (B, N, K): (B, N, K, C)."""
    batch = torch.arange(len(x), device=x.device).view(-1, 1, 1)
    return x[batch, neighbors]


def edge_features(x: Tensor, neighbors: Tensor) -> Tensor:
    """[x_j − x_i ; x_i] for every edge: x (B, N, C), neighbors (B, N, K) → (B, N, K, 2C)."""
    others = gather_neighbors(x, neighbors)
    center = x.unsqueeze(2).expand_as(others)
    return torch.cat([others - center, center], dim=-1)


def edge_conv(x: Tensor, neighbors: Tensor, weight: Tensor, norm: nn.Module, slope: float) -> Tensor:
    """The defining formula of EdgeConv, one value per edge.

    Args:
        x: (B, N, C).
        neighbors: (B, N, K) int64.
        weight: (D, 2C).
        norm: BatchNorm over (edges, D).
        slope: LeakyReLU's slope below zero.

    Returns:
        (B, N, D).
    """
    edges = F.linear(edge_features(x, neighbors), weight)  # (B, N, K, D)
    edges = norm(edges.flatten(0, 2)).view_as(edges)
    return F.leaky_relu(edges, slope).amax(dim=2)


class EdgeConv(nn.Module):
    """One EdgeConv layer with BatchNorm and LeakyReLU, on the graph of its own input or of points that are given.

    Args:
        in_channels: C of the input (B, N, C).
        out_channels: D of the output (B, N, D).
        k: neighbors per point, the point itself included.
        slope: LeakyReLU's slope below zero, > 0 or 0: the fast path rests on a monotone activation.
    """

    def __init__(self, in_channels: int, out_channels: int, *, k: int, slope: float = 0.2) -> None:
        super().__init__()
        self.k = k
        self.slope = slope
        # nn.Linear's initialization is that of the 1×1 convolution which the original uses.
        self.weight = nn.Parameter(nn.Linear(2 * in_channels, out_channels, bias=False).weight.detach())
        self.norm = nn.BatchNorm1d(out_channels)

    def forward(self, x: Tensor, points: Tensor | None = None) -> Tensor:
        """x (B, N, C), points (B, N, 3) whose neighbors count, if not x's own → (B, N, D); ValueError if N < k."""
        norm, rows = self.norm, flat_rows(knn(x if points is None else points, self.k))
        sign = torch.where(norm.weight.detach() < 0, -1.0, 1.0)  # where it is negative, the lowest value is wanted
        u, v, mean = edge_terms(x, self.weight * sign.unsqueeze(1))
        with torch.autocast(x.device.type, enabled=False):  # normalization in full precision
            u, v = full_precision(u), full_precision(v)
            moments = None
            if norm.training:
                own_mean, variance = edge_moments(u, v, rows)
                moments = sign * (mean + own_mean), variance
            scale, offset = scale_and_offset(norm, moments, rows.numel())
            offset = torch.addcmul(offset, sign * mean, scale)
            values = torch.addcmul(offset, edge_maximum(u, v, rows), sign * scale)
            return F.leaky_relu(values, self.slope, inplace=True).view(*x.shape[:2], -1)


def edge_terms(x: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """u, v and m of `W [x_j − x_i ; x_i] = u_j + v_i + m`: x (B, N, C), weight (D, 2C) → two of (B·N, D), and (D,).

    u and v are of centered points: sums of their squares do not cancel.
    """
    toward, own = weight.chunk(2, dim=1)
    mean = x.mean(dim=(0, 1))
    u, v = F.linear((x - mean).flatten(0, 1), torch.cat([toward, own - toward])).chunk(2, dim=1)
    with torch.autocast(x.device.type, enabled=False):
        return u, v, full_precision(own) @ full_precision(mean)


def flat_rows(neighbors: Tensor) -> Tensor:
    """Neighbors (B, N, K) within their clouds → (B·N, K) among the points of all clouds."""
    batch, count, _ = neighbors.shape
    return (neighbors + count * torch.arange(batch, device=neighbors.device).view(-1, 1, 1)).flatten(0, 1)
