"""Features of all points of a frame, the point that they are compared with, and the colorings that show both."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.viz.chosen_point import central_point
from crosspoint.scene.viz.colorings import Continuous, Rgb, on_ramp
from crosspoint.scene.viz.colors import limits
from crosspoint.scene.viz.principal_axes import component_colors
from crosspoint.scene.viz.similarity import cosines, unit_features


@dataclass(frozen=True, eq=False)
class PointFeatures:
    """Features of N points at length 1.

    Args:
        units: (N, C) float32.
        chosen: row of the point that all are compared with.
    """

    units: np.ndarray
    chosen: int

    @classmethod
    def of(cls, frame: LidarSample, features: np.ndarray, chosen: int | None = None) -> PointFeatures:
        """Features (N, C) of a frame of N points, paired with its images where it has some.

        Args:
            frame: N > 0.
            features: finite numbers.
            chosen: row of a point; None takes the one in the middle.

        Raises:
            ValueError: if there are features for other points, numbers that are not finite, no such point, or the
                point's feature has no direction.
        """
        count = len(frame.points)
        if features.ndim != 2 or features.dtype.kind != "f" or len(features) != count or features.shape[1] == 0:
            raise ValueError(
                f"found features {features.shape} {features.dtype} for {frame.name}, expected one row of numbers for "
                f"each of its {count} points"
            )
        if not np.isfinite(features).all():
            raise ValueError(f"found NaN or infinite features for {frame.name}, expected finite ones")
        chosen = central_point(frame) if chosen is None else chosen
        if not 0 <= chosen < count:
            raise ValueError(f"found point {chosen}, expected 0 to {count - 1}: {frame.name} has {count} points")
        if not features[chosen].any():
            raise ValueError(
                f"found a feature of zeros at point {chosen} of {frame.name}, expected one with a direction: choose "
                "another point"
            )
        return cls(unit_features(features), chosen)


def by_components(features: PointFeatures) -> Rgb:
    """By the first three principal components of the features."""
    table, share = component_colors(features.units)
    note = f"The first three principal components as red, green and blue: {share:.0%} of the variance."
    return Rgb("features (PCA)", table, note)


def by_similarity(features: PointFeatures) -> Continuous:
    """By the cosine similarity to the chosen point, from the lowest (a hundredth left out) to 1."""
    values = cosines(features.units, features.chosen)
    return on_ramp("similarity", values, (min(limits(values)[0], 1 - 1e-3), 1.0))
