"""Comparison of an exported encoder with the network that it came from, on random clouds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from crosspoint.export.formats import Run
from crosspoint.export.tracing import CloudNetwork
from crosspoint.fields import channels_of
from crosspoint.transforms import unit_sphere

TOLERANCE = 1e-3  # of the largest feature: a rounded distance may exchange two neighbors that are equally far


class Agreement(NamedTuple):
    """How far two networks agree.

    Attributes:
        difference: the largest between two features.
        largest: the largest feature, to compare it with.
        clouds: how many were described.
        points: fewest and most points of a cloud.
    """

    difference: float
    largest: float
    clouds: int
    points: tuple[int, int]

    @property
    def holds(self) -> bool:
        """Whether the difference is one of rounding."""
        return self.difference <= TOLERANCE * max(self.largest, 1e-30)

    def __str__(self) -> str:
        low, high = self.points
        return (
            f"largest difference {self.difference:.1e} beside features up to {self.largest:.1e}, on {self.clouds} "
            f"random clouds of {low} to {high} points"
        )


def compare(run: Run, network: CloudNetwork, *, least: int, usual: int, seed: int = 0) -> Agreement:
    """Describe random clouds by both: one cloud, several, few points, and more than were traced.

    Args:
        run: the exported encoder.
        network: the one that it came from; it runs by its fast paths.
        least: points that a cloud needs.
        usual: points of a cloud in training.
        seed: of the clouds.

    Raises:
        ValueError: if a feature is not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    channels = channels_of(network.encoder.fields)
    shapes = [(1, usual), (3, least + 7), (2, usual + 37)]
    difference = largest = 0.0
    for clouds, points in shapes:
        drawn = unit_sphere(torch.randn(clouds, points, channels, generator=generator))
        with torch.no_grad():
            expected = [each.numpy() for each in network(drawn)]
        for ours, theirs in zip(expected, run(drawn.numpy()), strict=True):
            if ours.shape != theirs.shape or not np.isfinite(theirs).all():
                raise ValueError(
                    f"found features of shape {theirs.shape} from the exported network, some perhaps not finite, "
                    f"expected finite ones of shape {ours.shape}: the weights may have diverged"
                )
            difference = max(difference, float(np.abs(ours - theirs).max()))
            largest = max(largest, float(np.abs(ours).max()))
    sizes = [points for _, points in shapes]
    return Agreement(difference, largest, sum(clouds for clouds, _ in shapes), (min(sizes), max(sizes)))
