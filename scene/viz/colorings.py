"""The ways to color a cloud: by class, prediction and mistake, height, intensity, and as the images show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crosspoint.scene.data.correspondences import pair_colors
from crosspoint.scene.data.sample import IGNORED, SceneFrame, ScenePair
from crosspoint.scene.viz import colors
from crosspoint.scene.viz.class_colors import class_colors
from crosspoint.scene.viz.predictions import agreement


@dataclass(frozen=True, eq=False)
class Categorical:
    """Each point has one of a few colors that have a name.

    Args:
        title: of the whole.
        places: (N,) int64, of each point in `colors` and `names`.
        colors: (K, 3) uint8.
        names: K.
    """

    title: str
    places: np.ndarray
    colors: np.ndarray
    names: list[str]

    @property
    def of_points(self) -> np.ndarray:
        """(N, 3) uint8."""
        return self.colors[self.places]


@dataclass(frozen=True, eq=False)
class Continuous:
    """Each point has a color of the ramp.

    Args:
        title: of the whole, with its unit.
        places: (N,) uint8, of each point in `colors.ramp()`.
        limits: the values of its first and its last color.
    """

    title: str
    places: np.ndarray
    limits: tuple[float, float]

    @property
    def of_points(self) -> np.ndarray:
        """(N, 3) uint8."""
        return colors.ramp()[self.places]


@dataclass(frozen=True, eq=False)
class Rgb:
    """Each point has its own color.

    Args:
        title: of the whole.
        of_points: (N, 3) uint8.
    """

    title: str
    of_points: np.ndarray


Coloring = Categorical | Continuous | Rgb


def by_class(frame: SceneFrame, classes: Sequence[str], predictions: np.ndarray | None) -> Iterator[Categorical]:
    """By truth, prediction (N,) and whether they agree, as far as given; how good the prediction is, is named."""
    table, names = np.concatenate([class_colors(classes), [colors.UNKNOWN]]), [*classes, "no class"]
    given = {"class" if predictions is None else "truth": frame.labels, "prediction": predictions}
    for title, labels in given.items():
        if labels is not None:
            places = np.where(labels == IGNORED, len(classes), labels).astype(np.int64)
            yield Categorical(title, places, table.astype(np.uint8), names)
    if frame.labels is not None and predictions is not None:
        known = frame.labels != IGNORED
        right = frame.labels == predictions
        figures = agreement(frame.labels, predictions)
        named = "" if figures is None else ", {:.1%} right, mIoU {:.1%}".format(*figures)
        places = np.where(~known, 2, np.where(right, 0, 1))
        table = np.array([colors.RIGHT, colors.WRONG, colors.UNKNOWN], dtype=np.uint8)
        yield Categorical(f"mistakes{named}", places, table, ["right", "wrong", "no class"])


def by_height(frame: SceneFrame) -> Continuous:
    """By z in the LiDAR's frame."""
    return _measured("height z, m", frame.points[:, 2])


def by_intensity(frame: SceneFrame) -> Continuous:
    """By the returns' intensity."""
    return _measured("intensity", frame.points[:, 3])


def by_image(pair: ScenePair) -> Rgb:
    """As the images show the points; gray where none does, by the last where several do."""
    table = np.full((len(pair.points), 3), colors.UNKNOWN, dtype=np.uint8)
    table[pair.pair_point.numpy()] = pair_colors(pair).numpy()
    return Rgb("image", table)


def _measured(title: str, values: np.ndarray) -> Continuous:
    low, high = colors.limits(values)
    places = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return Continuous(title, places, (low, high))
