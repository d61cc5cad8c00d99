"""Labeled clouds that a protocol reads: all in memory, in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from crosspoint.fields import Fields, channels_of, described


@dataclass(frozen=True)
class Clouds:
    """Labeled clouds of one split.

    Raises:
        ValueError: if there is no cloud, if shapes do not fit, if a coordinate is not finite, or if a label has no
            class name.
    """

    points: np.ndarray  # (n, N, 3) float32, y up, or (n, N, 3 + 3 F) with fields behind x y z
    labels: np.ndarray  # (n,) int64
    classes: list[str]
    name: str  # dataset and variant, as it appears in results: "scanobjectnn/obj_bg"
    split: str
    parts: np.ndarray | None = None  # (n, N) int64 part labels, where the dataset has them
    part_names: list[str] | None = None
    fields: Fields = ()  # what stands behind x y z

    def __post_init__(self) -> None:
        where = f"{self.name} ({self.split})"
        channels = channels_of(self.fields)
        if self.points.ndim != 3 or self.points.shape[2] != channels:
            known = f" of {described(self.fields)}" if self.fields else ""
            raise ValueError(f"{where}: found points of shape {self.points.shape}, expected (n, N, {channels}){known}")
        if len(self.points) == 0:
            raise ValueError(f"{where}: found no cloud in this split, expected at least one: check the split's name")
        if self.labels.shape != (len(self.points),):
            raise ValueError(f"{where}: found labels of shape {self.labels.shape}, expected ({len(self.points)},)")
        broken = ~np.isfinite(self.points).all(axis=(1, 2))
        if broken.any():
            raise ValueError(
                f"{where}: found {int(broken.sum())} clouds with NaN or infinite coordinates "
                f"(the first is number {int(broken.argmax())}), expected finite points: repair or remove them"
            )
        if self.labels.min() < 0 or self.labels.max() >= len(self.classes):
            raise ValueError(
                f"{where}: found labels {self.labels.min()}…{self.labels.max()}, "
                f"expected 0…{len(self.classes) - 1} for its {len(self.classes)} class names"
            )

    def __len__(self) -> int:
        return len(self.points)


def take_points(clouds: np.ndarray, points: int, where: str) -> np.ndarray:
    """The first `points` points of clouds (n, N, C), as the archives of this field are read (they are shuffled).

    Raises:
        ValueError: if the clouds hold fewer.
    """
    if clouds.shape[1] < points:
        raise ValueError(
            f"{where}: found {clouds.shape[1]} points in a cloud, expected at least {points}: ask for fewer points"
        )
    return np.ascontiguousarray(clouds[:, :points])
