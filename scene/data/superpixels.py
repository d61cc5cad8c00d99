"""Superpixels: regions of an image that one color and place hold together, found once per image and kept on disk."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crosspoint.renderers.atomic import atomic_write, clear_drafts
from crosspoint.renderers.files import IMAGE_FAULTS
from crosspoint.renderers.parallel import in_processes
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.slic import reduced_slic, scikit_image_slic

Method = Literal["reduced", "scikit_image"]  # in the names of cached files: who changes what one finds renames it


@dataclass(frozen=True)
class SuperpixelConfig:
    """How images are divided; the defaults are SLidR's for MinkUNet, but for the method.

    "scikit_image" is what SLidR's code calls. "reduced" takes a fifth of the time. It clusters alike, on an image as
    small as the blur allows, and it joins pieces below a quarter of the mean size to the neighbor of the longest common
    border, where scikit-image gives those below half of it to any neighbor. Its regions are others: more of them for
    the same `segments`, and closer to objects (docs/performance.md has figures).

    Args:
        segments: about how many superpixels an image gets; around 150 was SLidR's best
        compactness: weight of place against color
        sigma: width of the blur before, in pixels
        method: reduced or scikit_image
    """

    segments: int = 150
    compactness: float = 6.0
    sigma: float = 3.0
    method: Method = "reduced"

    def __post_init__(self) -> None:
        if not (2 <= self.segments <= 2**15 and self.compactness > 0 and self.sigma >= 0):
            raise ValueError(
                f"found {self.segments} segments, compactness {self.compactness} and sigma {self.sigma}, expected 2 to "
                "32,768 segments, a compactness above 0 and a sigma from 0"
            )
        if self.method not in get_args(Method):
            raise ValueError(f"found the method {self.method!r}, expected one of: {', '.join(get_args(Method))}")


def superpixels(image: Tensor, config: SuperpixelConfig) -> Tensor:
    """Divide an image by SLIC (Achanta et al., 2012, https://doi.org/10.1109/TPAMI.2012.120).

    Args:
        image: (3, H, W) uint8.
        config: how.

    Returns:
        (H, W) int64: numbers of regions from 0 without a gap, each region connected.

    Raises:
        ImportError: if scikit-image is not installed.
    """
    divide = {"reduced": reduced_slic, "scikit_image": scikit_image_slic}[config.method]
    pixels = image.permute(1, 2, 0).contiguous().numpy()
    regions = divide(pixels, config.segments, config.compactness, config.sigma)
    return torch.from_numpy(regions.astype(np.int64))


def divide_images(
    images: Tensor, sizes: Tensor | None = None, divide: Callable[[Tensor], Tensor] | None = None
) -> Tensor:
    """The regions of images (V, 3, H, W) uint8: (V, H, W) int64.

    Args:
        images: V arrays.
        sizes: (V, 2) H and W of the image at the top left of each; beyond it there is no region, −1. None fills them.
        divide: the regions of one image; None finds them by SLIC with the defaults of `SuperpixelConfig`.

    Raises:
        ImportError: if scikit-image is needed and not installed.
    """
    divide = divide or partial(superpixels, config=SuperpixelConfig())
    whole = torch.tensor(images.shape[2:]).expand(len(images), 2)
    regions = images.new_full((len(images), *images.shape[2:]), -1, dtype=torch.int64)
    for image, (height, width), into in zip(images, (whole if sizes is None else sizes).tolist(), regions, strict=True):
        into[:height, :width] = divide(image[:, :height, :width])
    return regions


class SuperpixelCache:
    """The superpixels of images, read from a folder or found and left there.

    A file belongs to the bytes of an image and the configuration: another image or setting gets another file, the same
    image in another dataset the same. Files are PNGs of the regions' numbers (8 or 16 bit) and appear whole, so that
    several processes may fill one folder.

    Args:
        folder: made when first written to.
        config: how images are divided.
    """

    def __init__(self, folder: str | Path, config: SuperpixelConfig | None = None) -> None:
        self.folder = Path(folder)
        self.config = config or SuperpixelConfig()

    def __call__(self, images: Tensor, sizes: Tensor | None = None) -> Tensor:
        """The regions of images (V, 3, H, W) uint8: (V, H, W) int64.

        Args:
            images: V arrays.
            sizes: (V, 2) H and W of the image at the top left of each; beyond it no region, −1. None fills the arrays.

        Raises:
            ImportError: if some are not there yet and scikit-image is not installed.
            ValueError: if a file cannot be read or has another size.
        """
        if len(images) == 0:
            return torch.zeros(0, *images.shape[2:], dtype=torch.int64)
        return divide_images(images, sizes, self._regions)

    def add_to(self, sample: LidarSample) -> LidarSample:
        """The sample with the pixel map "superpixels", its own where it has one.

        Before any augmentation, which would make images of its own.
        """
        if "superpixels" in sample.pixel_maps:
            return sample
        return replace(sample, pixel_maps={**sample.pixel_maps, "superpixels": self(sample.images, sample.image_sizes)})

    def path(self, image: Tensor) -> Path:
        """Where the regions of an image (3, H, W) uint8 are kept."""
        settings = json.dumps({**asdict(self.config), "size": list(image.shape[1:])}, sort_keys=True)
        digest = hashlib.sha256(settings.encode())
        digest.update(image.contiguous().numpy().data)
        return self.folder / f"{digest.hexdigest()[:32]}.png"

    def _regions(self, image: Tensor) -> Tensor:
        path = self.path(image)
        if path.is_file():
            return _read(path, (image.shape[1], image.shape[2]))
        regions = superpixels(image, self.config)
        kind = np.uint8 if int(regions.max()) < 2**8 else np.uint16
        with atomic_write(path) as file:
            Image.fromarray(regions.numpy().astype(kind)).save(file, format="PNG")
        return regions


def compute_superpixels(dataset: LidarDataset, cache: SuperpixelCache, jobs: int = -1) -> int:
    """Fill a cache with the superpixels of all images of a dataset, several frames at a time.

    Frames that bring a pixel map "superpixels" are left out.

    Args:
        dataset: its images must be the same at every access.
        cache: where to.
        jobs: processes; −1 for one per core.

    Returns:
        How many images have superpixels in the cache.

    Raises:
        ImportError: if scikit-image is not installed and regions are missing.
        ValueError: if a frame or a file of the cache cannot be read.
    """
    clear_drafts(cache.folder)
    work = in_processes(_fill, ((dataset, cache, index) for index in range(len(dataset))), jobs)
    count = sum(work)
    clear_drafts(cache.folder)  # of workers of a cluster that died on the way
    return count


def _fill(dataset: LidarDataset, cache: SuperpixelCache, index: int) -> int:
    frame = dataset[index]
    return 0 if "superpixels" in frame.pixel_maps else len(cache(frame.images, frame.image_sizes))


def _read(path: Path, size: tuple[int, int]) -> Tensor:
    try:
        with Image.open(path) as file:
            regions = np.asarray(file).astype(np.int64)
    except IMAGE_FAULTS as error:
        raise ValueError(f"found {path} unreadable ({error}), expected regions as PNG: delete it") from error
    if regions.shape != size:
        raise ValueError(f"found regions of size {regions.shape} in {path}, expected {size}: delete it")
    return torch.from_numpy(regions)
