"""Objects that move or grow: cars, pedestrians, trees, bushes and hedges, each drawn anew from random numbers."""

from __future__ import annotations

import numpy as np
from numpy.random import Generator

from crosspoint.datasets.procedural.primitives import box, ellipsoid, rod
from crosspoint.datasets.procedural.shapes import make_shape
from crosspoint.datasets.procedural.sketch import Shape, Sketch, chance, fabric, foliage, shaded
from crosspoint.scene.synthetic.asset import Prop, Role, prop_of, roughened

CAR: dict[str, Role] = {
    "body": ("car", "paint"),
    "cabin": ("car", "paint"),
    "window": ("car", "glass"),
    "wheel": ("car", "rubber"),
    "light": ("car", "lamp"),
}
TREE: dict[str, Role] = {
    "trunk": ("vegetation", "bark"),
    "branch": ("vegetation", "bark"),
    "crown": ("vegetation", "leaves"),
}
PERSON: dict[str, Role] = {"clothes": ("pedestrian", "cloth"), "skin": ("pedestrian", "skin")}
SKIN = ((0.95, 0.78, 0.65), (0.85, 0.64, 0.48), (0.6, 0.42, 0.3), (0.36, 0.24, 0.17))


def drawn_shape(family: str, rng: Generator) -> Shape:
    """An object of the procedural families."""
    return make_shape(family, int(rng.integers(2**31)))


def car(rng: Generator, longest: float = 7.5) -> Prop:
    """A saloon, estate, van, pick-up or sports car, 3.3 m to `longest` meters long."""
    while True:
        prop = prop_of(drawn_shape("car", rng), CAR, "car")
        if 3.3 <= prop.size[0] <= longest and prop.size[1] <= 2.3:
            return prop


def tree(rng: Generator) -> Prop:
    """A tree of 3 to 11 m with a rough crown, or a bare one."""
    prop = prop_of(drawn_shape("tree", rng), TREE, scale=rng.uniform(1.0, 1.4))
    return roughened(prop, "leaves", rng.uniform(0.06, 0.2), rng)


def bush(rng: Generator) -> Prop:
    """A few leafy blobs, to the knee or above the head."""
    sketch, green = Sketch(), foliage(rng)
    size = rng.uniform(0.5, 2.2)
    for _ in range(rng.integers(1, 5)):
        wide, tall = size * rng.uniform(0.7, 1.2), size * rng.uniform(0.5, 1.0)
        blob = ellipsoid(wide, tall, wide * rng.uniform(0.7, 1.2), rng.uniform(0.6, 1.0), sides=10)
        x, z = rng.normal(0.0, 0.35 * size, 2)
        sketch.add("crown", blob.at(x, 0.4 * tall, z), shaded(green, rng.uniform(0.85, 1.15)))
    shape = sketch.finish("bush", tuple(TREE), np.ones(3))
    return roughened(prop_of(shape, TREE), "leaves", 0.05 * size, rng)


def hedge(length: float, rng: Generator) -> Prop:
    """A clipped hedge along x, as high as a fence: only leaves tell it from a wall."""
    sketch, green = Sketch(), foliage(rng)
    tall, deep = rng.uniform(0.8, 2.2), rng.uniform(0.5, 1.0)
    for z in np.arange(0.5, max(length, 1.0)):  # short pieces, so that it is rough along its length, too
        piece = ellipsoid(1.1 * deep, tall, 1.25, rng.uniform(0.15, 0.35), sides=16)
        sketch.add("crown", piece.at(0, tall / 2, z), shaded(green, rng.uniform(0.93, 1.07)))
    return roughened(prop_of(sketch.finish("hedge", tuple(TREE), np.ones(3)), TREE), "leaves", 0.05, rng)


def pedestrian(rng: Generator) -> Prop:
    """A child or an adult, standing or in mid-stride, some in skirts, some with a bag."""
    sketch = Sketch()
    tall = rng.uniform(1.5, 1.92) if chance(rng, 0.85) else rng.uniform(1.0, 1.4)
    skin, top, low = SKIN[rng.integers(len(SKIN))], fabric(rng), shaded(fabric(rng), 0.7)
    hip, shoulder, girth = 0.5 * tall, 0.82 * tall, tall * rng.uniform(0.9, 1.3)
    stride = rng.uniform(0.0, 0.22) * tall
    for side in (-1, 1):
        foot, x = side * stride, side * 0.05 * tall
        sketch.add("clothes", rod((x, 0.03, foot), (x, hip, 0), 0.04 * girth, 0.055 * girth), low)
        sketch.add("clothes", box(0.09, 0.07, 0.25).at(x, 0, foot + 0.05), (0.12, 0.1, 0.1))
        hand = (side * 0.15 * girth, 0.48 * tall, -0.7 * foot)
        arm = rod((side * 0.11 * girth, shoulder, 0), hand, 0.03 * girth, 0.026 * girth)
        sketch.add("clothes", arm, top)
        sketch.add("skin", ellipsoid(0.08, 0.1, 0.08, sides=8).at(*hand), skin)
    torso = ellipsoid(0.24 * girth, 1.2 * (shoulder - hip), 0.15 * girth, 0.7)
    sketch.add("clothes", torso.at(0, (hip + shoulder) / 2, 0), top)
    if chance(rng, 0.2):
        skirt = box(0.2 * girth, 0.35 * tall, 0.16 * girth, 0.75)
        sketch.add("clothes", skirt.at(0, 0.25 * tall, 0), low)
    sketch.add("skin", rod((0, shoulder, 0), (0, 0.9 * tall, 0), 0.03 * tall), skin)
    sketch.add("skin", ellipsoid(0.1 * tall, 0.14 * tall, 0.12 * tall).at(0, 0.93 * tall, 0), skin)
    hair = ellipsoid(0.108 * tall, 0.1 * tall, 0.125 * tall).at(0, 0.96 * tall, -0.01 * tall)
    sketch.add("clothes", hair, shaded((0.45, 0.3, 0.18), rng.uniform(0.15, 1.6)))
    if chance(rng, 0.3):
        sketch.add("clothes", box(0.3, 0.42, 0.16).at(0, 0.58 * tall, -0.13 * girth), fabric(rng))
    return prop_of(sketch.finish("pedestrian", tuple(PERSON), np.ones(3)), PERSON, "pedestrian")
