"""Set abstraction of PointNet++: some points of a cloud, each described by what lies in balls around it.

Qi et al., 2017, https://arxiv.org/abs/1706.02413, with multi-scale grouping: several balls around each point, whose
descriptions one layer joins. As 3DSSD has it (Yang et al., 2020, https://arxiv.org/abs/2002.10187): points are chosen
by farthest point sampling of positions, or of features, which keeps more of what differs from its surroundings; and
balls are rings, so that the larger one does not see again what the smaller one saw.

Where positions do not enter the perceptron of a ball, its output on a neighbor is the same in every ball. Then it is
computed once per point instead of once per neighbor, several times fewer products, and the batch statistics, which
count a point as often as it is a neighbor, follow from weighted sums. `ball_mlp` is the defining formula.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.ops.batch_norm import scale_and_offset
from crosspoint.ops.edge_moments import edge_maximum
from crosspoint.ops.edgeconv import gather_neighbors
from crosspoint.ops.farthest_point_sampling import farthest_points
from crosspoint.ops.precision import full_precision
from crosspoint.ops.shared_mlp import SharedMLP
from crosspoint.scene.ops.ball_query import Ball, ball_query

BALL_EPS = 1e-3  # of the BatchNorms in balls; public codes leave that of the joining layer at PyTorch's default


@dataclass(frozen=True)
class AbstractionConfig:
    """One stage: how many points stay, and how each is described.

    Args:
        by_feature: points chosen by features; they come first.
        by_distance: points chosen by positions.
        leading: choose those by feature among so many leading points, those by distance among the others; 0: both
            among all, so that a point may be chosen twice.
        radii: of the balls, in meters, ascending.
        neighbors: points taken from each ball.
        widths: layers of each ball's perceptron.
        width: of the layer that joins the balls.
    """

    by_feature: int
    by_distance: int
    leading: int
    radii: Sequence[float]
    neighbors: Sequence[int]
    widths: Sequence[Sequence[int]]
    width: int

    def __post_init__(self) -> None:
        if min(self.by_feature, self.by_distance, self.leading) < 0 or self.samples == 0:
            raise ValueError(f"found {self.by_feature} and {self.by_distance} points to choose, expected one or more")
        if 0 < self.leading < self.by_feature:
            raise ValueError(
                f"found {self.by_feature} points to choose among {self.leading} leading ones, expected as many or fewer"
            )
        balls = [len(part) for part in (self.radii, self.neighbors, self.widths)]
        if len(set(balls)) > 1 or 0 in (balls[0], *(len(widths) for widths in self.widths)):
            raise ValueError(f"found {balls} radii, neighbors and widths, expected equal numbers above 0: match them")
        if list(self.radii) != sorted(set(self.radii)):
            raise ValueError(f"found radii {list(self.radii)}, expected ascending meters")

    @property
    def samples(self) -> int:
        """How many points stay."""
        return self.by_feature + self.by_distance

    @property
    def needs(self) -> int:
        """The fewest points that it can choose from."""
        return self.leading + self.by_distance if self.leading else max(self.by_feature, self.by_distance)

    def balls(self, rings: bool) -> list[Ball]:
        """What is queried around each of them."""
        inner = [0.0, *self.radii][: len(self.radii)] if rings else [0.0] * len(self.radii)
        return [Ball(*ball) for ball in zip(self.radii, self.neighbors, inner, strict=True)]


class SetAbstraction(nn.Module):
    """One stage of PointNet++.

    Args:
        channels: C of the features that come in.
        config: of the stage.
        rings: leave out of each ball what the next smaller one holds, but for its center.
        relative_positions: show the perceptrons where in the ball a neighbor lies.
    """

    def __init__(self, channels: int, config: AbstractionConfig, *, rings: bool, relative_positions: bool) -> None:
        super().__init__()
        self.config = config
        self.relative_positions = relative_positions
        self.balls = config.balls(rings)
        first = channels + 3 * relative_positions
        self.scales = nn.ModuleList(_perceptron([first, *widths]) for widths in config.widths)
        self.join = SharedMLP(sum(widths[-1] for widths in config.widths), config.width, slope=0.0)

    def forward(self, positions: Tensor, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Choose and describe.

        Args:
            positions: (B, N, 3) meters.
            features: (B, N, C).

        Returns:
            Positions (B, M, 3), features (B, M, width) and rows (B, M) int64 of the chosen points.

        Raises:
            ValueError: if there are fewer points than are to be chosen.
        """
        chosen = self.choose(positions, features)
        centers = positions.gather(1, chosen.unsqueeze(2).expand(-1, -1, 3))
        described = []
        neighborhoods = ball_query(positions, centers, self.balls)
        for layers, rows in zip(self.scales, neighborhoods, strict=True):
            if self.relative_positions:
                offsets = gather_neighbors(positions, rows) - centers.unsqueeze(2)
                described.append(ball_mlp(layers, features, rows, offsets))
            else:
                described.append(ball_mlp_by_points(layers, features, rows))
        return centers, self.join(torch.cat(described, dim=2)), chosen

    def choose(self, positions: Tensor, features: Tensor) -> Tensor:
        """Rows (B, M) of the points that stay, those by feature first."""
        stage, chosen = self.config, []
        if stage.by_feature:
            end = stage.leading or positions.shape[1]
            leading = torch.cat([positions[:, :end], features[:, :end].detach()], dim=2)
            chosen.append(farthest_features(leading, stage.by_feature))
        if stage.by_distance:
            chosen.append(farthest_points(positions[:, stage.leading :], stage.by_distance) + stage.leading)
        return torch.cat(chosen, dim=1)


@torch.no_grad()
def farthest_features(features: Tensor, count: int) -> Tensor:
    """Farthest point sampling of many channels: `farthest_points`, which goes channel by channel, in one operation.

    3DSSD's F-FPS runs it on positions beside features, added as they are: meters count like units of a feature.

    Args:
        features: (B, N, C) float.
        count: how many, 1 ≤ count ≤ N.

    Returns:
        (B, count) int64, the first of them 0, in the order of their choice.

    Raises:
        ValueError: if there are fewer points than `count`.
    """
    batch, size, channels = features.shape
    if not 1 <= count <= size:
        raise ValueError(f"found clouds of {size} points, expected at least the {count} asked for: ask for fewer")
    features = full_precision(features)
    chosen = torch.zeros(batch, count, dtype=torch.int64, device=features.device)
    nearest = features.new_full((batch, size), torch.inf)
    for step in range(1, count):
        last = features.gather(1, chosen[:, step - 1].view(-1, 1, 1).expand(-1, -1, channels))
        # Without the product form: a copy of a chosen point must be at distance 0.
        distance = torch.cdist(features, last, compute_mode="donot_use_mm_for_euclid_dist").squeeze(2)
        torch.minimum(nearest, distance, out=nearest)
        chosen[:, step] = nearest.argmax(dim=1)
    return chosen


def ball_mlp(layers: nn.Module, features: Tensor, rows: Tensor, offsets: Tensor | None = None) -> Tensor:
    """The defining formula: shared layers on every neighbor, then the maximum over each ball.

    Args:
        layers: shared layers.
        features: (B, N, C).
        rows: (B, M, K) int64, neighbors.
        offsets: (B, M, K, 3) positions relative to the centers, which go in front of the features.

    Returns:
        (B, M, D).
    """
    groups = gather_neighbors(features, rows)
    if offsets is not None:
        groups = torch.cat([offsets.to(groups.dtype), groups], dim=3)
    return layers(groups).amax(dim=2)


def ball_mlp_by_points(layers: nn.Module, features: Tensor, rows: Tensor) -> Tensor:
    """The same without offsets, each layer once per point: features (B, N, C), rows (B, M, K) → (B, M, D)."""
    batch, size, _ = features.shape
    flat = (rows + size * torch.arange(batch, device=rows.device).view(-1, 1, 1)).flatten(0, 1)
    x = features.flatten(0, 1)
    # bincount would make a GPU wait, to see how long its answer is.
    times = torch.zeros(len(x), device=x.device).index_add_(
        0, flat.flatten(), torch.ones(flat.numel(), device=x.device)
    )
    for layer in layers.children():
        assert isinstance(layer, SharedMLP)
        x = _weighted_layer(layer, x, times, flat.numel())
    return edge_maximum(x, x.new_zeros(()), flat).view(*rows.shape[:2], -1)


def _weighted_layer(layer: SharedMLP, x: Tensor, times: Tensor, total: int) -> Tensor:
    """The layer on x (R, C) as if each row came so many `times` (R,), `total` in all."""
    h = layer.linear(x)
    with torch.autocast(x.device.type, enabled=False):  # normalization in full precision
        h = full_precision(h)
        moments = None
        if layer.norm.training:
            share = times.to(h.dtype) / total
            mean = share @ h
            moments = mean, share @ (h - mean).square()
        scale, offset = scale_and_offset(layer.norm, moments, total)
        return F.leaky_relu(torch.addcmul(offset, h, scale), layer.slope)


def _perceptron(widths: Sequence[int]) -> nn.Sequential:
    layers = [SharedMLP(c_in, c_out, slope=0.0) for c_in, c_out in pairwise(widths)]
    for layer in layers:
        layer.norm.eps = BALL_EPS
    return nn.Sequential(*layers)
