"""The seven corruptions of ModelNet-C.

Ren et al., Benchmarking and Analyzing Point Cloud Classification under Corruptions, ICML 2022,
https://arxiv.org/abs/2202.03377; constants follow its code, https://github.com/ldkong1205/PointCloud-C. They are made
for clouds of 1,024 points in the unit sphere: numbers of points are absolute.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.random import Generator
from scipy.spatial.transform import Rotation

STEPS = (1.6, 1.7, 1.8, 1.9, 2.0)  # of scale
SHARES = (0.25, 0.375, 0.5, 0.625, 0.75)  # of dropout
CLUSTERS = 7  # at most
SPREAD = (0.075, 0.125)  # of a cluster that is added


def scale(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Each axis by a factor of its own, from 1/s to s; then in the unit sphere again."""
    step = STEPS[severity - 1]
    moved = points * generator.uniform(1 / step, step, 3)
    moved = moved - moved.mean(axis=0)
    return moved / np.linalg.norm(moved, axis=1).max()


def jitter(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Gaussian noise of 0.01 to 0.05 on each coordinate."""
    return points + generator.normal(0.0, 0.01 * severity, points.shape)


def rotate(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Turned about x, y and z, each by up to 6° to 30°."""
    limit = math.pi / 30 * severity
    turn = Rotation.from_euler("xyz", generator.uniform(-limit, limit, 3)).as_matrix()
    return points @ turn


def dropout_global(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Random points removed, a quarter to three quarters."""
    kept = int(len(points) * (1 - SHARES[severity - 1]))
    return points[generator.permutation(len(points))[:kept]]


def dropout_local(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Clusters removed, 100 to 500 points in all: those nearest to random points."""
    for size in _cluster_sizes(severity, generator):
        center = points[generator.integers(len(points))]
        squares = ((points - center) ** 2).sum(axis=1)
        points = points[np.sort(np.argsort(squares, kind="stable")[size:])]
    return points


def add_global(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """10 to 50 points added, uniform in the unit ball."""
    count = 10 * severity
    directions = generator.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    return np.concatenate([points, directions * generator.uniform(size=(count, 1)) ** (1 / 3)])


def add_local(points: np.ndarray, severity: int, generator: Generator) -> np.ndarray:
    """Clusters added around points of the cloud, 100 to 500 points in all.

    As in the public code, a point outside the unit ball is divided by the square of its norm.
    """
    sizes = _cluster_sizes(severity, generator)
    centers = points[generator.permutation(len(points))[: len(sizes)]]
    added = np.concatenate(
        [
            center + generator.normal(0.0, generator.uniform(*SPREAD), (size, 3))
            for center, size in zip(centers, sizes, strict=True)
        ]
    )
    squares = (added**2).sum(axis=1, keepdims=True)
    return np.concatenate([points, np.where(squares > 1, added / squares, added)])


def _cluster_sizes(severity: int, generator: Generator) -> np.ndarray:
    """Sizes of one to seven clusters, 100 to 500 points in all; each point is in any of them alike."""
    clusters = int(generator.integers(1, CLUSTERS + 1))
    return generator.multinomial(100 * severity, [1 / clusters] * clusters)
