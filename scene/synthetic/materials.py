"""Materials of surfaces: their brightness for a laser, and their pattern for a camera."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

SIDE = 128  # pixels of a texture


class Material(NamedTuple):
    """A kind of surface; its color belongs to the object that wears it."""

    reflectivity: float  # for a laser of about 900 nm, at normal incidence
    texture: str | None = None
    period: float = 1.0  # meters after which the texture repeats
    depth: float = 0.0  # meters by which a beam enters it, at random: leaves and grass
    smooth: bool = False  # round: shaded with normals shared by neighboring faces


# Plausible numbers rather than measured ones: near 0.9 µm asphalt is dark, living leaves are bright, and glass sends
# most of the light elsewhere.
MATERIALS = {
    "asphalt": Material(0.16, "asphalt", 4.0),
    "marking": Material(0.6, "asphalt", 4.0),
    "slabs": Material(0.32, "slabs", 2.0),
    "kerb": Material(0.36, "plaster", 2.0),
    "grass": Material(0.45, "grass", 3.0, depth=0.02),
    "leaves": Material(0.5, "leaves", 1.6, depth=0.08),
    "bark": Material(0.3, "bark", 1.0, smooth=True),
    "brick": Material(0.35, "brick", 1.2),
    "plaster": Material(0.5, "plaster", 5.0),
    "facade": Material(0.4, "facade", 3.2),
    "tiles": Material(0.3, "tiles", 1.5),
    "planks": Material(0.42, "planks", 1.0),
    "wood": Material(0.42),
    "glass": Material(0.06),
    "paint": Material(0.45, smooth=True),
    "rubber": Material(0.05, smooth=True),
    "lamp": Material(0.6, smooth=True),
    "metal": Material(0.4, smooth=True),
    "reflector": Material(1.6),  # retro-reflecting film: most of its returns saturate
    "cloth": Material(0.4, smooth=True),
    "skin": Material(0.5, smooth=True),
}
MATERIAL_NAMES = tuple(MATERIALS)


def material_values(field: str) -> np.ndarray:
    """One number of every material, in the order of `MATERIAL_NAMES`."""
    return np.array([getattr(material, field) for material in MATERIALS.values()])


@cache
def textures() -> tuple[tuple[str, ...], tuple[Tensor, ...]]:
    """Names of the textures, and the textures (SIDE, SIDE, 3) uint8, repeating without a seam.

    They multiply the color of an object, so they are mostly bright. They are the same in every world.
    """
    rng = np.random.default_rng(0)
    painters = (asphalt, slabs, grass, leaves, bark, brick, plaster, facade, tiles, planks)
    images = (np.clip(painter(rng), 0.0, 1.0) * 255.0 for painter in painters)
    return tuple(painter.__name__ for painter in painters), tuple(
        torch.from_numpy(np.rint(np.broadcast_to(_rgb(image), (SIDE, SIDE, 3))).astype(np.uint8)) for image in images
    )


def _rgb(image: np.ndarray) -> np.ndarray:
    return image[..., None] if image.ndim == 2 else image


def blotches(rng: np.random.Generator, size: float) -> np.ndarray:
    """Smooth noise (SIDE, SIDE) of unit variance, its blotches `size` pixels wide."""
    noise = gaussian_filter(rng.normal(size=(SIDE, SIDE)), size, mode="wrap")
    return (noise - noise.mean()) / noise.std()


def _grid() -> tuple[np.ndarray, np.ndarray]:
    """Row and column of each pixel as shares of the side; row 0 is the top."""
    share = (np.arange(SIDE) + 0.5) / SIDE
    return np.meshgrid(share, share, indexing="ij")


def asphalt(rng: np.random.Generator) -> np.ndarray:
    """Grain and worn patches."""
    return 0.82 + 0.07 * blotches(rng, 0.6) + 0.05 * blotches(rng, 14)


def slabs(rng: np.random.Generator) -> np.ndarray:
    """Paving stones, four to a side, each of its own gray, with dark joints."""
    row, column = _grid()
    shade = rng.uniform(0.78, 0.98, (4, 4))[(row * 4).astype(int), (column * 4).astype(int)]
    joint = (np.minimum(row * 4 % 1, column * 4 % 1) < 0.06) * 0.3
    return shade - joint + 0.03 * blotches(rng, 0.7)


def grass(rng: np.random.Generator) -> np.ndarray:
    """Blades and bare patches."""
    blades, patches = blotches(rng, 0.8), blotches(rng, 9)
    light = 0.75 + 0.13 * blades
    return np.stack([light + 0.1 * patches, light + 0.02 * patches, light - 0.1 * np.abs(patches)], axis=2)


def leaves(rng: np.random.Generator) -> np.ndarray:
    """Bright leaves before dark gaps."""
    light = 0.68 + 0.2 * blotches(rng, 1.6) + 0.12 * blotches(rng, 5)
    return np.stack([light, light * 1.04, light * 0.9], axis=2)


def bark(rng: np.random.Generator) -> np.ndarray:
    """Upright furrows."""
    noise = gaussian_filter(rng.normal(size=(SIDE, SIDE)), (12, 1.2), mode="wrap")
    return 0.75 + 0.18 * noise / noise.std()


def brick(rng: np.random.Generator) -> np.ndarray:
    """Courses of bricks, every other one moved by half a brick."""
    row, column = _grid()
    course = (row * 12).astype(int)
    along = column * 4 + 0.5 * (course % 2)
    shade = rng.uniform(0.7, 0.98, (12, 5))[course, along.astype(int) % 4]
    joint = (row * 12 % 1 < 0.14) | (along % 1 < 0.05)
    return np.where(joint, 0.95, shade) + 0.03 * blotches(rng, 0.8)


def plaster(rng: np.random.Generator) -> np.ndarray:
    """Nearly even."""
    return 0.9 + 0.03 * blotches(rng, 1.0) + 0.03 * blotches(rng, 16)


def facade(rng: np.random.Generator) -> np.ndarray:
    """One storey with one window in its frame; the wall keeps the color of the house."""
    row, column = _grid()
    wall = np.repeat(plaster(rng)[..., None], 3, axis=2)
    frame = (np.abs(column - 0.5) < 0.26) & (np.abs(row - 0.47) < 0.29)
    pane = (np.abs(column - 0.5) < 0.22) & (np.abs(row - 0.47) < 0.25) & (np.abs(column - 0.5) > 0.015)
    ledge = row > 0.96
    wall[frame] = 1.0
    glass = np.array([0.22, 0.27, 0.33]) * (0.7 + 0.6 * (1 - row))[..., None]
    wall = np.where(pane[..., None], glass, wall)
    return np.where(ledge[..., None], wall * 0.7, wall)


def tiles(rng: np.random.Generator) -> np.ndarray:
    """Rows of roof tiles, darker toward their lower edges."""
    row, column = _grid()
    shade = rng.uniform(0.75, 0.95, (10, 10))[(row * 10).astype(int), (column * 10).astype(int)]
    return shade * (1.0 - 0.35 * (row * 10 % 1) ** 3)


def planks(rng: np.random.Generator) -> np.ndarray:
    """Upright boards with gaps between them."""
    _, column = _grid()
    shade = rng.uniform(0.72, 0.98, 8)[(column * 8).astype(int)]
    return np.where(column * 8 % 1 < 0.1, 0.35, shade) + 0.05 * bark(rng)
