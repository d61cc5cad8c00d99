"""Features of a shown frame's points by a trained encoder, and the point that they are compared with."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from crosspoint.scene.data.sample import LidarSample

log = logging.getLogger("crosspoint")


def check_choice(checkpoint: Path | None, point: int | None, at: str | None) -> None:
    """Raise ValueError where a point is chosen twice, without features to compare, or at no position."""
    if checkpoint is None and (point is not None or at is not None):
        raise ValueError("found a point without features to compare, expected --checkpoint beside --point or --at")
    if point is not None and at is not None:
        raise ValueError(f"found the point {point} and the position {at}, expected one of them: leave one out")
    if at is not None:
        _position(at)


def features_of(frame: LidarSample, checkpoint: Path) -> np.ndarray:
    """Features (N, C) of a frame's points.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds no encoder of such points.
    """
    from crosspoint.checkpoints.pretrained import load_pretrained
    from crosspoint.scene.models.frame_features import frame_features

    return frame_features(load_pretrained(checkpoint), frame)


def chosen_point(frame: LidarSample, point: int | None, at: str | None) -> int | None:
    """The row of the chosen point; None where none is chosen. How far it lies from a position is logged."""
    if at is None or len(frame.points) == 0:
        return point
    from crosspoint.scene.viz.chosen_point import nearest_point

    position, points = _position(at), frame.points.numpy()
    nearest = nearest_point(points, position)
    away = float(np.linalg.norm(points[nearest] - position))
    log.info("point %d is the nearest to %s, %.2f m away", nearest, at, away)
    return nearest


def joined_position(arguments: Sequence[str]) -> list[str]:
    """What was typed, with `--at` and its value as one word: alone, `-5,2,1` looks like a flag."""
    words, rest = [], iter(arguments)
    for word in rest:
        following = next(rest, None) if word == "--at" else None
        words.append(word if following is None else f"{word}={following}")
    return words


def _position(at: str) -> np.ndarray:
    """X,Y,Z as numbers (3,)."""
    try:
        numbers = [float(word) for word in at.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise ValueError(f"found the position {at!r}, expected X,Y,Z: three numbers in meters with commas between")
    return np.array(numbers)
