"""Procedural things of house and garden: guitar, tree, house, monitor."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from crosspoint.datasets.procedural.primitives import box, ellipsoid, frustum, lathe, prism, rod, tube
from crosspoint.datasets.procedural.sketch import (
    GLASS,
    Family,
    Sketch,
    chance,
    fabric,
    foliage,
    metal,
    paint,
    shaded,
    wood,
)
from crosspoint.datasets.procedural.vessels import leaf


def guitar(sketch: Sketch, rng: Generator) -> None:
    """Acoustic and electric guitars, ukuleles, violins, banjos; upright, front toward +z."""
    height, width = rng.uniform(0.35, 0.55), rng.uniform(0.13, 0.2)
    deep = rng.uniform(0.03, 0.12)
    wooden, neck = (paint(rng) if chance(rng, 0.35) else wood(rng)), wood(rng)
    angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    style = rng.choice(["waist", "round", "horned"], p=[0.55, 0.2, 0.25])
    x, y = width * np.sin(angle), -height / 2 * np.cos(angle)
    if style == "waist":
        pinch, shoulder = rng.uniform(0.15, 0.5), rng.uniform(0.65, 0.95)
        x *= (1 - pinch * np.exp(-((y / height - 0.08) ** 2) / 0.012)) * np.where(y > 0, shoulder, 1)
    elif style == "round":
        x, y = 0.9 * width * np.sin(angle), -0.9 * width * np.cos(angle)
    else:
        horn = rng.uniform(0.2, 0.55) * height
        y += horn * np.exp(-((angle - np.pi + rng.uniform(0.7, 0.9)) ** 2) / 0.05)
        y += horn * rng.uniform(0.2, 1) * np.exp(-((angle - np.pi - rng.uniform(0.7, 0.9)) ** 2) / 0.05)
    if chance(rng, 0.2):
        x = np.where((y > 0.2 * height) & (x > 0), 0.45 * x, x)  # a cutaway
    low = -y.min()
    sketch.add("body", prism(np.stack([x, y], 1), deep).at(y=low), wooden)
    front, top = deep / 2, low + y[np.abs(angle - np.pi).argmin()]
    if style != "horned":
        sketch.add(
            "body", frustum(0.3 * width, 0.3 * width, 0.01).turned("x", 90).at(0, low + 0.1, front), (0.1, 0.07, 0.05)
        )
    reach, thick = height * rng.uniform(0.6, 1.3), rng.uniform(0.018, 0.032)
    sketch.add("neck", box(2 * thick, reach + 0.15, thick, rng.uniform(0.7, 1)).at(0, top - 0.15, front), neck)
    head = top + reach
    sketch.add(
        "head",
        box(2 * thick, rng.uniform(0.1, 0.2), 0.02, rng.uniform(0.8, 2)).turned("x", -12).at(0, head, front),
        neck,
    )
    for i in range(pegs := int(rng.choice([2, 3]))):
        for side in (-1, 1):
            peg = ellipsoid(0.03, 0.015, 0.015, sides=6)
            sketch.add("head", peg.at(side * 1.4 * thick, head + 0.03 + 0.1 * i / pegs, front - 0.01), metal(rng))
    bridge = low - height * rng.uniform(0.1, 0.3)
    sketch.add("bridge", box(0.5 * width, 0.02, 0.02).at(0, bridge, front), shaded(neck, 0.5))
    for offset in np.linspace(-0.6, 0.6, 2 * pegs) * thick:
        sketch.add(
            "bridge", rod((offset, bridge, front + 0.02), (offset, head, front + thick), 0.0015), (0.8, 0.8, 0.75)
        )


def tree(sketch: Sketch, rng: Generator) -> None:
    """Broad-leaved trees, conifers, palms, poplars, bare trees."""
    height, girth = rng.uniform(2.5, 8), rng.uniform(0.08, 0.25)
    bark, green = shaded(wood(rng), 0.7), foliage(rng)
    style = rng.choice(["broad", "conifer", "palm", "column", "bare"], p=[0.35, 0.25, 0.15, 0.15, 0.1])
    bare = height * (rng.uniform(0.1, 0.5) if style != "palm" else rng.uniform(0.7, 0.9))
    bend = rng.normal(0, 0.05 * height, 2)
    path = [(0, 0, 0), (bend[0], bare / 2, bend[1]), (0, bare, 0), (0, 0.8 * height if style != "palm" else bare, 0)]
    path = path[: 3 if style == "palm" else 4]
    sketch.add("trunk", tube(path, np.linspace(1.2, 0.6, len(path)) * girth), bark)
    spread = height * rng.uniform(0.18, 0.35)
    if style == "conifer":
        tiers = int(rng.integers(1, 6))
        for i in range(tiers):
            t = i / tiers
            size, y = spread * (1 - 0.75 * t), bare + (height - bare) * t
            cone = frustum(size, 0.02, (height - bare) / tiers * rng.uniform(1.1, 1.5), int(rng.choice([6, 14])))
            sketch.add("crown", cone.at(y=y), shaded(green, 1 + 0.1 * t))
    elif style == "palm":
        for i in range(count := int(rng.integers(6, 13))):
            frond = leaf(1.6 * spread, 0.3 * spread, rng.uniform(0.2, 0.7), rng.uniform(0.7, 1.3))
            sketch.add("crown", frond.turned("y", 360 * i / count + rng.uniform(-15, 15)).at(y=bare), green)
    elif style == "column":
        crown = ellipsoid(spread, height - 0.6 * bare, spread, rng.uniform(0.6, 1.1))
        sketch.add("crown", crown.at(y=0.6 * bare + (height - 0.6 * bare) / 2), green)
    else:
        for _ in range(rng.integers(3, 10)):
            tilt, turn = rng.uniform(0.3, 1.0), rng.uniform(0, 2 * np.pi)
            start = (0.0, bare * rng.uniform(0.7, 1.0) + 0.1 * height, 0.0)
            end = (
                spread * np.sin(turn) * tilt,
                bare + (height - bare) * rng.uniform(0.35, 0.95),
                spread * np.cos(turn) * tilt,
            )
            sketch.add("branch", rod(start, end, 0.35 * girth, 0.1 * girth), bark)
            size = spread * rng.uniform(0.7, 1.4)
            if style == "broad":
                blob = ellipsoid(size, size * rng.uniform(0.6, 1), size, sides=8).turned("y", rng.uniform(0, 90))
                sketch.add("crown", blob.at(*end), shaded(green, rng.uniform(0.85, 1.15)))


def house(sketch: Sketch, rng: Generator) -> None:
    """Cottages, towers, barns, flat-roofed houses, churches."""
    width, depth = rng.uniform(4, 10), rng.uniform(4, 8)
    floors = int(rng.choice([1, 2, 3, 5], p=[0.4, 0.35, 0.15, 0.1]))
    height = 2.6 * floors * rng.uniform(0.85, 1.15)
    walls, tiles, frame = shaded(fabric(rng), 1.2), shaded(paint(rng), 0.7), wood(rng)
    blocks = [(0.0, 0.0, width, height, depth)]
    if chance(rng, 0.35):  # an annex, a garage or a tower
        scale = rng.uniform(0.35, 0.8)
        tall = height * rng.choice([rng.uniform(0.4, 0.8), rng.uniform(1.2, 2.0)])
        blocks.append(
            (
                rng.choice([-0.5, 0.5]) * width * (1 + 0.7 * scale),
                rng.uniform(-0.2, 0.3) * depth,
                scale * width,
                tall,
                scale * depth,
            )
        )
    eaves = rng.uniform(1.02, 1.25)
    style, pitch = rng.choice(["gable", "hip", "flat", "shed"], p=[0.45, 0.25, 0.2, 0.1]), rng.uniform(0.2, 0.7)
    for x, z, wide, tall, deep in blocks:
        sketch.add("wall", box(wide, tall, deep).at(x, 0, z), walls)
        half, rise = eaves * deep / 2, pitch * deep
        if style == "hip":
            roof = box(eaves * wide, rise, eaves * deep, rng.uniform(0.02, 0.4))
        elif style == "flat":
            roof = box(eaves * wide, 0.3, eaves * deep)
        else:
            peak = 0.0 if style == "gable" else half
            roof = prism([(-half, 0), (half, 0), (peak, rise)], eaves * wide).turned("y", 90)
        sketch.add("roof", roof.at(x, tall, z), tiles)
    sketch.add("door", box(1.0, 2.0, 0.1).at(rng.uniform(-0.3, 0.3) * width, 0, depth / 2), frame)
    columns = int(rng.integers(1, 5))
    for floor in range(floors):
        for x in width * ((np.arange(columns) + 0.5) / columns - 0.5):
            for z in (-depth / 2, depth / 2):
                pane = box(rng.uniform(0.7, 1.0), 1.1, 0.08).at(x, height * (floor + 0.45) / floors, z)
                sketch.add("window", pane, GLASS)
    if chance(rng, 0.5):
        stack = box(0.6, 0.9 * pitch * depth + 1, 0.6).at(rng.uniform(-0.35, 0.35) * width, height, -0.2 * depth)
        sketch.add("chimney", stack, (0.5, 0.25, 0.2))
    if chance(rng, 0.25):
        sketch.add("roof", box(0.9 * width, 0.12, 1.8).at(0, 2.5, depth / 2 + 0.9), tiles)
        for x in np.linspace(-0.42, 0.42, int(rng.integers(2, 5))) * width:
            sketch.add("wall", frustum(0.12, 0.12, 2.5).at(x, 0, depth / 2 + 1.6), frame)


def monitor(sketch: Sketch, rng: Generator) -> None:
    """Desktop screens, television sets old and flat, laptops, all-in-ones; facing +z."""
    width = rng.uniform(0.35, 1.2)
    height = width * rng.uniform(0.5, 0.85)
    case, image = shaded(metal(rng), 0.7), paint(rng) if chance(rng, 0.3) else (0.05, 0.06, 0.09)
    style = rng.choice(["desk", "tube", "laptop", "wide"], p=[0.4, 0.2, 0.2, 0.2])
    lift = {"desk": rng.uniform(0.06, 0.25), "wide": 0.05, "tube": 0.02}.get(style, 0.02)
    thick = width * (rng.uniform(0.02, 0.08) if style != "tube" else 0.12)
    tilt, bezel = -rng.uniform(0, 12) if style != "laptop" else -rng.uniform(5, 40), rng.uniform(0.85, 0.97)
    panel = box(width, height, thick).at(z=-thick / 2)
    screen = box(bezel * width, (bezel - 0.03) * height, 0.01).at(0, (1 - bezel) * height / 2 + 0.02 * height, 0.002)
    if style == "tube":
        sketch.add(
            "case",
            frustum(0.5, rng.uniform(0.2, 0.4), 0.6 * width, 4)
            .scaled(1.3 * width, 1, 1.3 * height)
            .turned("x", -90)
            .at(0, lift + height / 2, -0.1 * width),
            case,
        )
    sketch.add("case", panel.turned("x", tilt).at(y=lift), case)
    sketch.add("screen", screen.turned("x", tilt).at(y=lift), image)
    back = -thick - lift * 0.2
    if style == "laptop":
        depth = height * rng.uniform(0.85, 1.1)
        sketch.add("base", box(width, 0.02, depth).at(0, 0, depth / 2), case)
        sketch.add("base", box(0.85 * width, 0.006, 0.45 * depth).at(0, 0.02, 0.38 * depth), (0.08, 0.08, 0.08))
        return
    if style == "desk":
        sketch.add("stand", box(rng.uniform(0.04, 0.3) * width, lift + 0.4 * height, 0.03).at(0, 0, back), case)
        foot, deep = rng.uniform(0.15, 0.32) * width, rng.uniform(0.09, 0.16)
        sketch.add(
            "base",
            (frustum(1, 0.9, 0.02) if chance(rng, 0.5) else box(2, 0.02, 2)).scaled(foot, 1, deep).at(z=back),
            case,
        )
    elif style == "wide":
        for side in (-0.35, 0.35) if chance(rng, 0.6) else (0.0,):
            sketch.add("stand", box(0.04, 1.5 * lift, 0.04).at(side * width, 0, back / 2), case)
            sketch.add("base", box(0.05 if side else 0.5 * width, 0.015, 0.25).at(side * width, 0, back / 2), case)
    else:
        sketch.add("base", box(0.7 * width, lift, 0.4 * width).at(z=-0.25 * width), shaded(case, 0.8))
        for i in range(2):
            knob = lathe([(0.02, 0), (0.015, 0.02)]).turned("x", 90)
            sketch.add("base", knob.at((0.3 + 0.1 * i) * width, lift + 0.06 * height, 0.0), metal(rng))
    if chance(rng, 0.25):
        sketch.add("base", box(0.8 * width, 0.02, 0.25 * width).at(0, 0, 0.4 * width), case)


SCENERY = {
    "guitar": Family(guitar, ("body", "neck", "head", "bridge")),
    "tree": Family(tree, ("trunk", "branch", "crown")),
    "house": Family(house, ("wall", "roof", "door", "window", "chimney")),
    "monitor": Family(monitor, ("screen", "case", "stand", "base")),
}
