"""Polygons of any size → triangles."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np


def fan(polygons: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Triangles (T, 3) int64 around the first corner of each polygon, and the polygon (T,) of each."""
    triangles: list[tuple[int, int, int]] = []
    of: list[int] = []
    for number, polygon in enumerate(polygons):
        for second, third in pairwise(polygon[1:]):
            triangles.append((polygon[0], second, third))
            of.append(number)
    return np.array(triangles, dtype=np.int64).reshape(-1, 3), np.array(of, dtype=np.int64)
