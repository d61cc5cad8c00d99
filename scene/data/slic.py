"""SLIC, which divides an image into regions of one color and place: scikit-image's, and a faster way to use it.

Achanta et al., SLIC Superpixels Compared to State-of-the-Art Superpixel Methods, TPAMI 2012,
https://doi.org/10.1109/TPAMI.2012.120.
"""

from __future__ import annotations

import importlib
import math
from types import ModuleType

import numpy as np
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

BLUR = 1.5  # pixels of the smaller image: a Gaussian of this width leaves 1e-5 of what it cannot hold
STEP = 16  # pixels of the smaller image between seeds, at least: regions of fewer are all border
FRAGMENT = 0.25  # share of the mean region's size below which a piece is joined to another


def scikit_image_slic(image: np.ndarray, segments: int, compactness: float, sigma: float) -> np.ndarray:
    """The regions as scikit-image's `slic` finds them: (H, W) integers from 0.

    Args:
        image: (H, W, 3) uint8.
        segments: about how many regions.
        compactness: weight of place against color.
        sigma: width of the blur before, in pixels.

    Raises:
        ImportError: if scikit-image is not installed.
    """
    return _part("segmentation").slic(image, n_segments=segments, compactness=compactness, sigma=sigma, start_label=0)


def reduced_slic(image: np.ndarray, segments: int, compactness: float, sigma: float) -> np.ndarray:
    """The regions of an image that is reduced as far as the blur allows: (H, W) integers from 0 without a gap.

    The blur removes all detail that a smaller image could not hold. So scikit-image's clustering runs on means of n × n
    pixels, n = sigma / 1.5, with what is left of the blur, and its regions are spread over the pixels: at SLidR's sigma
    of 3 it sees a quarter as many. What it leaves in pieces is joined by `join_fragments`.

    Arguments and errors are those of `scikit_image_slic`.
    """
    height, width = image.shape[:2]
    factor = reduction((height, width), segments, sigma)
    small = np.asarray(Image.fromarray(image).reduce(factor), dtype=np.float32) / np.float32(255)
    blur = math.sqrt(sigma**2 - (factor**2 - 1) / 12) / factor  # a mean of n pixels has the variance (n² − 1) / 12
    clusters = _part("segmentation").slic(
        small,
        n_segments=segments,
        compactness=compactness,
        sigma=(blur, blur),
        enforce_connectivity=False,
        start_label=0,
    )
    regions = join_fragments(clusters, FRAGMENT * clusters.size / segments)
    return regions.repeat(factor, axis=0).repeat(factor, axis=1)[:height, :width]


def reduction(size: tuple[int, int], segments: int, sigma: float) -> int:
    """By how much the sides of an image (H, W) can shrink before it is divided; 1 where every pixel is needed."""
    step = math.sqrt(size[0] * size[1] / segments)
    return max(1, min(int(sigma / BLUR), int(step / STEP)))


def join_fragments(clusters: np.ndarray, least: float) -> np.ndarray:
    """Connected regions from clusters that may lie in pieces.

    Each piece below `least` pixels joins the neighbor with which it shares the longest border, all at once, and again
    until none is left. scikit-image gives such a piece to the neighbor that it met last, however short their border.

    Args:
        clusters: (H, W) integers from 0.
        least: pixels.

    Returns:
        (H, W) integers from 0 without a gap; pixels of a number are connected by their sides.
    """
    pieces = _part("measure").label(clusters, background=-1, connectivity=1) - 1
    sizes = np.bincount(pieces.ravel())
    region = np.arange(len(sizes))  # of each piece
    one, other = _borders(pieces)
    while True:
        small = (sizes < least)[one]
        if not small.any():
            return region[pieces]
        count = len(sizes)
        pair, length = np.unique(one[small] * count + other[small], return_counts=True)
        fragment, neighbor = np.divmod(pair, count)
        order = np.lexsort((-neighbor, length, fragment))
        chosen = order[np.diff(fragment[order], append=count) > 0]  # the last one of each fragment: its longest border
        ends = fragment[chosen].astype(np.int32), neighbor[chosen].astype(np.int32)  # SciPy 1.11 takes no int64 here
        links = coo_array((np.ones(len(chosen)), ends), shape=(count, count))
        _, joined = connected_components(links, directed=False)
        joined = joined.astype(np.int64)
        sizes, region = np.bincount(joined, weights=sizes), joined[region]
        one, other = joined[one], joined[other]
        one, other = one[one != other], other[one != other]


def _borders(pieces: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Both pieces wherever pixels of two stand side by side, in either order: two arrays of int64."""
    above, below, left, right = pieces[:-1], pieces[1:], pieces[:, :-1], pieces[:, 1:]
    level, upright = above != below, left != right
    one = np.concatenate([above[level], left[upright]]).astype(np.int64)
    other = np.concatenate([below[level], right[upright]]).astype(np.int64)
    return np.concatenate([one, other]), np.concatenate([other, one])


def _part(name: str) -> ModuleType:
    """A part of scikit-image."""
    try:
        return importlib.import_module("skimage." + name)
    except ImportError as error:
        raise ImportError(
            f"found no working scikit-image ({error}), expected it for superpixels: pip install scikit-image"
        ) from error
