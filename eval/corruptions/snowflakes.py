"""Snowflakes in the plane of a LiDAR's beam, and what they hide of its rays.

Hahner et al., LiDAR Snowfall Simulation for Robust 3D Object Detection, CVPR 2022, https://arxiv.org/abs/2203.15118,
with the constants of https://github.com/ldkong1205/Robo3D, create/nuscenes_c/snow/sampling.py. Sizes of flakes are
those of Gunn and Marshall (1958). The public code reads patterns that were drawn once; here each beam of each frame has
its own, drawn by the same rules, but for the rejection of flakes that overlap, of which there is one in ten patterns.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.random import Generator

RADIUS = 80.0  # meters around the sensor in which it snows
LARGEST = 0.020  # meters, diameter of a flake
SNOW_DENSITY = 0.1  # g/cm³
FLAKE = 0.003  # meters, the diameter by which snowfall is turned into rain
DIVERGENCE = 0.003  # radians, opening angle of a ray
NEAR = 1.0  # meters within which flakes look so wide that each is held against all rays


class Snowfall(NamedTuple):
    """How it snows."""

    rate: float  # mm/h of water
    velocity: float  # m/s, of falling flakes

    @property
    def occupancy(self) -> float:
        """Share of the plane that flakes cover."""
        return self.rate / (3.6e6 * SNOW_DENSITY * self.velocity)

    @property
    def mean_diameter(self) -> float:
        """Mean of the exponential distribution of diameters, meters."""
        rain = (self.rate / (487 * SNOW_DENSITY * FLAKE * self.velocity)) ** 1.5  # mm/h
        return 0.01 / (25.5 * rain**-0.48)


class Hidden(NamedTuple):
    """Flakes that hide a part of a ray, one entry for each pair of both, the nearest of a ray first."""

    ray: np.ndarray  # (n,) int64
    distance: np.ndarray  # (n,) meters
    share: np.ndarray  # (n,) of the ray's angle that this flake hides and no nearer one


def draw_flakes(snowfall: Snowfall, generator: Generator) -> np.ndarray:
    """Discs in which flakes cut the plane, (n, 3): angle in radians, distance and radius in meters."""
    wanted, found, covered = snowfall.occupancy * np.pi * RADIUS**2, [], 0.0
    scale = snowfall.mean_diameter
    batch = int(1.1 * wanted / (np.pi * scale**2 / 3)) + 16  # a disc has π D² / 6 on the mean, and D² is 2 scale²
    while covered < wanted:
        distance, angle = RADIUS * np.sqrt(generator.uniform(size=batch)), generator.uniform(0, 2 * np.pi, batch)
        diameter = _truncated(scale, batch, generator)
        height = generator.uniform(-0.5, 0.5, batch) * diameter  # of the center above the plane
        radius = np.sqrt(np.maximum(diameter**2 / 4 - height**2, 0.0))
        discs = np.stack([angle, distance, radius], axis=1)[distance > radius]
        areas = covered + np.cumsum(np.pi * discs[:, 2] ** 2)
        last = int(np.searchsorted(areas, wanted)) + 1
        found.append(discs[:last])
        covered = float(areas[min(last, len(areas)) - 1])
    return np.concatenate(found)


def _truncated(scale: float, count: int, generator: Generator) -> np.ndarray:
    """Exponential diameters below `LARGEST`, by the inverse of their distribution."""
    share = -np.expm1(-LARGEST / scale)
    drawn: np.ndarray = -scale * np.log1p(-share * generator.uniform(size=count))
    return drawn


def hidden_shares(angles: np.ndarray, ranges: np.ndarray, flakes: np.ndarray) -> Hidden:
    """What flakes hide of rays.

    Args:
        angles: (m,) of the middle of each ray, radians.
        ranges: (m,) of what it hits: flakes beyond hide nothing.
        flakes: (n, 3) as `draw_flakes` gives them.
    """
    ray, flake = _touching(np.mod(angles, 2 * np.pi), ranges, flakes)
    order = np.lexsort((flakes[flake, 1], ray))
    ray, flake = ray[order], flake[order]
    offset = _wrapped(flakes[flake, 0] - angles[ray])
    half = np.arcsin(flakes[flake, 2] / flakes[flake, 1])
    low, high = (np.clip(edge, -DIVERGENCE / 2, DIVERGENCE / 2) for edge in (offset - half, offset + half))
    share = np.zeros(len(ray))
    borders = np.flatnonzero(np.diff(ray, prepend=-1, append=-1))  # none where no flake meets a ray
    for start, end in pairwise(borders):
        share[start:end] = _first_covered(low[start:end], high[start:end]) / DIVERGENCE
    return Hidden(ray, flakes[flake, 1], share)


def _first_covered(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Length of each interval that no earlier one covers: (k,), (k,) → (k,)."""
    if len(low) == 1:
        return high - low
    edges = np.unique(np.concatenate([low, high]))
    middle = (edges[1:] + edges[:-1]) / 2
    covers = (low[:, None] <= middle) & (middle <= high[:, None])  # (k, segments)
    first = covers & (np.cumsum(covers, axis=0) == 1)
    lengths: np.ndarray = (first * np.diff(edges)).sum(axis=1)
    return lengths


def _touching(angles: np.ndarray, ranges: np.ndarray, flakes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rays and flakes that meet, as two lists of indices."""
    near = np.flatnonzero(flakes[:, 1] < NEAR)
    far = np.flatnonzero(flakes[:, 1] >= NEAR)
    far = far[np.argsort(flakes[far, 0], kind="stable")]
    reach = DIVERGENCE / 2 + float(np.arcsin(flakes[far, 2] / flakes[far, 1]).max(initial=0.0))
    around = np.concatenate([flakes[far, 0] + turn for turn in (-2 * np.pi, 0.0, 2 * np.pi)])  # sorted still
    begin, end = np.searchsorted(around, angles - reach), np.searchsorted(around, angles + reach)
    counts = end - begin
    ray = np.repeat(np.arange(len(angles)), counts)
    place = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(begin, counts)
    flake = np.tile(far, 3)[place] if len(far) else np.zeros(0, dtype=int)
    ray = np.concatenate([ray, np.repeat(np.arange(len(angles)), len(near))])
    flake = np.concatenate([flake, np.tile(near, len(angles))])
    half = np.arcsin(flakes[flake, 2] / flakes[flake, 1])
    meet = np.abs(_wrapped(flakes[flake, 0] - angles[ray])) < half + DIVERGENCE / 2
    meet &= flakes[flake, 1] < ranges[ray]
    return ray[meet], flake[meet]


def _wrapped(angle: np.ndarray) -> np.ndarray:
    """Angles from −π to π."""
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi
