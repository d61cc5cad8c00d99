"""Weak labels and regions of a dataset's images, read from folders of PNGs that mirror the images.

    <folder>/manifest.json                                             the names of the classes; not for regions
    <folder>/<path of the image relative to the dataset's root>.png    with this suffix in place of the image's own

A map is a grayscale PNG of 8 or 16 bits a pixel, of the size of its image: 0 where nothing is said, 1 to K for the
classes or the regions. Palette images are refused. Their numbers are places in a list of colors, which mean a class in
some files and a color alone in others, and nothing in the file says which.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crosspoint.renderers.files import IMAGE_FAULTS, reading, regular_file
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.labels.manifest import read_class_table

WEAK_LABELS, SUPERPIXELS = "weak_labels", "superpixels"
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KINDS = {0: "grayscale", 2: "color", 3: "palette", 4: "grayscale with alpha", 6: "color with alpha"}


class PixelMaps:
    """The folders of maps that a dataset was given; each of them may be None.

    Args:
        root: the dataset's folder, from which the paths of its images count.
        weak_labels: folder of maps of classes, with its manifest.
        superpixels: folder of maps of regions.

    Attributes:
        names: of the pixel maps that frames get: "weak_labels", "superpixels", both or none.
        classes: names of the weak labels 1 to K, from the manifest.

    Raises:
        FileNotFoundError: if a folder, or the manifest of the weak labels, is not there.
        ValueError: if the manifest is broken.
    """

    def __init__(
        self, root: str | Path, weak_labels: str | Path | None = None, superpixels: str | Path | None = None
    ) -> None:
        self.root = Path(root)
        given = {WEAK_LABELS: weak_labels, SUPERPIXELS: superpixels}
        self.folders = {name: Path(folder) for name, folder in given.items() if folder is not None}
        for name, folder in self.folders.items():
            if not folder.is_dir():
                raise FileNotFoundError(f"found no folder {folder}, expected {name}: PNGs that mirror {self.root}")
        self.names = frozenset(self.folders)
        self.classes = read_class_table(self.folders[WEAK_LABELS]) if WEAK_LABELS in self.folders else []

    def files(self, images: Sequence[Path]) -> list[Path]:
        """The maps of images: those of the first folder, then those of the second.

        Raises:
            ValueError: if an image lies outside of the root.
        """
        return [map_path(folder, image, self.root) for folder in self.folders.values() for image in images]

    def add_to(self, sample: LidarSample, images: Sequence[Path]) -> LidarSample:
        """The sample with its maps, (V, H, W) int64 each.

        "weak_labels" hold the numbers of the file, 0 where nothing is said; "superpixels" the number − 1, so −1 where
        there is no region.

        Args:
            sample: with V images, before any augmentation.
            images: the V files that they were read from.

        Raises:
            FileNotFoundError: if a map is not there.
            ValueError: if there are not V files, or an image lies outside of the root, or a map is no grayscale PNG of
                its image's size, or holds a number without a class.
        """
        if not self.folders:
            return sample
        if len(images) != len(sample.images) or not images:
            raise ValueError(
                f"found {len(images)} image files of {sample.name} with {len(sample.images)} images, expected one for "
                f"each and at least one, to find {' and '.join(self.folders)}: see LidarDataset.image_files"
            )
        maps = dict(sample.pixel_maps)
        for name, folder in self.folders.items():
            paths = [map_path(folder, image, self.root) for image in images]
            numbers = torch.zeros(len(paths), *sample.image_size, dtype=torch.int64)
            for path, (height, width), into in zip(paths, sample.image_sizes.tolist(), numbers, strict=True):
                into[:height, :width] = read_map(path, (height, width))
            if name == WEAK_LABELS:
                self._check(numbers, paths)
            maps[name] = numbers if name == WEAK_LABELS else numbers - 1
        return replace(sample, pixel_maps=maps)

    def _check(self, labels: Tensor, paths: Sequence[Path]) -> None:
        highest, count = labels.flatten(1).amax(dim=1), len(self.classes)
        for path, number in zip(paths, highest.tolist(), strict=True):
            if number > count:
                raise ValueError(
                    f"found the number {number} in {path}, expected at most {count}, the classes that its manifest "
                    "names: the file belongs to another folder, or the manifest does"
                )


def map_path(folder: str | Path, image: Path, root: str | Path) -> Path:
    """Where the map of an image lies: `<folder>/<path of the image relative to root>`, with the suffix .png.

    Raises:
        ValueError: if the image lies outside of the root.
    """
    try:
        place = image.absolute().relative_to(Path(root).absolute())
    except ValueError:
        raise ValueError(
            f"found the image {image} outside of {root}, expected it inside: maps mirror the folder of a dataset"
        ) from None
    return Path(folder) / place.with_suffix(".png")


def read_map(path: Path, size: tuple[int, int]) -> Tensor:
    """Read the numbers of a map.

    Args:
        path: the file.
        size: (H, W) of its image.

    Returns:
        (H, W) int64.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is no grayscale PNG of 8 or 16 bits, damaged, or of another size.
    """
    regular_file(path, "the map of an image")
    with reading(path, "the map of an image"), path.open("rb") as file:
        head = file.read(26)
    # Pillow stretches 2 and 4 bits to the range of 8 and does not say so: the header does.
    depth, kind = (head[24], head[25]) if head.startswith(_SIGNATURE) and len(head) == 26 else (0, -1)
    if kind != 0 or depth not in (8, 16):
        found = f"a {_KINDS.get(kind, 'strange')} PNG of {depth} bits" if kind >= 0 else "no PNG"
        advice = "if the places in its palette are the numbers, save them" if kind == 3 else "save the numbers so"
        raise ValueError(f"found {found} in {path}, expected a grayscale one of 8 or 16 bits: {advice}")
    try:
        with Image.open(path) as image:
            if image.size != (size[1], size[0]):  # before its pixels are unpacked
                raise _of_another_size(path, (image.size[1], image.size[0]), size)
            numbers = np.asarray(image).astype(np.int64)
    except IMAGE_FAULTS as error:
        if str(error).startswith("found "):
            raise
        raise ValueError(f"found a map that cannot be read, {path} ({error}), expected a whole one") from None
    return torch.from_numpy(numbers)


def _of_another_size(path: Path, found: tuple[int, int], size: tuple[int, int]) -> ValueError:
    return ValueError(
        f"found a map of {found[0]}×{found[1]} pixels, {path}, expected {size[0]}×{size[1]} as its image: "
        "make the map anew from this image"
    )
