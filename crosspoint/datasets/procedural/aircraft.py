"""Procedural things that fly, nose toward +z (the rocket's upward): airplane, helicopter, rocket."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from crosspoint.datasets.procedural.primitives import box, ellipsoid, frustum, hull, lathe, prism, rod, tube, wing
from crosspoint.datasets.procedural.sketch import (
    GLASS,
    RUBBER,
    Color,
    Family,
    Sketch,
    chance,
    metal,
    paint,
    shaded,
    wood,
)


def airplane(sketch: Sketch, rng: Generator) -> None:
    """Airliners, propeller planes, biplanes, gliders, jets."""
    style = rng.choice(["airliner", "propeller", "biplane", "jet", "glider"], p=[0.3, 0.25, 0.15, 0.18, 0.12])
    length = rng.uniform(8, 14)
    girth = length * (rng.uniform(0.05, 0.085) if style != "glider" else 0.035)
    body, trim = paint(rng), paint(rng)
    nose, tail, y = length / 2, -length / 2, 1.2 + girth
    rows = [(tail, 0.12, y + 0.3 * girth, y + 0.7 * girth), (0.4 * tail, 0.95, y - 0.8 * girth, y + girth)]
    rows += [(0.55 * nose, 1, y - girth, y + girth), (0.85 * nose, 0.7, y - 0.8 * girth, y + 0.65 * girth)]
    rows += [(nose, 0.08, y - 0.3 * girth, y + 0.05 * girth)]
    sketch.add("fuselage", hull([(z, girth * w, a, b) for z, w, a, b in rows], rng.uniform(0.75, 1)), body)
    sketch.add("fuselage", ellipsoid(1.2 * girth, girth, 3 * girth).at(0, y + 0.7 * girth, 0.5 * nose), GLASS)
    span = length * {"glider": 0.75, "jet": rng.uniform(0.25, 0.38)}.get(style, rng.uniform(0.38, 0.58))
    chord = length * {"glider": 0.07, "jet": rng.uniform(0.25, 0.45)}.get(style, rng.uniform(0.12, 0.2))
    sweep = length * {"airliner": rng.uniform(0.1, 0.22), "jet": rng.uniform(0.15, 0.35)}.get(style, 0.02)
    tip, rise = chord * rng.uniform(0.25, 0.95 if sweep < 1 else 0.5), span * rng.uniform(-0.04, 0.12)
    low = y + girth * rng.choice([-0.8, 0.0, 0.85])
    main, covering = wing(chord, tip, span, sweep, rise), (trim if chance(rng, 0.3) else body)
    heights = (low, low + 2.2 * girth) if style == "biplane" else (low,)
    for height in heights:
        for side in (1, -1):
            sketch.add("wing", main.scaled(x=side).at(y=height), covering)
    if style == "biplane":
        for x in (-0.6 * span, 0.6 * span):
            sketch.add("wing", rod((x, low + 0.6 * rise, 0), (x, low + 0.6 * rise + 2.2 * girth, 0), 0.06), wood(rng))
    fin = wing(0.12 * length, 0.06 * length, 0.14 * length, 0.07 * length).turned("z", 90)
    flat = wing(0.09 * length, 0.05 * length, 0.16 * length, 0.04 * length)
    twin = chance(rng, 0.2)
    for x in (-0.12 * length, 0.12 * length) if twin else (0.0,):
        sketch.add("tail", fin.at(x, y + 0.5 * girth, 0.88 * tail), trim)
    up = 0.13 * length if chance(rng, 0.2) and not twin else 0.0
    for side in (1, -1):
        sketch.add("tail", flat.scaled(x=side).at(0, y + 0.5 * girth + up, 0.9 * tail), trim)
    _engines(sketch, style, span, (low, sweep, rise), (y, girth, nose), rng)
    if chance(rng, 0.5) and style != "glider":
        for x, z in ((-1.5 * girth, 0), (1.5 * girth, 0), (0, 0.75 * nose)):
            sketch.add("gear", rod((x, 0.3, z), (0.5 * x, y - 0.5 * girth, z), 0.06), metal(rng))
            sketch.add("gear", ellipsoid(0.2, 0.6, 0.6).at(x, 0.3, z), RUBBER)


def _engines(
    sketch: Sketch,
    style: str,
    span: float,
    wings: tuple[float, float, float],
    body: tuple[float, float, float],
    rng: Generator,
) -> None:
    """Under the wings, at the tail, or as propellers; `wings` low, sweep, rise and `body` y, girth, nose."""
    (low, sweep, rise), (y, girth, nose) = wings, body
    steel = metal(rng)
    if style == "airliner":
        rear = chance(rng, 0.25)
        size = rng.uniform(0.3, 0.45) * girth + 0.15
        for share in (0.35,) if rear or chance(rng, 0.5) else (0.3, 0.6):
            for side in (-1, 1):
                pod = frustum(0.8 * size, size, 3.2 * size).turned("x", 90).at(z=-1.6 * size)
                place = (side * 1.6 * girth, y + 0.3 * girth, -0.6 * nose)
                wing_place = (side * share * span, low + share * rise - size, span * 0.12 - share * sweep)
                sketch.add("engine", pod.at(*(place if rear else wing_place)), steel)
    elif style == "jet":
        sketch.add(
            "engine",
            frustum(0.5 * girth, 0.7 * girth, girth).turned("x", 90).at(0, y + 0.4 * girth, -1.05 * nose),
            steel,
        )
    elif style in ("propeller", "biplane"):
        wide = chance(rng, 0.3)
        for x in (-0.35 * span, 0.35 * span) if wide else (0.0,):
            place = (x, low + 0.35 * rise, 0.12 * span) if wide else (0.0, y - 0.1 * girth, nose)
            sketch.add("engine", ellipsoid(girth, girth, 3 * girth).at(*place[:2], place[2] - girth * wide), steel)
            blades = int(rng.integers(2, 5))
            for i in range(blades):
                blade = box(0.18, 2.2 * girth, 0.05).turned("z", 360 * i / blades + rng.uniform(0, 5))
                sketch.add("engine", blade.at(place[0], place[1], place[2] + 0.6 * girth), shaded(steel, 0.5))


def helicopter(sketch: Sketch, rng: Generator) -> None:
    """Light, transport and tandem helicopters on skids or wheels."""
    length, half = rng.uniform(3, 5), rng.uniform(0.6, 1.0)
    height, low = rng.uniform(1.3, 2.0), rng.uniform(0.35, 0.8)
    body, steel = paint(rng), metal(rng)
    top, middle = low + height, low + height / 2
    tandem = chance(rng, 0.15)
    rows = [(-length / 2, 0.35, middle, top), (-0.2 * length, 1, low + 0.1, top), (0.25 * length, 1, low, 0.97 * top)]
    rows += [(0.42 * length, 0.75, low + 0.05, middle + 0.3 * height), (length / 2, 0.25, low + 0.15, middle)]
    sketch.add("body", hull([(z, half * w, a, b) for z, w, a, b in rows], rng.uniform(0.5, 1)), body)
    nose = ellipsoid(1.5 * half, 0.7 * height, 0.4 * length).at(0, middle + 0.1, 0.32 * length)
    sketch.add("window", nose, GLASS)
    boom = 0.5 * length if tandem else rng.uniform(0.7, 1.3) * length
    end = -length / 2 - boom
    thin = rng.uniform(0.06, 0.2)
    sketch.add(
        "tail",
        rod(
            (0, top - 0.5 * height * rng.uniform(0.2, 0.7), -0.4 * length), (0, top - 0.2, end), 0.3 * half + thin, thin
        ),
        body,
    )
    fin = wing(0.6, 0.35, 0.9, 0.4).turned("z", 90)
    sketch.add("tail", fin.at(0, top - 0.3, end), body)
    for side in (1, -1):
        sketch.add("tail", wing(0.4, 0.3, 0.8).scaled(x=side).at(0, top - 0.25, end + 0.5), body)
    blades, reach = int(rng.integers(2, 6)), rng.uniform(0.8, 1.3) * length
    spin = rng.uniform(0, 360)
    for z in (0.35 * length, end) if tandem else (0.0,):
        sketch.add("rotor", frustum(0.15, 0.08, 0.5 + 0.2 * tandem).at(0, top - 0.15, z), steel)
        for i in range(blades):
            blade = (
                box(reach, 0.04, 0.22)
                .at(x=reach / 2)
                .turned("z", rng.uniform(-3, 3))
                .turned("y", spin + 360 * i / blades)
            )
            sketch.add("rotor", blade.at(0, top + 0.3, z), (0.2, 0.2, 0.22))
    if not tandem:
        for i in range(3):
            sketch.add("rotor", box(0.04, 0.7, 0.12).turned("x", spin + 120 * i).at(0.2, top - 0.2, end), steel)
    _landing_gear(sketch, length, half, low, steel, rng)


def _landing_gear(sketch: Sketch, length: float, half: float, low: float, steel: Color, rng: Generator) -> None:
    """Skids or wheels under a helicopter's belly at height `low`."""
    if chance(rng, 0.6):
        for side in (-half, half):
            runner = [(side, 0.25, 0.5 * length), (side, 0.05, 0.42 * length), (side, 0.05, -0.4 * length)]
            sketch.add("gear", tube(runner, 0.05), steel)
            for z in (-0.2 * length, 0.25 * length):
                sketch.add("gear", rod((side, 0.05, z), (0.5 * side, low + 0.25, z), 0.04), steel)
    else:
        for x, z in ((-half, -0.2 * length), (half, -0.2 * length), (0, 0.35 * length)):
            sketch.add("gear", rod((x, 0.2, z), (0.5 * x, low + 0.3, z), 0.05), steel)
            sketch.add("gear", ellipsoid(0.16, 0.42, 0.42).at(x, 0.2, z), RUBBER)


def rocket(sketch: Sketch, rng: Generator) -> None:
    """Toy rockets, missiles, launchers with boosters, ships with windows."""
    height, radius = rng.uniform(4, 12), rng.uniform(0.35, 0.9)
    hull_paint, trim, steel = paint(rng), paint(rng), metal(rng)
    low = rng.uniform(0.2, 0.8)
    nose = height * rng.uniform(0.1, 0.35)
    waist = radius * (rng.uniform(0.6, 0.95) if chance(rng, 0.4) else 1)
    belly = radius * (rng.uniform(1, 1.4) if chance(rng, 0.3) else 1)
    straight = np.array([(waist, low), (belly, low + 0.35 * (height - nose)), (radius, height - nose)])
    t = np.linspace(0, 1, 8)
    tip = np.stack([radius * (1 - t ** rng.uniform(1, 2.5)), height - nose + nose * t], 1)
    sketch.add("body", lathe(straight), hull_paint)
    sketch.add("nose", lathe(tip), trim)
    sketch.add("engine", frustum(0.9 * waist, 0.5 * waist, low), steel)
    if chance(rng, 0.85):
        count, reach = int(rng.choice([3, 4, 4, 6])), radius * rng.uniform(0.6, 2.2)
        root, down = height * rng.uniform(0.1, 0.3), rng.uniform(0.0, 1.0) * low
        outline = [
            (0, low + root),
            (0.8 * waist + reach, low + root * rng.uniform(0.1, 0.6)),
            (0.8 * waist + reach, low - down),
            (0, low),
        ]
        for i in range(count):
            sketch.add("fin", prism(outline, 0.08).turned("y", 360 * i / count), trim)
    for i in range(boosters := int(rng.choice([0, 2, 4], p=[0.6, 0.25, 0.15]))):
        tall, thin = height * rng.uniform(0.35, 0.6), radius * 0.5
        solid = lathe([(thin, 0.3), (thin, tall - 2 * thin), (0.01, tall)]).at(x=radius + thin)
        sketch.add("booster", solid.turned("y", 360 * (i + 0.5) / boosters), shaded(hull_paint, 0.85))
    for i in range(int(rng.integers(0, 4))):
        porthole = ellipsoid(0.5 * radius, 0.5 * radius, 0.2 * radius).at(
            0, height - nose * 1.2 - i * 0.9 * radius, radius
        )
        sketch.add("body", porthole, GLASS)


AIRCRAFT = {
    "airplane": Family(airplane, ("fuselage", "wing", "tail", "engine", "gear")),
    "helicopter": Family(helicopter, ("body", "window", "tail", "rotor", "gear")),
    "rocket": Family(rocket, ("body", "nose", "fin", "engine", "booster")),
}
