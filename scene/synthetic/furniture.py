"""Street furniture: lamps, bollards, traffic lights, signs, fences and walls."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from crosspoint.datasets.procedural.primitives import Solid, box, circle, frustum, prism, rod, tube
from crosspoint.datasets.procedural.sketch import Color, Sketch, chance, metal, paint, shaded, wood
from crosspoint.scene.synthetic.asset import Prop, Role, prop_of

POLE: dict[str, Role] = {
    "post": ("pole", "metal"),
    "wooden": ("pole", "bark"),
    "lamp": ("pole", "lamp"),
    "plate": ("traffic sign", "reflector"),
    "back": ("traffic sign", "metal"),
}
FENCE: dict[str, Role] = {
    "wood": ("fence", "wood"),
    "boards": ("fence", "planks"),
    "metal": ("fence", "metal"),
    "stone": ("fence", "brick"),
}
RED, WHITE, BLUE, YELLOW = (0.8, 0.06, 0.08), (0.95, 0.95, 0.95), (0.05, 0.2, 0.65), (0.95, 0.75, 0.05)


def lamp(rng: Generator) -> Prop:
    """A street lamp of 4 to 9 m, its arm forward, or a wooden mast."""
    sketch = Sketch()
    tall, radius = rng.uniform(4.0, 9.0), rng.uniform(0.06, 0.14)
    if chance(rng, 0.25):
        sketch.add("wooden", frustum(1.2 * radius, 0.9 * radius, tall, sides=10), shaded(wood(rng), 0.6))
        sketch.add("wooden", box(1.6, 0.12, 0.12).at(0, 0.9 * tall, 0), shaded(wood(rng), 0.6))
    else:
        iron, reach = metal(rng), rng.uniform(0.0, 2.2)
        sketch.add("post", frustum(radius, 0.6 * radius, tall, sides=10), iron)
        curve = [(0, tall - 0.1, 0), (0, tall + 0.25, 0.4 * reach + 0.05), (0, tall + 0.3, reach + 0.1)]
        sketch.add("post", tube(curve, 0.5 * radius), iron)
        sketch.add("lamp", box(0.25, 0.12, 0.6).at(0, tall + 0.22, reach + 0.2), (0.95, 0.93, 0.85))
    return prop_of(sketch.finish("lamp", tuple(POLE), np.ones(3)), POLE)


def bollard(rng: Generator) -> Prop:
    """A low post."""
    sketch, tall = Sketch(), rng.uniform(0.7, 1.2)
    sketch.add("post", frustum(0.08, 0.06, tall, sides=10), metal(rng) if chance(rng, 0.7) else paint(rng))
    sketch.add("lamp", frustum(0.085, 0.08, 0.12, sides=10).at(y=0.75 * tall), WHITE)
    return prop_of(sketch.finish("bollard", tuple(POLE), np.ones(3)), POLE)


def traffic_light(rng: Generator) -> Prop:
    """Three lamps in a dark case on a post; as in Cityscapes' parent classes, the whole counts as a pole."""
    sketch, tall = Sketch(), rng.uniform(2.6, 3.6)
    sketch.add("post", frustum(0.08, 0.07, tall, sides=10), (0.2, 0.2, 0.2))
    sketch.add("post", box(0.32, 0.95, 0.22).at(0, tall - 0.2, 0.12), (0.06, 0.06, 0.06))
    lit = int(rng.integers(3))
    for i, color in enumerate(((0.1, 0.9, 0.4), (1.0, 0.75, 0.1), (1.0, 0.1, 0.1))):
        disc = frustum(0.1, 0.1, 0.04, sides=12).turned("x", 90)
        sketch.add("lamp", disc.at(0, tall - 0.03 + 0.29 * i, 0.23), color if i == lit else shaded(color, 0.25))
    return prop_of(sketch.finish("traffic light", tuple(POLE), np.ones(3)), POLE)


def sign(rng: Generator) -> Prop:
    """One or two plates on a post, facing +x: prohibition, warning, stop, priority, parking, directions."""
    sketch, tall, iron = Sketch(), rng.uniform(1.9, 2.8), (0.55, 0.56, 0.58)
    plates = 2 if chance(rng, 0.35) else 1
    sketch.add("post", frustum(0.035, 0.035, tall + 0.75 * plates, sides=8), iron)
    for i in range(plates):
        _plate(sketch, tall + 0.35 + 0.75 * i, rng)
    return prop_of(sketch.finish("sign", tuple(POLE), np.ones(3)), POLE)


def _plate(sketch: Sketch, middle: float, rng: Generator) -> None:
    """A plate and, on its front, the inner field that leaves a border; its back is bare metal."""
    kind = rng.choice(["disc", "triangle", "octagon", "diamond", "square", "board"])
    radius = rng.uniform(0.3, 0.48)
    sides, turn = {"disc": (20, 0), "triangle": (3, 0), "octagon": (8, 0), "diamond": (4, 45)}.get(kind, (4, 0))
    outline = circle(sides) @ _rotation(90 - 180 / sides if kind == "triangle" else turn)
    outline = outline * (radius * (1.4 if kind == "board" else 1.0), radius * (0.7 if kind == "board" else 1.0))
    border, field = _colors(kind, rng)

    def layer(share: float, depth: float, thick: float) -> Solid:
        return prism(outline * share, thick).at(0, middle, depth)

    sketch.add("back", layer(1.0, 0.045, 0.01), (0.6, 0.6, 0.62))
    sketch.add("plate", layer(1.0, 0.055, 0.008), border)
    sketch.add("plate", layer(0.78, 0.062, 0.006), field)


def _colors(kind: str, rng: Generator) -> tuple[Color, Color]:
    """Border and field of a plate."""
    return {
        "disc": ((RED, WHITE), (BLUE, BLUE), (WHITE, RED))[rng.integers(3)],
        "triangle": (RED, WHITE if chance(rng, 0.7) else YELLOW),
        "octagon": (WHITE, RED),
        "diamond": (WHITE, YELLOW),
    }.get(kind, ((WHITE, BLUE), (BLUE, WHITE), (WHITE, (0.05, 0.45, 0.2)))[rng.integers(3)])


def _rotation(degrees: float) -> np.ndarray:
    c, s = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    return np.array([[c, s], [-s, c]])


def fence(length: float, rng: Generator) -> Prop:
    """A fence or garden wall along x: rails, bars, boards or stone, 0.8 to 2.2 m high."""
    sketch, tall = Sketch(), rng.uniform(0.8, 2.0)
    style = rng.choice(["rails", "bars", "boards", "wall"])
    posts = np.linspace(0.05, length - 0.05, max(2, round(length / 2.0) + 1))
    if style == "wall":
        stone = shaded((0.7, 0.5, 0.42), rng.uniform(0.6, 1.35)) if chance(rng, 0.5) else (0.65, 0.63, 0.6)
        sketch.add("stone", box(0.25, 0.75 * tall, length).at(z=length / 2), stone)
        sketch.add("stone", box(0.33, 0.08, length).at(0, 0.75 * tall, length / 2), shaded(stone, 0.8))
    elif style == "bars":
        iron = metal(rng)
        for height in (0.15, 0.92 * tall):
            sketch.add("metal", box(0.04, 0.04, length).at(0, height, length / 2), iron)
        for z in np.linspace(0.05, length - 0.05, max(2, int(length / 0.16))):
            sketch.add("metal", box(0.03, tall, 0.03).at(z=z), iron)
    else:
        timber = wood(rng) if chance(rng, 0.7) else (0.92, 0.92, 0.9)
        for z in posts:
            sketch.add("wood", box(0.12, 1.05 * tall, 0.12).at(z=z), shaded(timber, 0.85))
        if style == "boards":
            sketch.add("boards", box(0.05, 0.95 * tall, length).at(0.02, 0.05, length / 2), timber)
        else:
            for height in np.linspace(0.25, 0.95, int(rng.integers(2, 5))) * tall:
                sketch.add("wood", rod((0, height, 0), (0, height, length), 0.05), timber)
    return prop_of(sketch.finish("fence", tuple(FENCE), np.ones(3)), FENCE)
