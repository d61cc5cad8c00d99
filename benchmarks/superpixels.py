"""Superpixels by both methods of `SuperpixelConfig`: time for an image, and how well regions keep to what is there.

Frames of the embedded world say of each pixel to which object it belongs. `--labeled IMAGE LABELS` adds an image with
a PNG of labels, as it is and turned and mirrored, `--photos FOLDER` images below a folder, which have no labels: there,
regions are compared with scikit-image's. What such figures can be at most is told by scikit-image's regions of the
mirrored image, mirrored back.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import maximum_filter
from torch import Tensor

from benchmarks.measure import medians, options, report, rounds
from crosspoint.scene.data.superpixels import SuperpixelConfig, superpixels
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from crosspoint.scene.synthetic.views import moved, photograph

SEGMENTS = 150
MORE = 200  # segments with which scikit-image has about as many regions as "reduced" with 150
THEIRS = "scikit_image"
Divide = Callable[[Tensor], np.ndarray]


class Picture(NamedTuple):
    """An image (3, H, W) uint8 of some set, and the label (H, W) of each pixel, where there are any."""

    set: str
    image: Tensor
    truth: np.ndarray | None


def by(method: str, segments: int = SEGMENTS) -> Divide:
    config = SuperpixelConfig(segments, method=method)
    return lambda image: superpixels(image, config).numpy()


def mirrored(image: Tensor) -> np.ndarray:
    return np.ascontiguousarray(by(THEIRS)(image.flip(2))[:, ::-1])


def tiles(image: Tensor) -> np.ndarray:
    """Rectangles, whatever the image shows."""
    height, width = image.shape[1:]
    side = (height * width / SEGMENTS) ** 0.5
    down, across = max(1, round(height / side)), max(1, round(width / side))
    return (np.arange(height) * down // height)[:, None] * across + np.arange(width) * across // width


WAYS: dict[str, Divide] = {
    "reduced": by("reduced"),
    THEIRS: by(THEIRS),
    f"{THEIRS}, {MORE} segments": by(THEIRS, MORE),
    f"{THEIRS}, mirrored": mirrored,
    "tiles": tiles,
}


def borders(regions: np.ndarray) -> np.ndarray:
    """Pixels (H, W) bool with a neighbor of another region by a side."""
    found = np.zeros(regions.shape, bool)
    level, upright = regions[1:] != regions[:-1], regions[:, 1:] != regions[:, :-1]
    found[1:] |= level
    found[:-1] |= level
    found[:, 1:] |= upright
    found[:, :-1] |= upright
    return found


def boundary_recall(regions: np.ndarray, truth: np.ndarray, within: int = 2) -> float:
    """The share of the truth's border pixels with a border of the regions at most some pixels away."""
    near = maximum_filter(borders(regions), size=2 * within + 1)
    return float(near[borders(truth)].mean())


def undersegmentation(regions: np.ndarray, truth: np.ndarray) -> float:
    """How much regions spill over objects: Σ min(inside, outside) over all overlaps of a region and an object, by area.

    Neubert and Protzel, Superpixel Benchmark and Comparison, 2012.
    """
    shared = overlaps(regions, truth)
    return float(np.minimum(shared, shared.sum(axis=1, keepdims=True) - shared).sum() / truth.size)


def achievable_accuracy(regions: np.ndarray, truth: np.ndarray) -> float:
    """The share of pixels that are right where each region has the one best label (Liu et al., CVPR 2011)."""
    return float(overlaps(regions, truth).max(axis=1).sum() / truth.size)


def overlaps(regions: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Pixels that each region (rows) shares with each object (columns)."""
    count = int(truth.max()) + 1
    pairs = np.bincount((regions * count + truth).ravel(), minlength=(int(regions.max()) + 1) * count)
    return pairs.reshape(-1, count)


def renumbered(labels: np.ndarray) -> np.ndarray:
    """Labels (H, W) or colors (H, W, C) as numbers (H, W) from 0."""
    flat = labels.reshape(*labels.shape[:2], -1)
    _, numbers = np.unique(flat.reshape(-1, flat.shape[2]), axis=0, return_inverse=True)
    return numbers.reshape(labels.shape[:2])


def streets(count: int, size: tuple[int, int]) -> Iterator[Picture]:
    """Views of the embedded world, a street each, by class and object."""
    scenes = SyntheticScenes("val", sequences=count, frames=1, size=size)
    for sequence in range(count):
        world = scenes.world(sequence)
        image, fragments = photograph(world, moved(scenes.cameras, world.poses[0]))
        face = fragments.face[0].numpy()
        labels, objects = (np.where(face >= 0, values[face], -1) for values in (world.labels, world.objects))
        yield Picture("embedded world", image, renumbered(np.stack([labels, objects], axis=2)))


def turned(image: Path, labels: Path) -> Iterator[Picture]:
    """An image with labels in four orientations, as one image says little: where seeds lie changes all regions."""
    pixels = read(image)
    with Image.open(labels) as file:
        truth = renumbered(np.array(file))
    for flips in ((), (0,), (1,), (0, 1)):
        shown = pixels.flip([1 + axis for axis in flips])
        yield Picture(image.parent.name, shown, np.ascontiguousarray(np.flip(truth, flips)))


def read(path: Path) -> Tensor:
    with Image.open(path) as file:
        return torch.from_numpy(np.array(file.convert("RGB"))).permute(2, 0, 1).contiguous()


def photos(folder: Path, most: int) -> Iterator[Picture]:
    """Some images below a folder, spread evenly."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    for place in np.unique(np.linspace(0, len(paths) - 1, most).astype(int)):
        yield Picture(folder.name, read(paths[place]), None)


def figures(picture: Picture) -> Iterator[tuple[str, dict[str, float]]]:
    """For each way its number of regions, and how they keep to labels or, without these, to scikit-image's regions."""
    theirs = WAYS[THEIRS](picture.image)
    for way, divide in WAYS.items():
        regions = theirs if way == THEIRS else divide(picture.image)
        row = {"regions": float(regions.max() + 1)}
        if picture.truth is None:
            row["border_precision"] = boundary_recall(theirs, regions)
        else:
            row["undersegmentation"] = undersegmentation(regions, picture.truth)
        truth = theirs if picture.truth is None else picture.truth
        row["border_recall"] = boundary_recall(regions, truth)
        row["achievable_accuracy"] = achievable_accuracy(regions, truth)
        yield way, row


def measure(pictures: list[Picture], repeats: int) -> list[dict[str, Any]]:
    """A row for each way: seconds of one core for the first picture, and means over all of them."""
    image = pictures[0].image
    timed = {way: lambda divide=divide: divide(image) for way, divide in WAYS.items() if way != "tiles"}
    seconds = medians(timed, repeats, clock=time.process_time)
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for picture in pictures:
        for way, row in figures(picture):
            found[way].append(row)
    rows = []
    for way, each in found.items():
        about: dict[str, Any] = {"images": f"{len(pictures)} × {image.shape[1]} × {image.shape[2]}", "method": way}
        if way in seconds:
            about |= {"cpu_seconds": seconds[way], "faster": seconds[THEIRS] / seconds[way]}
        else:
            about |= {"cpu_seconds": "–", "faster": "–"}
        rows.append(about | {name: float(np.mean([row[name] for row in each])) for name in each[0]})
    return rows


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--photos", type=Path, nargs="+", default=[], help="folders of images")
    parser.add_argument("--labeled", type=Path, nargs=2, action="append", default=[], help="an image, a PNG of labels")
    parser.add_argument("--images", type=int, help="of each set, at most (default 10, quick 2)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    most, repeats = args.images or (2 if args.quick else 10), rounds(args)
    sets = [list(streets(most, (360, 640) if args.quick else (900, 1600)))]
    sets += [list(turned(image, labels)) for image, labels in args.labeled]
    labeled = [{"set": each[0].set} | row for each in sets for row in measure(each, repeats)]
    report("superpixels", labeled, args)
    unlabeled = [list(photos(folder, most)) for folder in args.photos]
    if unlabeled:
        rows = [{"set": each[0].set} | row for each in unlabeled for row in measure(each, repeats)]
        report("superpixels_photos", rows, args)


if __name__ == "__main__":
    main()
