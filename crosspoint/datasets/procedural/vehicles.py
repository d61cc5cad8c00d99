"""Procedural vehicles on land and water, nose toward +z: car, boat."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from crosspoint.datasets.procedural.primitives import box, ellipsoid, frustum, hull, loft, prism, rod
from crosspoint.datasets.procedural.sketch import GLASS, RUBBER, Color, Family, Sketch, chance, fabric, paint, wood


def car(sketch: Sketch, rng: Generator) -> None:
    """Saloons, estates, vans, buses, pick-ups, sports cars, open ones."""
    style = str(
        rng.choice(["saloon", "hatch", "van", "pickup", "sports", "open"], p=[0.25, 0.2, 0.2, 0.15, 0.12, 0.08])
    )
    length, half = rng.uniform(3.2, 5.0), rng.uniform(0.75, 0.95)
    if style == "van":
        length *= rng.uniform(0.9, 2.0)
    low, body = rng.uniform(0.15, 0.4), paint(rng)
    waist = low + rng.uniform(0.4, 0.65) * (0.8 if style == "sports" else 1)
    nose, tail, bonnet = length / 2, -length / 2, waist - rng.uniform(0.0, 0.2)
    rows = [(tail, 0.92, low + 0.12, waist * 0.92), (tail * 0.93, 1, low, waist), (0, 1, low, waist)]
    rows += [(nose * 0.5, 1, low, waist), (nose * 0.93, 0.97, low, bonnet), (nose, 0.88, low + 0.1, bonnet * 0.85)]
    sketch.add("body", hull([(z, half * w, a, b) for z, w, a, b in rows], rng.uniform(0.2, 0.5)), body)
    _cabin(sketch, style, (half, waist, nose), body, rng)
    radius = rng.uniform(0.26, 0.45)
    for z in (0.62 * nose, 0.62 * tail, 0.35 * tail)[: 3 if length > 6.5 else 2]:
        for side in (-1, 1):
            _wheel(sketch, side * 0.92 * half, z, radius, 0.22)
    for x in (-0.65 * half, 0.65 * half):
        lamp, y = ellipsoid(0.26, 0.16, 0.12), 0.6 * waist + 0.17
        sketch.add("light", lamp.at(x, y, 0.98 * nose), (1.0, 0.97, 0.8))
        sketch.add("light", lamp.at(x, y, 0.99 * tail), (0.75, 0.05, 0.05))
    if style == "sports" and chance(rng, 0.6):
        sketch.add("body", box(1.5, 0.04, 0.3).at(0, waist + 0.25, 0.95 * tail), body)
        for x in (-0.5, 0.5):
            sketch.add("body", box(0.04, 0.3, 0.2).at(x, waist - 0.03, 0.95 * tail), body)


def _wheel(sketch: Sketch, x: float, z: float, radius: float, width: float) -> None:
    """A tyre and its hub, its axle along x."""
    tyre = frustum(radius, radius, width).at(y=-width / 2).turned("z", 90)
    hub = frustum(0.55 * radius, 0.5 * radius, 1.1 * width).at(y=-0.55 * width).turned("z", 90)
    sketch.add("wheel", tyre.at(x, radius, z), RUBBER)
    sketch.add("wheel", hub.at(x, radius, z), (0.7, 0.7, 0.72))


def _cabin(sketch: Sketch, style: str, size: tuple[float, float, float], body: Color, rng: Generator) -> None:
    """What stands above the waist of a car of `size` (half width, waist, nose): glass and roof, box, or seats."""
    half, waist, nose = size
    front, rear = {  # where the cabin meets the waist, as shares of the half length
        "saloon": (rng.uniform(0.15, 0.3), -0.72),
        "hatch": (rng.uniform(0.15, 0.35), -0.95),
        "van": (rng.uniform(0.45, 0.95), -0.98),
        "pickup": (rng.uniform(0.1, 0.4), rng.uniform(-0.4, -0.1)),
        "sports": (rng.uniform(0.0, 0.25), -0.8),
        "open": (0.2, 0.05),
    }[style]
    roof = waist + {"sports": 0.35, "van": rng.uniform(0.7, 1.5)}.get(style, rng.uniform(0.45, 0.7))
    crown, foot = 0.82 * half, 0.93 * half
    if style == "open":
        screen = prism([(-crown, 0), (crown, 0), (crown, 0.35), (-crown, 0.35)], 0.04).turned("x", -30)
        sketch.add("window", screen.at(0, waist, front * nose), GLASS)
        for side in (-0.4, 0.4):
            sketch.add("cabin", box(0.5, 0.5, 0.15).at(side, waist - 0.1, -0.3), fabric(rng))
        return
    closed = style == "van"
    rake, drop = (0.05, 0.02) if closed else (rng.uniform(0.05, 0.25), rng.uniform(0.0, 0.2))
    rings = []
    for x, y, ahead, behind in ((foot, waist - 0.03, front, rear), (crown, roof, front - rake, rear + drop)):
        rings.append([(x, y, ahead * nose), (-x, y, ahead * nose), (-x, y, behind * nose), (x, y, behind * nose)])
    sketch.add("cabin" if closed else "window", loft(rings), body if closed else GLASS)
    ahead, behind = front - rake, rear + drop
    sketch.add(
        "cabin", box(2 * crown, 0.05, (ahead - behind) * nose).at(0, roof - 0.01, (ahead + behind) * nose / 2), body
    )
    if closed:
        pane, long = 0.4 * (roof - waist), (front - rear) * nose * rng.uniform(0.2, 0.8)
        sketch.add("window", box(1.8 * crown, pane, 0.1).at(0, roof - 1.6 * pane, (front - 0.6 * rake) * nose), GLASS)
        if chance(rng, 0.6):
            band = box(1.8 * half, pane, long).at(0, roof - 1.6 * pane, (front - 0.15) * nose - long / 2)
            sketch.add("window", band, GLASS)


def boat(sketch: Sketch, rng: Generator) -> None:
    """Rowing boats, sailing boats, motor yachts, ships."""
    style = rng.choice(["row", "sail", "motor", "ship"], p=[0.2, 0.35, 0.25, 0.2])
    length = rng.uniform(3, 7) * (2.5 if style == "ship" else 1)
    half, deep = length * rng.uniform(0.1, 0.19), length * rng.uniform(0.07, 0.14)
    body = paint(rng)
    stern, sheer = rng.uniform(0.3, 0.9), deep * rng.uniform(0.0, 0.5)
    rings = []
    for share, width in ((-1, stern), (-0.6, 0.95), (0, 1), (0.5, 0.8), (0.85, 0.35), (1, 0.03)):
        edge, floor, keel = half * width, deep * 0.25 * max(share, 0) ** 2, deep + sheer * share**2
        z = length / 2 * share * (1 if share < 1 else rng.uniform(1.0, 1.12))
        bottom = np.array(
            [
                (edge, keel),
                (0.7 * edge, floor + 0.2 * deep),
                (0, floor),
                (-0.7 * edge, floor + 0.2 * deep),
                (-edge, keel),
            ]
        )
        if style == "row":  # an open boat: the skin turns inward and comes back
            inner = bottom[::-1] * (0.9, 1) + (0, 0.12 * deep)
            bottom = np.concatenate([bottom, inner * (1, 0.95)])
        rings.append(np.column_stack([bottom, np.full(len(bottom), z)]))
    sketch.add("hull", loft(rings), body)
    if style == "row":
        _rowing(sketch, length, half, deep, rng)
    elif style == "sail":
        _sails(sketch, length, deep, rng)
    else:
        _decks(sketch, length, half, deep, rng)


def _rowing(sketch: Sketch, length: float, half: float, deep: float, rng: Generator) -> None:
    """Thwarts and oars."""
    deck = wood(rng)
    for z in np.linspace(-0.3, 0.3, int(rng.integers(1, 4))) * length:
        sketch.add("deck", box(1.7 * half, 0.05, 0.25).at(0, 0.75 * deep, z), deck)
    for side in (-1, 1) if chance(rng, 0.6) else ():
        sketch.add(
            "deck", rod((0.5 * side * half, deep + 0.1, 0), (3 * side * half, 0.4 * deep, -0.5), 0.03), wood(rng)
        )


def _sails(sketch: Sketch, length: float, deep: float, rng: Generator) -> None:
    """One or two masts with their sails."""
    deck = wood(rng)
    for z in (0.1,) if chance(rng, 0.65) else (-0.2, 0.25):
        mast = length * rng.uniform(0.7, 1.4)
        boom, z0 = length * rng.uniform(0.25, 0.5), z * length
        sketch.add("mast", rod((0, 0.5 * deep, z0), (0, mast, z0), 0.05), deck)
        points = [
            (0.08, 1.3 * deep),
            (boom, 1.3 * deep + 0.1),
            (boom * rng.uniform(0.02, 0.9), 0.97 * mast),
            (0.08, 0.97 * mast),
        ]
        sketch.add("sail", prism(points, 0.03).turned("y", 90 + rng.uniform(-25, 25)).at(z=z0), fabric(rng))
        if chance(rng, 0.6):
            jib = prism([(0, 0), (0, 0.8 * mast), (-0.4 * length, 0)], 0.03).turned("y", 90)
            sketch.add("sail", jib.at(0, 1.3 * deep, z0 + 0.08), fabric(rng))


def _decks(sketch: Sketch, length: float, half: float, deep: float, rng: Generator) -> None:
    """Cabins on one another, and funnels."""
    width, y = 1.3 * half, deep * 0.95
    z, long = rng.uniform(-0.25, 0.05) * length, length * rng.uniform(0.25, 0.5)
    for _ in range(rng.integers(1, 4)):
        tall = max(0.6, 0.5 * deep)
        sketch.add("cabin", box(width, tall, long, rng.uniform(0.75, 1)).at(0, y, z), (0.93, 0.93, 0.9))
        sketch.add("cabin", box(1.02 * width, 0.3 * tall, 0.9 * long).at(0, y + 0.5 * tall, z), GLASS)
        y, width, long = y + tall, 0.8 * width, 0.7 * long
    for i in range(int(rng.integers(0, 3))):
        stack = frustum(0.2 * half, 0.17 * half, 0.8 * deep)
        sketch.add("mast", stack.at(0, y - 0.05, z + (i - 0.5) * 0.25 * long), paint(rng))


VEHICLES = {
    "car": Family(car, ("body", "cabin", "window", "wheel", "light")),
    "boat": Family(boat, ("hull", "deck", "mast", "sail", "cabin")),
}
