"""Class images with the mistakes of image models: what becomes of the true ones when a network has drawn them.

A network that was trained on other streets moves borders by a few pixels, misses small objects, takes whole regions for
a class that looks alike, and is unsure at borders and of some regions. Here each of these is drawn at random, with a
strength of its own. Networks repeat a mistake in the next frame; here frames and cameras are drawn apart, so that the
mistakes of several views of a place cancel sooner than theirs.

With the default strengths, on 20 streets of the embedded world, nothing is said of 8.1 % of the pixels that have a
class; of the others 90.9 % are right, and the mIoU of the ten classes is 68.0 %
(`crosspoint synthesize OUT --train 0 --val 20 --frames 5 --imperfect 0`). That is about what networks with a fixed list
of classes reach on streets unlike those that they learned from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from scipy import ndimage
from skimage.measure import label

from crosspoint.scene.synthetic.asset import CLASSES

# How often a region of a class is taken for another one: for those that networks mix up in street scenes.
CONFUSED: dict[str, dict[str, float]] = {
    "road": {"sidewalk": 0.03, "terrain": 0.02},
    "sidewalk": {"road": 0.10, "terrain": 0.10},
    "terrain": {"sidewalk": 0.10, "vegetation": 0.14, "road": 0.03},
    "building": {"vegetation": 0.02, "fence": 0.02},
    "fence": {"building": 0.15, "vegetation": 0.10},
    "vegetation": {"building": 0.04, "terrain": 0.03, "fence": 0.01},
    "pole": {"building": 0.10, "traffic sign": 0.05, "vegetation": 0.05},
    "traffic sign": {"building": 0.15, "pole": 0.08},
    "car": {"building": 0.04},
    "pedestrian": {"building": 0.08, "car": 0.04, "pole": 0.04},
}


@dataclass(frozen=True)
class Imperfection:
    """Strengths of the mistakes; those that are 0 are not made.

    Args:
        shift: root mean square of the displacement of borders along each axis, in pixels
        waves: pixels over which displacement and width of the border change
        missed: pixels of a connected component that is missed with a probability of 1/e; it falls to 1/e² at twice the
            size, and so on; its place goes to what surrounds it
        patches: pixels over which a large component falls into regions, each of which is mistaken by itself
        confusion: factor on the probabilities of `CONFUSED`
        unsure_regions: probability that nothing is said of a region
        unsure_border: mean distance from a border, in pixels, within which nothing is said

    Raises:
        ValueError: if a strength is out of range.
    """

    shift: float = 1.3
    waves: float = 12.0
    missed: float = 50.0
    patches: float = 60.0
    confusion: float = 1.0
    unsure_regions: float = 0.03
    unsure_border: float = 0.7

    def __post_init__(self) -> None:
        strengths = (self.shift, self.missed, self.confusion, self.unsure_regions, self.unsure_border)
        most = self.unsure_regions + self.confusion * max(sum(others.values()) for others in CONFUSED.values())
        sound = all(0 <= strength < np.inf for strength in strengths) and most <= 1
        if not sound or not (1 <= self.waves < np.inf and 1 <= self.patches < np.inf):
            raise ValueError(
                f"found {self}, expected finite strengths from 0, waves and patches from 1 pixel, and no class that "
                f"is mistaken or unsaid with a probability above 1 ({most:g})"
            )


IMPERFECTION = Imperfection()


def imperfect(truth: np.ndarray, seed: Sequence[int], strengths: Imperfection = IMPERFECTION) -> np.ndarray:
    """A class image as an image model would have drawn it.

    Args:
        truth: (H, W) integers: 1 to K for the classes, 0 for none, such as the sky.
        seed: integers ≥ 0 that decide all that is drawn.
        strengths: of the mistakes.

    Returns:
        (H, W) int64: 1 to K, or 0 where the truth is or nothing is said.
    """
    rng = np.random.default_rng([*seed])
    seen = _miss_small_ones(truth.astype(np.int64), strengths.missed, rng)
    seen = _take_for_others(seen, strengths, rng)
    seen = _move_borders(seen, strengths, rng)
    return _hush_borders(seen, strengths, rng)


def _miss_small_ones(seen: np.ndarray, size: float, rng: Generator) -> np.ndarray:
    """Give some connected components to what is nearest."""
    pieces = label(seen, background=-1, connectivity=1)
    areas = np.bincount(pieces.reshape(-1))
    lost = areas < rng.exponential(size, len(areas))
    lost[areas.argmax()] = False  # something must be there to take their place
    nearest = ndimage.distance_transform_edt(lost[pieces], return_distances=False, return_indices=True)
    return np.asarray(seen[tuple(nearest)])


def _take_for_others(seen: np.ndarray, strengths: Imperfection, rng: Generator) -> np.ndarray:
    """Give whole regions another class, or none."""
    half = smooth_noise(seen.shape, strengths.patches, rng) > 0
    regions = label(2 * seen + half, background=-1, connectivity=1) - 1
    first = np.unique(regions, return_index=True)[1]
    table = _answers(strengths).cumsum(axis=1)[seen.reshape(-1)[first], :-1]
    answers = (rng.random(len(first))[:, None] >= table).sum(axis=1)
    return np.asarray(answers[regions])


def _answers(strengths: Imperfection) -> np.ndarray:
    """How often which number is given, (K + 1, K + 1): a row for each number of the truth."""
    table = np.zeros((len(CLASSES) + 1, len(CLASSES) + 1))
    for name, others in CONFUSED.items():
        for other, probability in others.items():
            table[CLASSES.index(name) + 1, CLASSES.index(other) + 1] = strengths.confusion * probability
    table[1:, 0] = strengths.unsure_regions
    np.fill_diagonal(table, 1.0 - table.sum(axis=1))
    return table


def _move_borders(seen: np.ndarray, strengths: Imperfection, rng: Generator) -> np.ndarray:
    """Take each pixel's number from a place nearby."""
    places = np.indices(seen.shape)
    for axis, size in enumerate(seen.shape):
        shift = strengths.shift * smooth_noise(seen.shape, strengths.waves, rng)
        places[axis] = np.rint(places[axis] + shift).clip(0, size - 1)
    return np.asarray(seen[tuple(places)])


def _hush_borders(seen: np.ndarray, strengths: Imperfection, rng: Generator) -> np.ndarray:
    """Say nothing in bands along borders, whose width changes and which break off where it falls to 0."""
    across, down = seen[:, 1:] != seen[:, :-1], seen[1:] != seen[:-1]
    border = np.pad(across, ((0, 0), (1, 0))) | np.pad(across, ((0, 0), (0, 1)))
    border |= np.pad(down, ((1, 0), (0, 0))) | np.pad(down, ((0, 1), (0, 0)))
    if not border.any():
        return seen
    distance = ndimage.distance_transform_edt(~border) + 0.5
    width = strengths.unsure_border * (1.0 + smooth_noise(seen.shape, strengths.waves, rng))
    return np.where(distance < width, 0, seen)


def smooth_noise(shape: Sequence[int], spacing: float, rng: Generator) -> np.ndarray:
    """A field that is normally distributed, with mean 0 and variance 1 at each place, and changes over `spacing`.

    Random numbers on a coarse grid, weighted by cubic B-splines along each axis.

    Args:
        shape: of the field.
        spacing: of the grid, in pixels.
        rng: what the numbers are drawn from.

    Returns:
        float64 of that shape.
    """
    field = rng.standard_normal([int(np.ceil(size / spacing)) + 3 for size in shape])
    for axis, size in enumerate(shape):
        t, cell = np.modf((np.arange(size) + 0.5) / spacing)
        weights = np.stack([(1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3])
        weights /= np.linalg.norm(weights, axis=0)  # independent numbers: squares of weights add up to the variance
        field = np.moveaxis(field, axis, -1)
        # Sums of four terms, not a product of matrices, whose last bit depends on the number of threads.
        field = sum(weight * field[..., cell.astype(int) + k] for k, weight in enumerate(weights))
        field = np.moveaxis(field, -1, axis)
    return field
