"""The few solids that every procedural shape is made of.

Each solid is closed, has outward faces, stands on the plane y = 0 and is centered on the y axis, unless its docstring
says otherwise. All of them are lofts: a skin stretched over a row of rings.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Solid(NamedTuple):
    """A triangle mesh that can be moved about; every method returns a new solid."""

    vertices: np.ndarray  # (V, 3) float64
    faces: np.ndarray  # (F, 3) int64

    def at(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Solid:
        """Moved by (x, y, z)."""
        return Solid(self.vertices + np.array([x, y, z]), self.faces)

    def scaled(self, x: float = 1.0, y: float = 1.0, z: float = 1.0) -> Solid:
        """Stretched about the origin; a mirror image (a negative factor) keeps its faces outward."""
        flipped = x * y * z < 0
        return Solid(self.vertices * (x, y, z), self.faces[:, ::-1] if flipped else self.faces)

    def turned(self, axis: str, degrees: float) -> Solid:
        """Turned about the x, y or z axis through the origin, counter-clockwise seen from the axis' tip."""
        c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
        i, j = {"x": (1, 2), "y": (2, 0), "z": (0, 1)}[axis]
        turned = self.vertices.copy()
        turned[:, i] = c * self.vertices[:, i] - s * self.vertices[:, j]
        turned[:, j] = s * self.vertices[:, i] + c * self.vertices[:, j]
        return Solid(turned, self.faces)


def loft(rings: ArrayLike, loop: bool = False) -> Solid:
    """The skin over a row of closed rings.

    Args:
        rings: (S, M, 3), S rings of M corners each, corner i of one ring joined to corner i of the next.
        loop: join the last ring to the first; otherwise both ends are capped by a fan about their mean, which is right
            for rings that are star-shaped about it.
    """
    rings = np.asarray(rings, dtype=np.float64)
    count, sides = rings.shape[:2]
    ring = np.arange(count if loop else count - 1)[:, None] * sides
    corner = np.arange(sides)[None]
    beside = (corner + 1) % sides
    above = (ring + sides) % (count * sides)
    a, b, c, d = (index.ravel() for index in (ring + corner, ring + beside, above + beside, above + corner))
    faces = [np.stack([a, b, c], 1), np.stack([a, c, d], 1)]
    vertices = rings.reshape(-1, 3)
    if not loop:
        low, high = len(vertices), len(vertices) + 1
        vertices = np.concatenate([vertices, rings[[0, -1]].mean(axis=1)])
        first, last = np.arange(sides), (count - 1) * sides + np.arange(sides)
        faces.append(np.stack([np.roll(first, -1), first, np.full(sides, low)], 1))
        faces.append(np.stack([last, np.roll(last, -1), np.full(sides, high)], 1))
    return _outward(vertices, np.concatenate(faces))


def _outward(vertices: np.ndarray, faces: np.ndarray) -> Solid:
    """Drop the triangles that a ring of no width leaves, and turn all faces so that the volume is positive."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    normals = np.cross(b - a, c - a)
    faces = faces[np.linalg.norm(normals, axis=1) > 1e-12]
    volume = np.einsum("fi,fi->", a - vertices.mean(axis=0), normals)
    return Solid(vertices, faces if volume >= 0 else faces[:, ::-1])


def circle(sides: int) -> np.ndarray:
    """Corners (sides, 2) of a regular polygon of circumradius 1; for 4 sides, a square along the axes."""
    angle = 2 * np.pi * (np.arange(sides) + 0.5) / sides
    return np.stack([np.cos(angle), np.sin(angle)], 1)


def box(width: float, height: float, depth: float, top: float = 1.0) -> Solid:
    """A box along x, y and z; its top face is `top` times as wide and deep as its bottom."""
    return frustum(0.5, 0.5 * top, height, sides=4).scaled(width * np.sqrt(2), 1.0, depth * np.sqrt(2))


def frustum(bottom: float, top: float, height: float, sides: int = 16) -> Solid:
    """A cylinder, cone or pyramid by the radii of its ends."""
    return lathe([(bottom, 0.0), (top, height)], sides)


def lathe(profile: ArrayLike, sides: int = 20) -> Solid:
    """A surface of revolution about y from its profile (S, 2) of (radius, height)."""
    radius, height = np.asarray(profile, dtype=np.float64).T
    ring = circle(sides)
    x, z = radius[:, None] * ring[:, 0], radius[:, None] * ring[:, 1]
    return loft(np.stack([x, np.broadcast_to(height[:, None], x.shape), z], 2))


def vessel(profile: ArrayLike, wall: float, sides: int = 20) -> Solid:
    """A hollow, open surface of revolution: the outer profile (S, 2), then the same one `wall` further in."""
    outer = np.asarray(profile, dtype=np.float64)
    floor = outer[0, 1] + wall
    inner = np.stack([np.maximum(outer[::-1, 0] - wall, 0.0), np.maximum(outer[::-1, 1], floor)], 1)
    return lathe(np.concatenate([outer, inner]), sides)


def ellipsoid(width: float, height: float, depth: float, roundness: float = 1.0, sides: int = 12) -> Solid:
    """An ellipsoid centered on the origin; below a roundness of 1 a superellipsoid, at 0.2 nearly a box: a cushion."""
    latitude = np.linspace(-np.pi / 2, np.pi / 2, sides // 2 + 1)[:, None]
    longitude = 2 * np.pi * (np.arange(sides) + 0.5)[None] / sides

    def bent(value: np.ndarray) -> np.ndarray:
        return np.sign(value) * np.abs(value) ** roundness

    across = bent(np.cos(latitude))
    across[[0, -1]] = 0.0  # the poles: rounding errors would grow under a small exponent
    x, z = across * bent(np.cos(longitude)), across * bent(np.sin(longitude))
    y = np.broadcast_to(bent(np.sin(latitude)), x.shape)
    return loft(np.stack([x, y, z], 2) * (width / 2, height / 2, depth / 2))


def prism(outline: ArrayLike, thickness: float) -> Solid:
    """An outline (M, 2) in the xy plane, star-shaped about its mean, given a thickness along z; not moved."""
    outline = np.asarray(outline, dtype=np.float64)
    ends = [np.column_stack([outline, np.full(len(outline), z)]) for z in (-thickness / 2, thickness / 2)]
    return loft(ends)


def tube(curve: ArrayLike, radius: ArrayLike, sides: int = 8, loop: bool = False) -> Solid:
    """A round rod along a curve (S, 3), with one radius or one for each of its points; not moved."""
    curve = np.asarray(curve, dtype=np.float64)
    ahead = np.roll(curve, -1, axis=0) - np.roll(curve, 1, axis=0)
    if not loop:
        ahead[0], ahead[-1] = curve[1] - curve[0], curve[-1] - curve[-2]
    ahead /= np.linalg.norm(ahead, axis=1, keepdims=True)
    ring, rings = circle(sides), []
    side = np.cross(ahead[0], np.eye(3)[np.abs(ahead[0]).argmin()])
    for center, forward, r in zip(curve, ahead, np.broadcast_to(radius, len(curve)), strict=True):
        side = side - (side @ forward) * forward  # carried along, so that the rod does not twist
        side /= np.linalg.norm(side)
        rings.append(center + r * (ring[:, :1] * side + ring[:, 1:] * np.cross(forward, side)))
    return loft(rings, loop)


def rod(start: ArrayLike, end: ArrayLike, radius: float, end_radius: float | None = None) -> Solid:
    """A straight tube between two points; not moved."""
    return tube(np.asarray([start, end], dtype=np.float64), [radius, radius if end_radius is None else end_radius])


def hull(stations: ArrayLike, roundness: float = 1.0, sides: int = 16) -> Solid:
    """A body along z, as of a car or an aeroplane, from its cross sections; not moved.

    Args:
        stations: (S, 4), each row z, half width, bottom y, top y.
        roundness: 1 for elliptic sections, 0.3 for nearly square ones.
        sides: corners of a section.
    """
    z, half, low, high = (column[:, None] for column in np.asarray(stations, dtype=np.float64).T)
    ring = np.sign(circle(sides)) * np.abs(circle(sides)) ** roundness
    x = half * ring[:, 0]
    y = (low + high) / 2 + (high - low) / 2 * ring[:, 1]
    return loft(np.stack([x, y, np.broadcast_to(z, x.shape)], 2))


def wing(root: float, tip: float, span: float, sweep: float = 0.0, rise: float = 0.0, thickness: float = 0.12) -> Solid:
    """One half of a wing along +x from the origin, its nose toward +z; not moved.

    Args:
        root: chord at the origin.
        tip: chord at x = span.
        span: length of this half.
        sweep: how far back (−z) the tip's nose lies behind the root's.
        rise: height of the tip.
        thickness: of the section, as a share of its chord.
    """
    section = np.array([(0.0, 0.0), (0.3, 0.5), (1.0, 0.05), (1.0, -0.05), (0.3, -0.5)])
    rings = []
    for x, y, nose, chord in ((0.0, 0.0, root / 2, root), (span, rise, root / 2 - sweep, tip)):
        height, length = section[:, 1] * thickness * chord, section[:, 0] * chord
        rings.append(np.stack([np.full(len(section), x), y + height, nose - length], 1))
    return loft(rings)
