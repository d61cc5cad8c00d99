"""Normals for smooth shading of meshes as they come: cracked, creased, wound either way."""

from __future__ import annotations

import numpy as np


def face_normals(corners: np.ndarray) -> np.ndarray:
    """Area-weighted normals (F, 3), twice the area long, of triangles (F, 3, 3)."""
    return np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])


def corner_normals(corners: np.ndarray, crease: float = 40.0, largest_fan: int = 64) -> np.ndarray:
    """Unit normals (F, 3, 3) of the corners of triangles: smooth over shallow edges, split at creases.

    The normal of a corner is the area-weighted mean over the faces that meet there (by position, not by index) at
    less than `crease` degrees to its own; a neighbor wound the other way counts with its normal turned round.

    Args:
        corners: (F, 3, 3) vertices of the faces.
        crease: angle in degrees between faces from which their edge is sharp.
        largest_fan: a corner where more faces meet keeps its face's normal, which bounds the work.
    """
    weighted = face_normals(corners)
    length = np.linalg.norm(weighted, axis=1, keepdims=True)
    unit = weighted / np.maximum(length, np.finfo(np.float64).tiny)
    flat = corners.reshape(-1, 3)
    extent = max(float(np.ptp(flat, axis=0).max()), np.finfo(np.float64).tiny)
    grid = np.round((flat - flat.min(axis=0)) * (2.0**20 / extent)).astype(np.int64)  # cracks below 1e-6 close
    key = (grid[:, 0] << 42) | (grid[:, 1] << 21) | grid[:, 2]
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0])
    counts = np.diff(np.r_[starts, len(order)])
    kept = counts <= largest_fan
    starts, counts = starts[kept], counts[kept]
    # Every ordered pair (a, b) of corners at one position: counts² of them per position.
    squares = counts**2
    group = np.repeat(np.arange(len(counts)), squares)
    rank = np.arange(squares.sum()) - np.repeat(np.cumsum(squares) - squares, squares)
    a = order[starts[group] + rank // counts[group]]
    b = order[starts[group] + rank % counts[group]]
    cosine = (unit[a // 3] * unit[b // 3]).sum(axis=1)
    near = np.abs(cosine) > np.cos(np.radians(crease))
    a, b, side = a[near], b[near], np.sign(cosine[near])
    total = np.stack(
        [np.bincount(a, weights=side * weighted[b // 3, axis], minlength=len(flat)) for axis in range(3)], axis=1
    )
    norm = np.linalg.norm(total, axis=1, keepdims=True)
    own = np.repeat(unit, 3, axis=0)
    return np.where(norm > 0, total / np.where(norm > 0, norm, 1.0), own).reshape(-1, 3, 3)
