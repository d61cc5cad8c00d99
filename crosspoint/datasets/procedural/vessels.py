"""Procedural things to hold things: mug, vase, bottle, bowl, potted plant; and lamps, which look like them."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator
from numpy.typing import ArrayLike
from scipy.interpolate import PchipInterpolator

from crosspoint.datasets.procedural.primitives import Solid, box, ellipsoid, frustum, lathe, loft, rod, tube, vessel
from crosspoint.datasets.procedural.sketch import (
    Family,
    Sketch,
    ceramic,
    chance,
    fabric,
    foliage,
    metal,
    paint,
    shaded,
    wood,
)


def profile(radii: ArrayLike, height: float, steps: int = 14) -> np.ndarray:
    """A smooth profile (steps, 2) of (radius, height) through radii at equal heights; it never overshoots them."""
    t = np.linspace(0, 1, steps)
    curve = PchipInterpolator(np.linspace(0, 1, np.size(radii)), radii)
    return np.stack([curve(t), height * t], 1)


def radius_at(outline: np.ndarray, y: float) -> float:
    """The radius of a profile (S, 2) at a height."""
    return float(np.interp(y, outline[:, 1], outline[:, 0]))


def handle(outline: np.ndarray, low: float, high: float, reach: float, rng: Generator) -> Solid:
    """A round or square grip on the +x side, between two heights of a profile."""
    start, end = radius_at(outline, low), radius_at(outline, high)
    thick = rng.uniform(0.05, 0.11) * (high - low) + 0.002
    if chance(rng, 0.3):
        out = max(start, end) + reach
        points = [(0.95 * end, high), (out, high), (out, low), (0.95 * start, low)]
    else:
        t = np.linspace(0, 1, 9)
        bulge = np.sin(np.pi * t) ** rng.uniform(0.5, 1.0)
        points = list(zip(0.95 * (end + (start - end) * t) + reach * bulge, high + (low - high) * t, strict=True))
    return tube([(x, y, 0.0) for x, y in points], thick)


def mug(sketch: Sketch, rng: Generator) -> None:
    """Mugs, cups with saucers, beakers, tankards."""
    height, radius = rng.uniform(0.06, 0.16), rng.uniform(0.03, 0.055)
    foot, middle, rim = (
        radius * rng.uniform(0.55, 1.1),
        radius * rng.uniform(0.85, 1.15),
        radius * rng.uniform(0.85, 1.3),
    )
    outline = profile([foot, middle, rim], height)
    glaze, second = ceramic(rng), ceramic(rng)
    sketch.add("body", vessel(outline, rng.uniform(0.003, 0.006)), glaze)
    handles = int(rng.choice([0, 1, 2], p=[0.15, 0.75, 0.1]))
    grip = handle(
        outline, height * rng.uniform(0.1, 0.3), height * rng.uniform(0.65, 0.92), rng.uniform(0.015, 0.045), rng
    )
    for i in range(handles):
        sketch.add("handle", grip.turned("y", 180 * i), glaze if chance(rng, 0.7) else second)
    if chance(rng, 0.25):
        wide = radius * rng.uniform(1.5, 2.2)
        sketch.add("saucer", vessel([(0.5 * wide, 0), (wide, 0.018)], 0.004).at(y=-0.004), second)
    if chance(rng, 0.2):
        sketch.add("lid", lathe(profile([rim, 0.8 * rim, 0.02 * rim], 0.25 * rim)).at(y=height), second)
        sketch.add("lid", ellipsoid(0.015, 0.02, 0.015).at(y=height + 0.3 * rim), second)


def vase(sketch: Sketch, rng: Generator) -> None:
    """Vases, urns, amphorae; some with flowers."""
    height, belly = rng.uniform(0.15, 0.6), rng.uniform(0.05, 0.14)
    middle, neck = rng.uniform(0.55, 1.1, rng.integers(1, 3)), rng.uniform(0.25, 0.8)
    radii = belly * np.array([rng.uniform(0.4, 0.9), *middle, neck, neck * rng.uniform(0.9, 1.8)])
    outline = profile(radii, height, 18)
    glaze = ceramic(rng)
    sides = int(rng.choice([4, 6, 24], p=[0.12, 0.12, 0.76]))
    sketch.add("body", vessel(outline, 0.006, sides), glaze)
    if chance(rng, 0.35):
        sketch.add(
            "foot",
            lathe(profile([radii[0] * 1.3, radii[0] * 0.8, radii[0]], 0.12 * height), sides).at(y=-0.1 * height),
            shaded(glaze, 0.7),
        )
    if chance(rng, 0.35):
        grip = handle(
            outline, height * rng.uniform(0.3, 0.5), height * rng.uniform(0.7, 0.95), belly * rng.uniform(0.3, 0.8), rng
        )
        for i in range(1 + chance(rng, 0.7)):
            sketch.add("handle", grip.turned("y", 180 * i), glaze)
    if chance(rng, 0.3):
        bloom = paint(rng)
        for _ in range(rng.integers(1, 7)):
            x, z = rng.normal(0, 0.5 * belly, 2)
            top = height * rng.uniform(1.15, 1.7)
            sketch.add("flower", rod((0, 0.1 * height, 0), (x, top, z), 0.004), foliage(rng))
            size = rng.uniform(0.03, 0.08)
            sketch.add("flower", ellipsoid(size, 0.6 * size, size, sides=8).at(x, top, z), bloom)


def bottle(sketch: Sketch, rng: Generator) -> None:
    """Wine, milk, spray and medicine bottles, jugs, flasks."""
    height, radius = rng.uniform(0.15, 0.36), rng.uniform(0.025, 0.06)
    shoulder, neck = rng.uniform(0.4, 0.8), radius * rng.uniform(0.25, 0.65)
    waist = radius * (rng.uniform(0.7, 0.95) if chance(rng, 0.3) else 1)
    glass, cap = paint(rng), paint(rng)
    levels = [0, 0.03, 0.5 * shoulder, shoulder, shoulder + rng.uniform(0.03, 0.9) * (0.95 - shoulder), 0.96, 1]
    radii = [0.9 * radius, radius, waist, radius, neck, neck, neck]
    curve = PchipInterpolator(levels, radii)
    t = np.linspace(0, 1, 22)
    outline = np.stack([curve(t), height * t], 1)
    square = chance(rng, 0.25)
    flat = rng.uniform(0.45, 1) if chance(rng, 0.3) else 1.0
    sketch.add("body", lathe(outline, 4 if square else 20).scaled(z=flat), glass)
    if chance(rng, 0.5):
        label = lathe([(1.02 * waist, 0.15 * height), (1.02 * waist, shoulder * 0.75 * height)], 4 if square else 20)
        sketch.add("body", label.scaled(z=flat), ceramic(rng))
    closure = rng.choice(["cap", "cork", "spray", "open"], p=[0.45, 0.2, 0.15, 0.2])
    if closure == "cap":
        wide = neck * rng.uniform(1.1, 1.6)
        sketch.add(
            "cap", frustum(wide, wide * rng.uniform(0.7, 1), height * rng.uniform(0.05, 0.14)).at(y=0.96 * height), cap
        )
    elif closure == "cork":
        sketch.add("cap", frustum(0.9 * neck, neck, 0.06 * height).at(y=height), wood(rng))
    elif closure == "spray":
        sketch.add("cap", frustum(neck, 0.7 * neck, 0.12 * height).at(y=height), cap)
        sketch.add("cap", box(0.02, 0.03, radius * 2.2).at(0, 1.1 * height, 0.4 * radius), cap)
        sketch.add("handle", rod((0, 1.1 * height, radius), (0, 0.95 * height, 1.3 * radius), 0.005), cap)
    if chance(rng, 0.22):
        grip = handle(
            outline,
            height * rng.uniform(0.3, 0.5),
            height * rng.uniform(0.75, 0.95),
            radius * rng.uniform(0.4, 0.8),
            rng,
        )
        sketch.add("handle", grip, glass)


def bowl(sketch: Sketch, rng: Generator) -> None:
    """Bowls, basins, goblets, pans and pots with lids."""
    radius = rng.uniform(0.06, 0.2)
    height = radius * rng.uniform(0.35, 1.3)
    foot = radius * rng.uniform(0.3, 0.95)
    glaze = metal(rng) if chance(rng, 0.3) else ceramic(rng)
    outline = profile([foot, radius * rng.uniform(0.75, 1.02), radius], height)
    stem = radius * rng.uniform(0.1, 1.2) if chance(rng, 0.35) else 0.0
    sketch.add("body", vessel(outline, 0.05 * radius).at(y=stem), glaze)
    if stem:
        sketch.add("foot", lathe(profile([radius * rng.uniform(0.4, 0.8), 0.15 * radius, foot], stem + 0.01)), glaze)
    handles = int(rng.choice([0, 1, 2], p=[0.55, 0.2, 0.25]))
    if handles == 1:
        end = radius * rng.uniform(1.7, 3)
        sketch.add(
            "handle", rod((0.95 * radius, stem + 0.85 * height, 0), (end, stem + 0.95 * height, 0), 0.01), wood(rng)
        )
    elif handles == 2:
        grip = handle(outline, 0.5 * height, 0.9 * height, 0.25 * radius, rng).at(y=stem)
        for turn in (0, 180):
            sketch.add("handle", grip.turned("y", turn), glaze)
    if chance(rng, 0.3):
        dome = profile([1.03 * radius, 0.8 * radius, 0.05 * radius], radius * rng.uniform(0.1, 0.5))
        sketch.add("lid", lathe(dome).at(y=stem + height), glaze)
        sketch.add(
            "lid",
            ellipsoid(0.2 * radius, 0.2 * radius, 0.2 * radius).at(y=stem + height + dome[-1, 1]),
            shaded(glaze, 0.6),
        )


def plant(sketch: Sketch, rng: Generator) -> None:
    """Potted plants: leafy, bushy, cactus, palm-like, flowering."""
    radius = rng.uniform(0.08, 0.2)
    height = radius * rng.uniform(0.9, 2.4)
    pot = vessel(
        profile([radius * rng.uniform(0.55, 1), radius * rng.uniform(0.85, 1.1), radius], height),
        0.012,
        int(rng.choice([4, 20])),
    )
    sketch.add("pot", pot, ceramic(rng))
    sketch.add("soil", frustum(0.9 * radius, 0.9 * radius, 0.02).at(y=0.85 * height), (0.22, 0.15, 0.1))
    green, tall = foliage(rng), rng.uniform(0.2, 0.9)
    style = rng.choice(["blades", "bush", "cactus", "crown"], p=[0.35, 0.25, 0.15, 0.25])
    if style == "cactus":
        trunk = ellipsoid(radius, tall, radius, 0.8).at(y=0.85 * height + tall / 2)
        sketch.add("leaf", trunk, green)
        for _ in range(rng.integers(0, 4)):
            y, reach = height + tall * rng.uniform(0.2, 0.6), radius * rng.uniform(0.8, 1.4)
            arm = tube([(0, y, 0), (reach, y, 0), (reach, y + 0.3 * tall, 0)], 0.25 * radius)
            sketch.add("leaf", arm.turned("y", rng.uniform(0, 360)), green)
        return
    if style == "bush":
        sketch.add("stem", rod((0, 0.8 * height, 0), (0, height + tall / 2, 0), 0.02), wood(rng))
        for _ in range(rng.integers(1, 9)):
            x, z = rng.normal(0, 0.5 * radius, 2)
            size, y = radius * rng.uniform(0.8, 1.8), height + tall * rng.uniform(0.4, 1)
            sketch.add("stem", rod((0, height + 0.3 * tall, 0), (x, y, z), 0.012), wood(rng))
            sketch.add("leaf", ellipsoid(size, size, size, sides=8).at(x, y, z), green)
        return
    base = height + (tall if style == "crown" else -0.1 * height)
    if style == "crown":
        sketch.add(
            "stem", tube([(0, 0.8 * height, 0), (0.1 * tall, height + tall / 2, 0), (0, base, 0)], 0.018), wood(rng)
        )
    length, droop = rng.uniform(0.25, 0.7), rng.uniform(0.0, 1.0)
    for _ in range(rng.integers(5, 18)):
        blade = leaf(length * rng.uniform(0.7, 1.1), length * rng.uniform(0.08, 0.25), rng.uniform(0.15, 1.2), droop)
        sketch.add("leaf", blade.turned("y", rng.uniform(0, 360)).at(y=base), shaded(green, rng.uniform(0.8, 1.2)))


def leaf(length: float, width: float, lift: float, droop: float) -> Solid:
    """A thin leaf that starts at the origin, goes out along +x, rises by `lift` and then hangs by `droop` (slopes)."""
    t = np.linspace(0, 1, 6)
    along = np.stack([length * t, length * (lift * t - droop * t**2), 0 * t], 1)
    half = width / 2 * np.sin(np.pi * (0.08 + 0.92 * t)) + 1e-3
    section = np.array([(0, 0, 1), (0, 0.003, 0), (0, 0, -1), (0, -0.003, 0)], dtype=float)
    return loft([center + section * (1, 1, w) for center, w in zip(along, half, strict=True)])


def lamp(sketch: Sketch, rng: Generator) -> None:
    """Table, floor, desk, arc and mushroom lamps."""
    tall = rng.uniform(0.3, 0.6) if chance(rng, 0.5) else rng.uniform(1.1, 1.7)
    radius = rng.uniform(0.08, 0.2)
    steel, cloth = metal(rng), fabric(rng)
    base = rng.choice(["disc", "block", "tripod", "urn"])
    if base == "tripod":
        for angle in (90, 210, 330):
            sketch.add("base", rod((1.3 * radius, 0, 0), (0, 0.5 * tall, 0), 0.012).turned("y", angle), wood(rng))
    elif base == "urn":
        body = profile([*(radius * rng.uniform(0.3, 0.9, 3)), 0.02], min(0.6 * tall, 0.45))
        sketch.add("base", lathe(body), ceramic(rng))
    elif base == "disc":
        sketch.add("base", frustum(radius, radius * rng.uniform(0.3, 1), rng.uniform(0.015, 0.06)), steel)
    else:
        sketch.add("base", box(1.5 * radius, rng.uniform(0.03, 0.12), 1.5 * radius), wood(rng))
    style = rng.choice(["straight", "arc", "elbow"], p=[0.55, 0.2, 0.25])
    reach = 0.0 if style == "straight" else tall * rng.uniform(0.2, 0.6)
    t = np.linspace(0, 1, 10)
    paths = {
        "straight": [(0, 0.01, 0), (0, tall, 0)],
        "arc": np.stack([reach * (1 - np.cos(np.pi * t)) / 2, tall * np.sin(0.75 * np.pi * t), 0 * t], 1),
        "elbow": [(0, 0.01, 0), (-0.5 * reach, 0.55 * tall, 0), (reach, tall, 0)],
    }
    path = np.asarray(paths[style])
    sketch.add("stem", tube(path, rng.uniform(0.007, 0.02)), steel)
    size = rng.uniform(0.1, 0.26)
    top, drop = size * rng.uniform(0.3, 1.05), size * rng.uniform(0.7, 1.7)
    kinds = {
        "drum": vessel([(size, 0), (top, drop)], 0.005).at(y=-0.4 * drop),
        "dome": vessel(profile([size, 0.8 * size, 0.1 * size], 0.8 * size), 0.005).at(y=-0.4 * size),
        "ball": ellipsoid(1.6 * size, 1.6 * size * rng.uniform(0.6, 1.2), 1.6 * size),
    }
    shade = kinds[str(rng.choice(["drum", "dome", "ball"], p=[0.5, 0.3, 0.2]))]
    if style == "elbow":
        shade = shade.turned("z", -rng.uniform(0, 50))
    sketch.add("shade", shade.at(*path[-1]), cloth)
    sketch.add("shade", ellipsoid(0.06, 0.08, 0.06).at(*path[-1]), (1.0, 0.95, 0.75))


VESSELS = {
    "mug": Family(mug, ("body", "handle", "saucer", "lid")),
    "vase": Family(vase, ("body", "foot", "handle", "flower")),
    "bottle": Family(bottle, ("body", "cap", "handle")),
    "bowl": Family(bowl, ("body", "foot", "handle", "lid")),
    "plant": Family(plant, ("pot", "soil", "stem", "leaf")),
    "lamp": Family(lamp, ("base", "stem", "shade")),
}
