"""Buildings with their front toward +x: detached houses of the procedural families, and town houses in a row."""

from __future__ import annotations

import colorsys

import numpy as np
from numpy.random import Generator

from crosspoint.datasets.procedural.primitives import box, prism
from crosspoint.datasets.procedural.sketch import GLASS, Color, Sketch, chance, paint, shaded, wood
from crosspoint.scene.synthetic.asset import Prop, Role, prop_of
from crosspoint.scene.synthetic.materials import MATERIAL_NAMES
from crosspoint.scene.synthetic.objects import drawn_shape


def _roles(wall: str) -> dict[str, Role]:
    return {
        "wall": ("building", wall),
        "roof": ("building", "tiles"),
        "door": ("building", "wood"),
        "window": ("building", "glass"),
        "chimney": ("building", "brick"),
        "plain": ("building", "plaster"),
    }


def masonry(rng: Generator) -> Color:
    """Plaster, sandstone, brick and concrete: warm or gray, never strong."""
    strong = rng.uniform(0.25, 0.5) if chance(rng, 0.3) else rng.uniform(0.03, 0.25)
    hue = rng.uniform(0.02, 0.14) if chance(rng, 0.85) else rng.uniform(0.5, 0.65)
    return colorsys.hsv_to_rgb(hue, strong, rng.uniform(0.55, 1.0))


def house(rng: Generator) -> Prop:
    """A cottage, tower, barn or church among gardens."""
    wall = "brick" if chance(rng, 0.5) else "plaster"
    prop = prop_of(drawn_shape("house", rng), _roles(wall))
    prop.colors[prop.materials == MATERIAL_NAMES.index(wall)] = masonry(rng)
    roof = prop.materials == MATERIAL_NAMES.index("tiles")
    prop.colors[roof] = 0.5 * prop.colors[roof] + 0.5 * prop.colors[roof].mean(axis=1, keepdims=True)
    return prop


def town_house(rng: Generator) -> Prop:
    """Two to six storeys, windows on all walls, with shops, balconies, and a flat or a pitched roof."""
    sketch = Sketch()
    storeys, storey = int(rng.integers(2, 7)), 3.2  # one period of the facade's texture
    width, depth, tall = 2 * storey * rng.integers(1, 4), storey * rng.integers(2, 5), storey * storeys
    wall = masonry(rng)
    sketch.add("wall", box(width, tall, depth).at(y=0.0), wall)
    front = depth / 2
    if chance(rng, 0.5):
        sketch.add("plain", box(width, 0.25, 0.35).at(0, storey - 0.1, front), shaded(wall, 0.8))
        for x in np.arange(-width / 2 + 1.6, width / 2, storey):
            sketch.add("window", box(2.6, 2.3, 0.1).at(x, 0.3, front), GLASS)
            if chance(rng, 0.4):
                sketch.add("plain", box(2.8, 0.12, 1.2).at(x, 2.65, front + 0.6), paint(rng))
    else:
        sketch.add("door", box(1.3, 2.4, 0.12).at(rng.uniform(-0.3, 0.3) * width, 0, front), wood(rng))
    if chance(rng, 0.4):
        for floor in range(1, storeys):
            for x in np.arange(-width / 2 + 1.6, width / 2, storey)[:: int(rng.integers(1, 3))]:
                y = floor * storey + 0.1
                sketch.add("plain", box(2.2, 0.15, 1.1).at(x, y, front + 0.55), shaded(wall, 0.9))
                sketch.add("plain", box(2.2, 0.9, 0.06).at(x, y, front + 1.08), shaded(wall, 0.75))
    if chance(rng, 0.5):
        half = 0.5 * depth + 0.4
        roof = prism([(-half, 0), (half, 0), (0.0, rng.uniform(0.5, 0.9) * half)], width).turned("y", 90)
        sketch.add("roof", roof.at(y=tall), shaded(masonry(rng), 0.55))
    else:
        sketch.add("plain", box(width + 0.3, 0.5, depth + 0.3).at(y=tall), shaded(wall, 0.7))
    if chance(rng, 0.5):
        sketch.add("chimney", box(0.8, 1.5, 0.8).at(0.3 * width, tall + 0.6, -0.1 * depth), (0.5, 0.27, 0.2))
    roles = _roles("facade")
    return prop_of(sketch.finish("town house", tuple(roles), np.ones(3)), roles)
