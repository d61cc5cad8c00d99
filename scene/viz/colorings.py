"""The ways to color a cloud: by class, prediction, mistake, weak label, height, intensity, or as the images show it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crosspoint.scene.data.correspondences import pair_colors
from crosspoint.scene.data.sample import IGNORED, LidarSample
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
        note: what the colors mean, in a sentence.
    """

    title: str
    of_points: np.ndarray
    note: str


Coloring = Categorical | Continuous | Rgb


def by_class(frame: LidarSample, classes: Sequence[str], predictions: np.ndarray | None) -> Iterator[Categorical]:
    """By truth, prediction (N,) and whether they agree, as far as given; how good the prediction is, is named."""
    table, names = np.concatenate([class_colors(classes), [colors.UNKNOWN]]), [*classes, "no class"]
    truth = frame.point_fields["label"].numpy() if "label" in frame.point_fields else None
    given = {"class" if predictions is None else "truth": truth, "prediction": predictions}
    for title, labels in given.items():
        if labels is not None:
            places = np.where(labels == IGNORED, len(classes), labels).astype(np.int64)
            yield Categorical(title, places, table.astype(np.uint8), names)
    if truth is not None and predictions is not None:
        known = truth != IGNORED
        right = truth == predictions
        figures = agreement(truth, predictions)
        named = "" if figures is None else ", {:.1%} right, mIoU {:.1%}".format(*figures)
        places = np.where(~known, 2, np.where(right, 0, 1))
        table = np.array([colors.RIGHT, colors.WRONG, colors.UNKNOWN], dtype=np.uint8)
        yield Categorical(f"mistakes{named}", places, table, ["right", "wrong", "no class"])


def by_weak_label(frame: LidarSample, classes: Sequence[str], weak_classes: Sequence[str]) -> Categorical:
    """By the weak label of the pixel that sees a point, of the last where several do.

    Args:
        frame: with pairs and the pixel map "weak_labels".
        classes: names of the labels of points; a weak label of the same name has the same color.
        weak_classes: names of the weak labels, from 1 on.
    """
    names = [*classes, *(name for name in weak_classes if name not in classes)]
    chosen = class_colors(names)[[names.index(name) for name in weak_classes]]
    x, y = frame.pair_pixel.floor().long().unbind(dim=1)
    places = np.zeros(len(frame.points), dtype=np.int64)
    places[frame.pair_point.numpy()] = frame.pixel_maps["weak_labels"][frame.pair_view, y, x].numpy()
    table = np.concatenate([[colors.UNKNOWN], chosen.reshape(-1, 3)]).astype(np.uint8)
    return Categorical("weak label", places, table, ["nothing said", *weak_classes])


def by_height(frame: LidarSample) -> Continuous:
    """By z in the LiDAR's frame."""
    return _measured("height z, m", frame.points[:, 2].numpy())


def by_intensity(frame: LidarSample) -> Continuous:
    """By the field "intensity" of the points."""
    return _measured("intensity", frame.point_fields["intensity"].numpy())


def by_image(frame: LidarSample) -> Rgb:
    """As the images show the points that are paired; gray where none does, by the last where several do."""
    table = np.full((len(frame.points), 3), colors.UNKNOWN, dtype=np.uint8)
    table[frame.pair_point.numpy()] = pair_colors(frame).numpy()
    return Rgb("image", table, "Gray: no image sees the point.")


def on_ramp(title: str, values: np.ndarray, limits: tuple[float, float]) -> Continuous:
    """By values (N,), those beyond the limits as the limits themselves."""
    low, high = limits
    places = np.rint(np.clip((values - low) / (high - low), 0, 1) * 255).astype(np.uint8)
    return Continuous(title, places, limits)


def _measured(title: str, values: np.ndarray) -> Continuous:
    return on_ramp(title, values, colors.limits(values))
