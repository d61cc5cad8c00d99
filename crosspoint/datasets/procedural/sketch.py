"""A shape in the making: solids, each with the name of its part and the color of its material."""

from __future__ import annotations

import colorsys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import trimesh
from numpy.random import Generator

from crosspoint.datasets.procedural.primitives import Solid

Color = tuple[float, float, float]
GLASS: Color = (0.18, 0.23, 0.3)
RUBBER: Color = (0.1, 0.1, 0.1)


@dataclass(frozen=True)
class Shape:
    """A mesh in meters, y up, standing on the plane y = 0, with a part label per face."""

    mesh: trimesh.Trimesh
    parts: np.ndarray  # (F,) int64, indices into `part_names`
    part_names: tuple[str, ...]  # all parts that this family knows; one shape need not have each of them
    family: str


class Sketch:
    """Collects the solids of one shape."""

    def __init__(self) -> None:
        self._solids: list[tuple[str, Solid, Color]] = []

    def add(self, part: str, solid: Solid, color: Color) -> None:
        """Put a solid where it stands."""
        self._solids.append((part, solid, color))

    def finish(self, family: str, part_names: tuple[str, ...], stretch: np.ndarray) -> Shape:
        """Glue the solids, stretch them by (3,) factors along x, y and z, and set them on the ground."""
        vertices, faces, colors, parts = [], [], [], []
        start = 0
        for part, solid, color in self._solids:
            vertices.append(solid.vertices)
            faces.append(solid.faces + start)
            colors.append(np.tile([*color, 1.0], (len(solid.vertices), 1)))
            parts.append(np.full(len(solid.faces), part_names.index(part), dtype=np.int64))
            start += len(solid.vertices)
        placed = np.concatenate(vertices) * stretch
        middle = (placed.min(axis=0) + placed.max(axis=0)) / 2
        placed -= (middle[0], placed[:, 1].min(), middle[2])
        mesh = trimesh.Trimesh(
            placed,
            np.concatenate(faces),
            vertex_colors=np.rint(np.concatenate(colors) * 255).astype(np.uint8),
            process=False,  # merging vertices would mix the colors of touching parts
        )
        return Shape(mesh, np.concatenate(parts), part_names, family)


@dataclass(frozen=True)
class Family:
    """A procedure that draws a shape from random numbers, and the parts it may give it."""

    draw: Callable[[Sketch, Generator], None]
    parts: tuple[str, ...]


def chance(rng: Generator, probability: float) -> bool:
    """True with this probability."""
    return bool(rng.random() < probability)


def corners(x: float, z: float) -> list[tuple[float, float]]:
    """The four corners (±x, ±z) of a rectangle about the origin."""
    return [(x, z), (x, -z), (-x, z), (-x, -z)]


def _hsv(hue: float, saturation: float, value: float) -> Color:
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def wood(rng: Generator) -> Color:
    """From birch to wenge."""
    return _hsv(rng.uniform(0.06, 0.11), rng.uniform(0.35, 0.7), rng.uniform(0.3, 0.85))


def metal(rng: Generator) -> Color:
    """Steel, aluminium, brass, or black iron."""
    if chance(rng, 0.2):
        return _hsv(0.12, rng.uniform(0.45, 0.6), rng.uniform(0.6, 0.8))
    return _hsv(0.6, rng.uniform(0.0, 0.1), rng.choice([0.15, 0.45, 0.65, 0.8]) + rng.uniform(-0.05, 0.05))


def fabric(rng: Generator) -> Color:
    """Any color, rather dull."""
    return _hsv(rng.random(), rng.uniform(0.1, 0.65), rng.uniform(0.3, 0.9))


def paint(rng: Generator) -> Color:
    """Any color, often strong; one in four is white or gray."""
    if chance(rng, 0.25):
        return _hsv(0.0, 0.0, rng.uniform(0.5, 0.97))
    return _hsv(rng.random(), rng.uniform(0.5, 0.95), rng.uniform(0.45, 0.95))


def ceramic(rng: Generator) -> Color:
    """Glazes and terracotta."""
    if chance(rng, 0.3):
        return _hsv(rng.uniform(0.02, 0.07), rng.uniform(0.5, 0.7), rng.uniform(0.55, 0.8))
    return _hsv(rng.random(), rng.uniform(0.05, 0.6), rng.uniform(0.55, 0.97))


def foliage(rng: Generator) -> Color:
    """Greens, with some autumn."""
    hue = rng.uniform(0.05, 0.14) if chance(rng, 0.15) else rng.uniform(0.22, 0.4)
    return _hsv(hue, rng.uniform(0.45, 0.8), rng.uniform(0.3, 0.65))


def shaded(color: Color, factor: float) -> Color:
    """Darker (below 1) or lighter (above)."""
    red, green, blue = (min(channel * factor, 1.0) for channel in color)
    return red, green, blue
