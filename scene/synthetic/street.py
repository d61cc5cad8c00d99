"""The course of a street and its ground: carriageway with markings, kerbs, pavements, and terrain to the horizon.

Places along a street are given as (s, d): meters along the center line, and meters to its left.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from crosspoint.datasets.procedural.sketch import foliage, shaded
from crosspoint.scene.synthetic.asset import CLASSES, Prop
from crosspoint.scene.synthetic.materials import MATERIAL_NAMES, MATERIALS

REACH = 80.0  # meters of world before the first and after the last place of the ego vehicle, and to both sides
STEP = 1.0  # meters between two rows of the ground's grid


@dataclass(frozen=True, eq=False)
class Street:
    """Center line and cross section; pairs are for the right (d < 0) and the left side."""

    s: np.ndarray  # (S,) stations along the center line, `STEP` apart
    line: np.ndarray  # (S, 3) x, y and heading there; station 0 is the origin, heading along x
    lane: float  # width of each of the two lanes
    parking: tuple[float, float]  # widths of the parking lanes, 0 for none
    pavement: tuple[float, float]
    kerb: float  # height
    hills: np.ndarray  # (W, 4) of everything: wave numbers along s and d, phase, height
    waves: np.ndarray  # (W, 4) of the terrain, likewise
    crossing: float  # station of a zebra crossing; nan for none

    @classmethod
    def draw(cls, drive: float, rng: Generator) -> Street:
        """A street around a drive of so many meters."""
        s = np.arange(-REACH, drive + REACH + STEP, STEP)
        swing, phase = rng.uniform(0.0, 0.3), rng.uniform(0.0, 2 * np.pi)
        heading = swing * np.sin(2 * np.pi * s / rng.uniform(180.0, 320.0) + phase)
        heading -= np.interp(0.0, s, heading)
        x, y = (
            np.concatenate([[0.0], np.cumsum(f[1:] + f[:-1]) * STEP / 2]) for f in (np.cos(heading), np.sin(heading))
        )
        line = np.stack([x - np.interp(0.0, s, x), y - np.interp(0.0, s, y), heading], axis=1)
        # Without hills a point's height alone would tell the road from the pavement.
        hills, waves = (
            np.stack([*rng.uniform(-k, k, (2, 5)), rng.uniform(0, 2 * np.pi, 5), rng.uniform(*height, 5)], axis=1)
            for k, height in ((0.06, (0.05, 0.3)), (0.35, (0.05, 0.3)))
        )
        right, left = (rng.uniform(2.0, 2.4) if rng.random() < 0.6 else 0.0 for _ in range(2))
        crossing = rng.uniform(0.0, drive + 30.0) if rng.random() < 0.5 else np.nan
        pavement = (rng.uniform(1.5, 3.8), rng.uniform(1.5, 3.8))
        return cls(
            s, line, rng.uniform(2.9, 3.7), (right, left), pavement, rng.uniform(0.08, 0.17), hills, waves, crossing
        )

    def place(self, s: np.ndarray | float, d: np.ndarray | float) -> np.ndarray:
        """World coordinates x, y (…, 2) of places (s, d)."""
        x, y, heading = (np.interp(s, self.s, self.line[:, axis]) for axis in range(3))
        return np.stack([x - d * np.sin(heading), y + d * np.cos(heading)], axis=-1)

    def heading(self, s: float) -> float:
        """Of the center line at a station, in radians from x."""
        return float(np.interp(s, self.s, self.line[:, 2]))

    def carriageway(self, side: int) -> float:
        """Distance of the kerb from the center line on a side, 0 right and 1 left."""
        return self.lane + self.parking[side]

    def frontage(self, side: int) -> float:
        """Distance from the center line at which a side's pavement ends."""
        return self.carriageway(side) + self.pavement[side]

    def height(self, s: np.ndarray | float, d: np.ndarray | float) -> np.ndarray:
        """Of the ground: hills, on top of them the kerb from the pavement on, and waves that grow beyond it."""
        s, d = np.broadcast_arrays(np.asarray(s, dtype=np.float64), np.asarray(d, dtype=np.float64))
        side = (d > 0).astype(int)
        road = np.array([self.carriageway(0), self.carriageway(1)])[side]
        beyond = np.abs(d) - np.array([self.frontage(0), self.frontage(1)])[side]
        waves = _swell(self.waves, s, d) * np.clip(beyond / 15.0, 0.0, 1.0)
        return self.relief(s, d) + np.where(np.abs(d) < road, 0.0, self.kerb + waves)

    def relief(self, s: np.ndarray | float, d: np.ndarray | float) -> np.ndarray:
        """Height of the hills that carriageway, pavement and terrain share."""
        return _swell(self.hills, *np.broadcast_arrays(np.asarray(s, np.float64), np.asarray(d, np.float64)))


def _swell(waves: np.ndarray, s: np.ndarray, d: np.ndarray) -> np.ndarray:
    """Sum of sine waves (W, 4): wave numbers along s and d in 1/m, phase, height in meters."""
    along, across, phase, height = waves.T
    return (np.sin(s[..., None] * along + d[..., None] * across + phase) * height).sum(axis=-1)


def ground(street: Street, rng: Generator) -> list[Prop]:
    """The ground of a street, in world coordinates, as strips that meet without a gap."""
    gray, stone = np.full(3, rng.uniform(0.24, 0.42)), np.array([0.68, 0.64, 0.6]) * rng.uniform(0.75, 1.2)
    stone[0] *= rng.uniform(1.0, 1.2)  # some pavements are reddish
    green = np.array(shaded(foliage(rng), 1.2)) if rng.random() < 0.8 else np.array([0.62, 0.52, 0.36])
    strips = [_road(street, gray)]
    for side, sign in enumerate((-1.0, 1.0)):
        inner, outer = street.carriageway(side), street.frontage(side)
        edge = np.array([inner, inner])
        strips.append(_strip(street, sign * edge, np.array([0.0, street.kerb]), ("sidewalk", "kerb"), stone * 1.1))
        paved = sign * np.array([inner, (inner + outer) / 2, outer])
        strips.append(_strip(street, paved, np.full(3, street.kerb), ("sidewalk", "slabs"), stone))
        field = sign * (outer + np.array([0, 1, 2.5, 4.5, 7, 10, 13, 16, 20, 24, 28, 33, 39, 46, 54, 64, REACH]))
        strips.append(_strip(street, field, None, ("terrain", "grass"), green))
    return [*strips, _horizon(street, green)]


def _strip(street: Street, d: np.ndarray, z: np.ndarray | None, role: tuple[str, str], color: np.ndarray) -> Prop:
    """A strip along the street with edges at d (C,) and heights z (C,) above the hills, or those of the terrain."""
    s, across = street.s[:, None], np.broadcast_to(d, (len(street.s), len(d)))
    height = street.relief(s, across) + (0.0 if z is None else z)
    if z is None:  # from the pavement's edge outward
        height[:, 0] += street.kerb
        height[:, 1:] = street.height(s, across[:, 1:])
    places = np.concatenate([street.place(np.broadcast_to(s, across.shape), across), height[..., None]], axis=2)
    # A kerb rises at one d: its texture runs up instead.
    run = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(d)) + (0.0 if z is None else np.abs(np.diff(z))))])
    return _grid(places, np.broadcast_to(run, across.shape), np.broadcast_to(s, across.shape), role, color)


def _grid(places: np.ndarray, u: np.ndarray, v: np.ndarray, role: tuple[str, str], color: np.ndarray) -> Prop:
    """A grid of places (S, C, 3) with texture coordinates in meters (S, C), facing up."""
    rows, columns = places.shape[:2]
    vertices = places.reshape(-1, 3)
    first = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)).reshape(-1)
    a, b, c, e = first, first + 1, first + columns + 1, first + columns
    faces = np.stack([np.stack([a, b, c], 1), np.stack([a, c, e], 1)], axis=1).reshape(-1, 3)
    normal = np.cross(vertices[faces[0, 1]] - vertices[faces[0, 0]], vertices[faces[0, 2]] - vertices[faces[0, 0]])
    if normal[2] < 0:
        faces = faces[:, ::-1]
    label, material = role
    uv = (np.stack([u, v], axis=2).reshape(-1, 2) / MATERIALS[material].period)[faces]
    count = len(faces)
    return Prop(
        vertices,
        faces,
        np.tile(np.clip(color, 0.0, 1.0).astype(np.float32), (count, 1)),
        uv.astype(np.float32),
        np.full(count, MATERIAL_NAMES.index(material)),
        np.full(count, CLASSES.index(label)),
    )


def _road(street: Street, gray: np.ndarray) -> Prop:
    """The carriageway, with lines and a zebra crossing as faces of their own."""
    low, high = -street.carriageway(0), street.carriageway(1)
    lines = [-street.lane, -street.lane + 0.12, -0.07, 0.07, street.lane - 0.12, street.lane]
    d = np.unique(np.concatenate([[low, high], lines, np.arange(np.ceil(low / 0.5), high / 0.5) * 0.5]).round(6))
    strip = _strip(street, d, np.zeros(len(d)), ("road", "asphalt"), gray)
    middle, s = (d[1:] + d[:-1]) / 2, (street.s[1:] + street.s[:-1]) / 2
    dashed = (np.abs(middle) < 0.07) & (s % 9.0 < 4.0)[:, None]
    edges = (np.abs(middle) > street.lane - 0.12) & (np.abs(middle) < street.lane)
    zebra = (np.floor(middle / 0.5) % 2 == 0) & (np.abs(s - street.crossing) < 2.0)[:, None]
    painted = np.repeat((dashed | edges | zebra).reshape(-1), 2)  # two faces to a cell
    strip.materials[painted] = MATERIAL_NAMES.index("marking")
    strip.colors[painted] = 0.93
    return strip


def _horizon(street: Street, green: np.ndarray) -> Prop:
    """A plain far around and a little below the street's own terrain, for what cameras see beyond its end."""
    center = street.line[len(street.line) // 2, :2]
    x, y = np.meshgrid(np.linspace(-600, 600, 13), np.linspace(-600, 600, 13), indexing="ij")
    places = np.stack([x + center[0], y + center[1], np.full(x.shape, -3.0)], axis=2)
    return _grid(places, x, y, ("terrain", "grass"), green * 0.8)
