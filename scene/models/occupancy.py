"""Occupancy and intensity around points: what features of a cloud should know of the space that a sensor saw.

A ray from the sensor to a point shows that the space before the point is empty, and the space right behind it filled,
so no label is needed. Boulch et al., ALSO: Automotive Lidar Self-supervision by Occupancy estimation, CVPR 2023,
https://arxiv.org/abs/2212.05867; with the queries of CMCR (https://arxiv.org/abs/2412.08973 and its public code).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from crosspoint.ops.precision import full_precision
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.ops.radius_neighbors import radius_neighbors


@dataclass(frozen=True)
class OccupancyConfig:
    """Where a frame is asked whether it is filled, and which points answer.

    Args:
        behind: queries per frame that lie right behind points, seen from the sensor; they are filled
        before: queries right before points; they are empty
        between: queries anywhere between the sensor and points; they are empty, and their intensity is not known
        depth: meters that the first two kinds lie behind or before their point at most
        radius: meters within which points answer
        neighbors: points that answer a query at most, drawn at random where there are more
        width: number of channels of the hidden layers
    """

    behind: int = 684
    before: int = 682
    between: int = 682
    depth: float = 0.1
    radius: float = 1.0
    neighbors: int = 32
    width: int = 128

    def __post_init__(self) -> None:
        if min(self.behind, self.before, self.between) < 0 or self.queries == 0:
            raise ValueError(
                f"found {self.behind} queries behind, {self.before} before and {self.between} between, expected none "
                "below 0 and some above"
            )
        if not (self.depth > 0 and self.radius > 0):
            raise ValueError(f"found depth {self.depth} and radius {self.radius}, expected meters above 0")
        if self.neighbors < 1 or self.width < 1:
            raise ValueError(f"found {self.neighbors} neighbors and width {self.width}, expected 1 or more of both")

    @property
    def queries(self) -> int:
        """Per frame."""
        return self.behind + self.before + self.between


OCCUPANCY = OccupancyConfig()


class Queries(NamedTuple):
    """Positions with what is known of them."""

    positions: Tensor  # (Q, 3) meters
    frame: Tensor  # (Q,) int64
    filled: Tensor  # (Q,) bool
    intensity: Tensor  # (Q,) of the point that the query lies at; −1 where none is known


class OccupancyLosses(NamedTuple):
    """Two scalars, 0 where no query has a neighbor."""

    occupancy: Tensor
    intensity: Tensor


class OccupancyHead(nn.Module):
    """Perceptron that tells from the features of a point whether a place near it is filled, and how much it reflects.

    Each point within `radius` of a query answers on its own, as published: answers are not pooled, so that every
    feature has to describe its surroundings. The public code has two linear layers in a row at the end; here a ReLU
    stands between them, as without it they are one.

    Args:
        channels: features of a voxel; C.
        config: queries, neighbors, sizes.
    """

    def __init__(self, channels: int, config: OccupancyConfig = OCCUPANCY) -> None:
        super().__init__()
        self.config = config
        self.layers = nn.Sequential(
            nn.Linear(channels + 3, config.width),
            nn.ReLU(inplace=True),
            nn.Linear(config.width, config.width),
            nn.ReLU(inplace=True),
            nn.Linear(config.width, config.width),
            nn.ReLU(inplace=True),
            nn.Linear(config.width, 2),
        )

    def forward(self, features: Tensor, batch: LidarBatch, generator: Generator) -> OccupancyLosses:
        """Losses of the voxels of a batch, about queries that are drawn here.

        Args:
            features: (M, C) of the batch's voxels; a point has those of its voxel.
            batch: frames with voxels and the point field "intensity".
            generator: on the device of the batch; all draws come from it alone.

        Returns:
            The binary cross entropy of the occupancy over all pairs of a query and a point that answers it, and the
            mean absolute error of the intensity over those pairs whose intensity is known. Under several processes
            each averages over its own pairs.

        Raises:
            ValueError: if points have no intensity.
        """
        queries = draw_queries(batch, self.config, generator)
        edges = radius_neighbors(
            batch.points,
            batch.point_offsets,
            queries.positions,
            queries.frame,
            radius=self.config.radius,
            neighbors=self.config.neighbors,
            generator=generator,
        )
        offset = queries.positions[edges.query] - batch.points[edges.point]
        answers = self.answer(features[batch.voxelized.inverse[edges.point]], offset)
        return edge_losses(answers, queries.filled[edges.query], queries.intensity[edges.query])

    def answer(self, features: Tensor, offset: Tensor) -> Tensor:
        """Features of points (E, C) and meters from there to a query (E, 3) → logit and intensity, (E, 2)."""
        return self.layers(torch.cat([features, offset.to(features.dtype)], dim=1))


def edge_losses(answers: Tensor, filled: Tensor, intensity: Tensor) -> OccupancyLosses:
    """What answers cost.

    Args:
        answers: (E, 2) logits of being filled, and intensities.
        filled: (E,) bool.
        intensity: (E,), below 0 where it is not known.
    """
    logits, guess = full_precision(answers).unbind(dim=1)
    wrong = F.binary_cross_entropy_with_logits(logits, filled.to(logits.dtype), reduction="sum")
    known = intensity >= 0
    off = (guess - intensity).abs().masked_fill(~known, 0.0).sum()
    return OccupancyLosses(wrong / max(1, len(answers)), off / known.sum().clamp(min=1))


@torch.no_grad()
def draw_queries(batch: LidarBatch, config: OccupancyConfig, generator: Generator) -> Queries:
    """Queries on the rays from the sensor to points drawn with replacement, the same number in every frame.

    CMCR draws them before a cloud is turned and mirrored, and moves both. Turns about and mirrors through the sensor
    keep rays and lengths along them, so drawing afterwards has the same distribution. The sensor is at the origin of
    the points; this is only nearly so for points of earlier sweeps, which a moving sensor saw from elsewhere.

    Args:
        batch: frames with the point field "intensity".
        config: how many of which kind.
        generator: on the device of the batch.

    Raises:
        ValueError: if points have no intensity.
    """
    points = batch.points_with("intensity")
    device, offsets = points.device, batch.point_offsets.to(points.device)
    counts = torch.diff(offsets)
    occupied = (counts > 0).nonzero()  # (B', 1)
    first, draw = torch.rand(2, len(occupied), config.queries, generator=generator, device=device, dtype=torch.float64)
    row = (offsets[occupied] + (first * counts[occupied]).long()).flatten()
    ends, intensity = points[row, :3], points[row, 3]
    behind, last = config.behind, config.behind + config.before
    kind = torch.arange(config.queries, device=device).expand(len(occupied), -1).flatten()
    near, share = kind < last, draw.flatten().to(ends.dtype)[:, None]
    along = torch.where(kind < behind, config.depth, -config.depth)[:, None] * share * F.normalize(ends, dim=1)
    return Queries(
        positions=torch.where(near[:, None], ends + along, ends * share),
        frame=occupied.expand(-1, config.queries).flatten(),
        filled=kind < behind,
        intensity=torch.where(near, intensity, -1.0),
    )
