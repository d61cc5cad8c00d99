"""Procedural furniture to sit, lie and work on: chair, stool, bench, sofa, bed, table, bookshelf."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator

from crosspoint.datasets.procedural.primitives import Solid, box, ellipsoid, frustum, prism, rod, tube
from crosspoint.datasets.procedural.sketch import (
    Color,
    Family,
    Sketch,
    chance,
    corners,
    fabric,
    metal,
    paint,
    shaded,
    wood,
)


def cushion(width: float, height: float, depth: float, rng: Generator) -> Solid:
    """Something soft that lies on y = 0."""
    return ellipsoid(width, height, depth, rng.uniform(0.2, 0.5)).at(y=height / 2)


def legs(sketch: Sketch, feet: Sequence[tuple[float, float]], height: float, color: Color, rng: Generator) -> None:
    """Straight, tapered or splayed legs of one style, from (x, z) under a seat down to the ground."""
    splay = rng.uniform(0.05, 0.3) * height if chance(rng, 0.4) else 0.0
    top = rng.uniform(0.012, 0.04)
    bottom = top * rng.uniform(0.4, 1.2)
    square = chance(rng, 0.5)
    out = splay / np.linalg.norm(feet, axis=1, keepdims=True) * feet
    for (x, z), (dx, dz) in zip(feet, out, strict=True):
        if square and splay == 0:
            solid = box(2 * bottom, height, 2 * bottom, top / bottom).at(x, 0, z)
        else:
            solid = rod((x + dx, 0, z + dz), (x, height, z), bottom, top)
        sketch.add("leg", solid, color)
    if chance(rng, 0.35) and len(feet) == 4 and height > 0.25:
        level = rng.uniform(0.2, 0.6)
        ends = np.insert(np.asarray(feet) + (1 - level) * out, 1, level * height, axis=1)
        for i, j in ((0, 1), (2, 3), (0, 2), (1, 3)) if chance(rng, 0.5) else ((0, 3), (1, 2)):
            sketch.add("leg", rod(ends[i], ends[j], 0.6 * top), color)


def pedestal(sketch: Sketch, radius: float, height: float, color: Color, rng: Generator) -> None:
    """One column on a disc or on a star of feet."""
    stem = rng.uniform(0.02, 0.06)
    sketch.add("leg", frustum(stem * rng.uniform(1, 2), stem, height), color)
    if chance(rng, 0.5):
        sketch.add("leg", frustum(radius, radius * rng.uniform(0.3, 1), rng.uniform(0.015, 0.06)), color)
        return
    arms = int(rng.integers(3, 6))
    for angle in 2 * np.pi * np.arange(arms) / arms:
        foot = (radius * np.cos(angle), 0.03, radius * np.sin(angle))
        sketch.add("leg", rod(foot, (0, rng.uniform(0.08, 0.12), 0), 0.02, 0.025), color)
        sketch.add("leg", ellipsoid(0.06, 0.06, 0.06).at(*foot), shaded(color, 0.5))


def backrest(
    sketch: Sketch, width: float, y: float, z: float, height: float, colors: tuple[Color, Color], rng: Generator
) -> None:
    """A back that starts at height y: a panel, slats, rungs, or a hoop; it leans toward −z."""
    lean, bar = -rng.uniform(2, 18), rng.uniform(0.012, 0.028)
    frame, filling = colors
    pieces: list[tuple[Solid, Color]] = []
    style = rng.choice(["panel", "padded", "slats", "rungs", "hoop"])
    if style == "panel":
        pieces.append((box(width, height, 2 * bar, rng.uniform(0.75, 1.05)), filling))
    elif style == "padded":
        pieces.append((ellipsoid(width, height, rng.uniform(0.06, 0.14), 0.4).at(y=height / 2), filling))
    else:
        posts = np.array([(-width / 2, 0), (-width / 2, height), (width / 2, height), (width / 2, 0)])
        if style == "hoop":
            angle = np.linspace(np.pi, 0, 12)
            posts = np.stack([width / 2 * np.cos(angle), height * np.sin(angle) ** 0.7], 1)
        pieces.append((tube(np.column_stack([posts, np.zeros(len(posts))]), bar), frame))
        count = int(rng.integers(2, 7))
        for i in range(1, count + 1):
            t = i / (count + 1)
            if style == "rungs":
                pieces.append((box(width, height * 0.4 / count, bar).at(y=height * (t - 0.1)), filling))
            else:
                x = width * (t - 0.5)
                top = height * (1 if style == "slats" else (1 - (2 * t - 1) ** 2) ** 0.35)
                pieces.append((rod((x, 0, 0), (x, top, 0), 0.7 * bar), filling))
    for solid, color in pieces:
        sketch.add("back", solid.turned("x", lean).at(y=y, z=z), color)


def chair(sketch: Sketch, rng: Generator) -> None:
    """Kitchen, office, garden, arm- and high chairs."""
    width, depth, height = rng.uniform(0.38, 0.6), rng.uniform(0.38, 0.56), rng.uniform(0.34, 0.56)
    frame = metal(rng) if chance(rng, 0.4) else wood(rng)
    seat = fabric(rng) if chance(rng, 0.5) else shaded(frame, rng.uniform(0.8, 1.3))
    thick = rng.uniform(0.02, 0.1)
    style = rng.choice(["box", "cushion", "disc"], p=[0.45, 0.35, 0.2])
    solid = {"box": box(width, thick, depth), "cushion": cushion(width, thick + 0.03, depth, rng)}.get(
        style, frustum(width / 2, width / 2, thick)
    )
    sketch.add("seat", solid.at(y=height), seat)
    inset = 0.7 if style == "disc" else 0.9
    base = rng.choice(["legs", "pedestal", "sled", "block"], p=[0.55, 0.22, 0.15, 0.08])
    x, z = inset * width / 2, inset * depth / 2
    if base == "legs":
        legs(sketch, corners(x, z), height, frame, rng)
    elif base == "pedestal":
        pedestal(sketch, rng.uniform(0.2, 0.32), height, frame, rng)
    elif base == "sled":
        for side in (-x, x):
            path = [(side, height, z), (side, 0.02, z), (side, 0.02, -z)]
            sketch.add("leg", tube(path if chance(rng, 0.5) else [*path, (side, height, -z)], 0.015), frame)
    else:
        sketch.add("leg", box(width * 0.95, height, depth * 0.9, rng.uniform(0.8, 1.05)), frame)
    backrest(sketch, width * rng.uniform(0.7, 1), height + thick, -z, rng.uniform(0.2, 0.75), (frame, seat), rng)
    if chance(rng, 0.4):
        rest, top = rng.uniform(0.15, 0.28), rng.uniform(0.6, 0.95) * depth
        for side in (-width / 2, width / 2):
            sketch.add("arm", box(0.05, 0.03, top).at(side, height + rest, (top - depth) / 2), frame)
            sketch.add("arm", rod((side, height, z * 0.6), (side, height + rest, z * 0.6), 0.015), frame)


def stool(sketch: Sketch, rng: Generator) -> None:
    """Low and bar stools, pouffes, step stools; some with a hint of a back."""
    width, height, thick = rng.uniform(0.28, 0.48), rng.uniform(0.22, 0.8), rng.uniform(0.02, 0.12)
    frame = metal(rng) if chance(rng, 0.4) else wood(rng)
    seat = fabric(rng) if chance(rng, 0.5) else frame
    depth = width * rng.uniform(0.6, 1.0)
    round_seat = chance(rng, 0.55)
    sketch.add(
        "seat",
        (frustum(width / 2, width / 2, thick) if round_seat else cushion(width, thick, depth, rng)).at(y=height),
        seat,
    )
    base = rng.choice(["four", "three", "pedestal", "drum"], p=[0.4, 0.25, 0.25, 0.1])
    if base == "four":
        legs(sketch, corners(0.35 * width, 0.35 * depth), height, frame, rng)
    elif base == "three":
        angle = 2 * np.pi * np.arange(3) / 3
        legs(
            sketch,
            list(zip(0.35 * width * np.cos(angle), 0.35 * depth * np.sin(angle), strict=True)),
            height,
            frame,
            rng,
        )
    elif base == "pedestal":
        pedestal(sketch, rng.uniform(0.15, 0.26), height, frame, rng)
    else:
        sketch.add("leg", frustum(width * rng.uniform(0.35, 0.5), width * rng.uniform(0.3, 0.5), height), frame)
    if chance(rng, 0.35) and base != "drum":
        angle = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        ring = np.stack([0.4 * width * np.cos(angle), np.full(16, 0.35 * height), 0.4 * depth * np.sin(angle)], 1)
        sketch.add("leg", tube(ring, 0.01, loop=True), frame)
    if chance(rng, 0.25):
        backrest(sketch, width * 0.8, height + thick, -0.4 * depth, rng.uniform(0.1, 0.25), (frame, seat), rng)


def bench(sketch: Sketch, rng: Generator) -> None:
    """Garden and park benches, stone slabs, picnic planks; with or without back and arms."""
    width, depth, height = rng.uniform(0.8, 1.8), rng.uniform(0.28, 0.5), rng.uniform(0.34, 0.5)
    frame, plank = (metal(rng) if chance(rng, 0.4) else wood(rng)), wood(rng)
    count, thick = int(rng.integers(1, 6)), rng.uniform(0.025, 0.09)
    for z in depth * (np.arange(count) + 0.5) / count - depth / 2:
        sketch.add("seat", box(width, thick, 0.85 * depth / count).at(0, height, z), plank)
    x = width * rng.uniform(0.33, 0.47)
    if chance(rng, 0.5):
        legs(sketch, corners(x, 0.4 * depth), height, frame, rng)
    else:
        for side in (-x, x):
            sketch.add("leg", box(rng.uniform(0.03, 0.15), height, depth, rng.uniform(0.5, 1)).at(side), frame)
    if width > 1.3 and chance(rng, 0.5):
        sketch.add("leg", box(0.05, height, 0.8 * depth), frame)
    if chance(rng, 0.5):
        backrest(sketch, width, height + thick, -0.45 * depth, rng.uniform(0.25, 0.5), (frame, plank), rng)
    if chance(rng, 0.3):
        for side in (-0.48 * width, 0.48 * width):
            rest = rng.uniform(0.15, 0.25)
            post = tube(
                [(side, height, 0.4 * depth), (side, height + rest, 0.4 * depth), (side, height + rest, -depth / 2)],
                0.02,
            )
            sketch.add("arm", post, frame)


def sofa(sketch: Sketch, rng: Generator) -> None:
    """Armchairs, settees and corner sofas."""
    seats = int(rng.integers(1, 5))
    each, depth = rng.uniform(0.5, 0.8), rng.uniform(0.7, 0.98)
    width, low, seat = each * seats, rng.uniform(0.02, 0.2), rng.uniform(0.34, 0.48)
    cover = fabric(rng)
    pillow = cover if chance(rng, 0.6) else fabric(rng)
    sketch.add("base", box(width, seat - low - 0.1, depth).at(y=low), shaded(cover, 0.9))
    legs(sketch, corners(0.46 * width, 0.42 * depth), low, wood(rng), rng)
    tall, thick = rng.uniform(0.3, 0.6), rng.uniform(0.1, 0.25)
    back = box(width, tall, thick, rng.uniform(0.7, 1)) if chance(rng, 0.6) else cushion(width, tall, thick, rng)
    sketch.add("back", back.turned("x", -rng.uniform(0, 15)).at(0, seat - 0.1, (thick - depth) / 2), cover)
    for i in range(seats):
        x = each * (i + 0.5) - width / 2
        sketch.add("cushion", cushion(0.97 * each, 0.16, depth - thick, rng).at(x, seat - 0.12, thick / 2), pillow)
        if chance(rng, 0.3):
            soft = cushion(0.6 * each, 0.4, 0.15, rng).turned("x", -20)
            sketch.add("cushion", soft.at(x, seat, thick - depth / 2 + 0.08), fabric(rng))
    rise, arm = rng.uniform(0.08, 0.3), rng.uniform(0.08, 0.25)
    kind = rng.choice(["both", "left", "none"], p=[0.7, 0.15, 0.15])
    rolled = chance(rng, 0.35)
    for side in {"both": (-1, 1), "left": (-1,)}.get(kind, ()):
        x = side * (width + arm) / 2
        sketch.add("arm", box(arm, seat + rise - low, depth).at(x, low), cover)
        if rolled:
            roll = frustum(0.7 * arm, 0.7 * arm, depth).turned("x", 90).at(x, seat + rise, -depth / 2)
            sketch.add("arm", roll, cover)
    if seats > 1 and chance(rng, 0.3):
        x, chaise = (width - each) / 2, rng.uniform(0.4, 0.8)
        sketch.add("base", box(each, seat - low, chaise).at(x, low, (depth + chaise) / 2), cover)


def bed(sketch: Sketch, rng: Generator) -> None:
    """Single, double, four-poster and bunk beds, day beds."""
    width, depth = rng.uniform(0.8, 1.9), rng.uniform(1.75, 2.15)
    frame = metal(rng) if chance(rng, 0.25) else wood(rng)
    sheet, cover = fabric(rng), fabric(rng)
    height, thick = rng.uniform(0.15, 0.5), rng.uniform(0.12, 0.3)
    levels = 2 if width < 1.2 and chance(rng, 0.35) else 1
    gap = rng.uniform(0.8, 1.1)
    for level in range(levels):
        y = height + level * gap
        sketch.add("frame", box(width, 0.08, depth).at(y=y - 0.08), frame)
        sketch.add("mattress", cushion(0.96 * width, thick, 0.97 * depth, rng).at(y=y), sheet)
        if chance(rng, 0.6):
            sketch.add("mattress", box(width, 0.6 * thick, 0.6 * depth).at(0, y + 0.5 * thick, 0.18 * depth), cover)
        for i in range(pillows := 1 + (width > 1.2)):
            x = width * ((i + 0.5) / pillows - 0.5)
            pillow = cushion(0.8 * width / pillows, 0.13, 0.38, rng)
            sketch.add("pillow", pillow.at(x, y + thick - 0.02, 0.26 - depth / 2), sheet)
    if levels == 2 or chance(rng, 0.15):
        top = height + gap + (0.3 if levels == 2 else rng.uniform(0.3, 1))
        for x, z in corners(width / 2, depth / 2):
            sketch.add("leg", box(0.06, top, 0.06).at(x, 0, z), frame)
        if levels == 1:
            sketch.add("frame", box(1.05 * width, 0.05, 1.02 * depth).at(y=top), cover)
    elif chance(rng, 0.7):
        legs(sketch, corners(0.46 * width, 0.46 * depth), height - 0.08, frame, rng)
    else:
        sketch.add("frame", box(width, height - 0.08, depth), frame)
    head = height + thick + rng.uniform(0.15, 0.8)
    if chance(rng, 0.8):
        sketch.add("headboard", box(1.03 * width, head, 0.06, rng.uniform(0.7, 1)).at(z=-depth / 2), frame)
    if chance(rng, 0.45):
        sketch.add("headboard", box(1.03 * width, head * rng.uniform(0.4, 0.8), 0.06).at(z=depth / 2), frame)


def table(sketch: Sketch, rng: Generator) -> None:
    """Dining, side, coffee and writing tables."""
    width, height, thick = (
        rng.uniform(0.5, 1.9),
        rng.choice([rng.uniform(0.3, 0.5), rng.uniform(0.65, 0.95)]),
        rng.uniform(0.015, 0.08),
    )
    depth = width * rng.uniform(0.4, 1.0)
    surface, frame = wood(rng), (metal(rng) if chance(rng, 0.35) else wood(rng))
    shape = rng.choice(["box", "oval", "superoval"], p=[0.55, 0.3, 0.15])
    tops = {"box": box(1, thick, 1), "oval": frustum(0.5, 0.5, thick, 24)}
    top = tops.get(shape, ellipsoid(1, thick, 1, 0.35, 24).at(y=thick / 2))
    sketch.add("top", top.scaled(width, 1, depth).at(y=height), surface)
    inset = 0.33 if shape == "oval" else rng.uniform(0.38, 0.47)
    base = rng.choice(["legs", "pedestal", "panels", "trestle", "twin"], p=[0.45, 0.2, 0.13, 0.12, 0.1])
    if base == "legs":
        legs(sketch, corners(inset * width, inset * depth), height, frame, rng)
    elif base == "pedestal":
        pedestal(sketch, 0.3 * depth + 0.1, height, frame, rng)
    else:
        for side in (-inset * width, inset * width):
            if base == "panels":
                sketch.add("leg", box(0.04, height, 0.9 * depth).at(side), frame)
            elif base == "twin":
                sketch.add("leg", box(0.06, height, 0.06).at(side), frame)
                sketch.add("leg", box(0.08, 0.05, 0.8 * depth).at(side), frame)
            else:
                for z in (-0.4 * depth, 0.4 * depth):
                    sketch.add("leg", rod((side, 0, z), (side, height, -z), 0.025), frame)
    if chance(rng, 0.25):
        sketch.add(
            "shelf", box(1.8 * inset * width, 0.02, 1.8 * inset * depth).at(y=height * rng.uniform(0.2, 0.5)), surface
        )
    if chance(rng, 0.3) and shape == "box":
        drawers = int(rng.integers(1, 4))
        deep = min(rng.uniform(0.1, 0.6), 0.9 * height)
        wide = rng.uniform(0.2, 0.45) * width
        for x in (-0.5, 0.5) if chance(rng, 0.4) else (0.5,):
            sketch.add("drawer", box(wide, deep, 0.85 * depth).at(x * (0.94 * width - wide), height - deep), frame)
            for i in range(drawers):
                y = height - deep * (i + 0.5) / drawers
                sketch.add(
                    "drawer", box(0.3 * wide, 0.02, 0.04).at(x * (0.94 * width - wide), y, 0.43 * depth), surface
                )


def bookshelf(sketch: Sketch, rng: Generator) -> None:
    """Shelves and cupboards: open or backed, divided, with doors, books, or nothing."""
    width, height, depth = rng.uniform(0.4, 1.6), rng.uniform(0.6, 2.1), rng.uniform(0.2, 0.45)
    body, board, rows = wood(rng), rng.uniform(0.015, 0.05), int(rng.integers(2, 7))
    low = rng.uniform(0.02, 0.2) if chance(rng, 0.4) else 0.0
    columns = int(rng.integers(1, 4)) if width > 0.8 else 1
    rise = (height - low - board) / rows
    narrow = rng.uniform(0.3, 0.8) if chance(rng, 0.2) else 1.0  # a ladder shelf
    for i in range(rows + 1):
        deep = depth * (1 - (1 - narrow) * i / rows)
        sketch.add("shelf", box(width, board, deep).at(0, low + i * rise, (deep - depth) / 2), body)
    outline = [(-depth / 2, low), (depth / 2, low), (depth * (narrow - 0.5), height), (-depth / 2, height)]
    for x in np.linspace(-width / 2, width / 2, columns + 1):
        sketch.add("side", prism(outline, board).turned("y", -90).at(x), body)
    if low:
        legs(sketch, corners(0.45 * width, 0.42 * depth), low, body, rng)
    if chance(rng, 0.5):
        sketch.add("side", box(width, height - low, 0.01).at(0, low, -depth / 2), shaded(body, 0.8))
    doors = int(rng.integers(1, rows + 1)) if narrow == 1 and chance(rng, 0.3) else 0
    front = paint(rng) if chance(rng, 0.4) else body
    for x in (-1, 1) if doors else ():
        sketch.add("door", box(0.49 * width, doors * rise, 0.02).at(x * 0.25 * width, low, depth / 2), front)
        sketch.add(
            "door", ellipsoid(0.03, 0.08, 0.04).at(x * 0.04, low + 0.6 * doors * rise, depth / 2 + 0.02), metal(rng)
        )
    for row in range(doors, rows) if chance(rng, 0.7) else ():
        x, end = -0.46 * width, width * rng.uniform(-0.4, 0.46)
        while x < end:
            thick = rng.uniform(0.02, 0.07) * max(1.0, width)
            book = box(0.9 * thick, min(rise - board, 0.32) * rng.uniform(0.6, 0.92), depth * narrow * 0.7)
            sketch.add(
                "book", book.at(x, low + row * rise + board, -0.05 * depth - depth * (1 - narrow) / 2), paint(rng)
            )
            x += thick


FURNITURE = {
    "chair": Family(chair, ("seat", "back", "leg", "arm")),
    "stool": Family(stool, ("seat", "back", "leg")),
    "bench": Family(bench, ("seat", "back", "leg", "arm")),
    "sofa": Family(sofa, ("base", "back", "cushion", "arm", "leg")),
    "bed": Family(bed, ("mattress", "frame", "headboard", "pillow", "leg")),
    "table": Family(table, ("top", "leg", "shelf", "drawer")),
    "bookshelf": Family(bookshelf, ("shelf", "side", "leg", "door", "book")),
}
