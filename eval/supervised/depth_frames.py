"""Images with their depth, as batches: what a depth estimator is trained on and measured with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Generator, Tensor

from crosspoint.eval.supervised.depth_augmentation import augment_images
from crosspoint.eval.supervised.depth_config import DepthConfig
from crosspoint.eval.supervised.trainer import Examples
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.sparse_depth import DEPTH, with_depth

log = logging.getLogger("crosspoint")


class DepthImages(NamedTuple):
    """The images of a frame."""

    name: str
    images: Tensor  # (V, 3, H, W) uint8; (V, 3, 0, 0) where maps stand for them
    depth: Tensor  # (V, H, W) float32 meters, 0 where nothing is measured; may be sparse
    sizes: Tensor  # (V, 2) int64: H and W of each image within the arrays, at their top left
    maps: Sequence[Tensor] = ()  # (V, C, h, w) of each stage, where an encoder has seen them


class DepthBatch(NamedTuple):
    """The images of several frames, one after the other."""

    images: Tensor  # (I, 3, H, W) uint8
    depth: Tensor  # (I, H, W) float32
    sizes: Tensor  # (I, 2) int64
    maps: list[Tensor]  # (I, C, h, w) each; empty where the images are to be encoded


class DepthExamples(Examples, Protocol):
    """Examples that say how they become a batch."""

    def collate(self, frames: Sequence[DepthImages]) -> DepthBatch:
        """Frames → a batch."""
        ...


class DepthFrames:
    """Frames of a dataset as images with depth: the frame's pixel map "depth", or else that of its sweep.

    Args:
        dataset: with images, and with cameras or maps of depth.
        recipe: how images are cut, and how they are augmented.
        every: keep one of n frames, as `LidarDataset.thinned` chooses them.
        augment: as the recipe and the item's seed say.

    Raises:
        ValueError: if there is no frame, or the first one cannot be used.
    """

    def __init__(self, dataset: LidarDataset, recipe: DepthConfig, *, every: int = 1, augment: bool = False) -> None:
        self.dataset = dataset
        self.recipe = recipe
        self.indices = dataset.thinned(every)
        self.augment = augment
        if len(self) == 0:
            raise ValueError(f"found no frame in {dataset.name}, expected at least one: check the split and the folder")
        self[0, 0]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, item: tuple[int, int]) -> DepthImages:
        """The frame of an (index, seed) pair."""
        index, seed = item
        frame = self.whole(index)
        if not self.augment:
            return frame
        generator = Generator().manual_seed(seed)
        images, depth = augment_images(frame.images, frame.depth, self.recipe, generator)
        return frame._replace(images=images, depth=depth, sizes=_whole_sizes(images))

    def whole(self, index: int) -> DepthImages:
        """A frame without augmentation.

        Raises:
            ValueError: if it has no images, no depth can be had, or an image is smaller than what is cut.
        """
        frame = with_depth(self.dataset[self.indices[index]])
        images, depth = frame.images, frame.pixel_maps[DEPTH].float()
        if self.recipe.cut is None:
            return DepthImages(frame.name, images, depth, frame.image_sizes)
        parts = [_bottom(frame, view, self.recipe.cut) for view in range(len(images))]
        images = torch.stack([images[view, :, rows, columns] for view, (rows, columns) in enumerate(parts)])
        depth = torch.stack([depth[view, rows, columns] for view, (rows, columns) in enumerate(parts)])
        return DepthImages(frame.name, images, depth, _whole_sizes(images))

    def collate(self, frames: Sequence[DepthImages]) -> DepthBatch:
        """Frames → a batch; ValueError if sizes of images differ."""
        return stack_frames(frames)

    def fingerprint(self) -> np.ndarray:
        """Images and depth of the first and the last frame, float32, by which the data are known again."""
        frames = [self.whole(0), self.whole(len(self) - 1)]
        return np.concatenate([part.float().flatten().numpy() for frame in frames for part in frame[1:3]])


class EncodedImages:
    """Frames whose images a frozen encoder has seen: the maps that fit are kept, others computed at every access.

    A frame is encoded by itself, so its maps are the same however many are kept.

    Args:
        encode: images (V, 3, H, W) uint8 → maps, on any device.
        frames: as they are, without augmentation.
        stages: how many of the last maps are kept.
        keep: bytes that may be kept.
        progress: show a bar, where the output is a terminal.
    """

    def __init__(
        self,
        encode: Callable[[Tensor], Sequence[Tensor]],
        frames: DepthFrames,
        *,
        stages: int,
        keep: int,
        progress: bool = False,
    ) -> None:
        self.apply, self.frames, self.stages = encode, frames, stages
        self.kept: list[DepthImages] = []  # of the first frames
        console, left = Console(stderr=True), keep
        hidden = not (progress and console.is_terminal)
        for number in track(range(len(frames)), "features", console=console, disable=hidden):
            frame = self.encode(number)
            left -= sum(part.element_size() * part.nelement() for part in frame.maps) + 28 * frame.depth._nnz()
            if left < 0:
                told = "kept the features of %d of %d frames of %s in %.3g GB; the others are computed at every epoch"
                log.info(told, number, len(frames), frames.dataset.name, keep / 1e9)
                break
            self.kept.append(frame)

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, item: tuple[int, int]) -> DepthImages:
        index, _ = item
        return self.kept[index] if index < len(self.kept) else self.encode(index)

    def encode(self, index: int) -> DepthImages:
        """A frame with maps for its images."""
        frame = self.frames[index, 0]
        maps = [part.cpu() for part in self.apply(frame.images)[-self.stages :]]
        return frame._replace(images=frame.images[:, :, :0, :0], depth=frame.depth.to_sparse(), maps=maps)

    def collate(self, frames: Sequence[DepthImages]) -> DepthBatch:
        """Frames → a batch with maps."""
        return stack_frames([frame._replace(depth=frame.depth.to_dense()) for frame in frames])


def stack_frames(frames: Sequence[DepthImages]) -> DepthBatch:
    """Join frames whose images have one size; ValueError if they differ."""
    sizes = {tuple(frame.depth.shape[1:]) for frame in frames}
    if len(sizes) > 1:
        told = " and ".join(f"{height}×{width}" for height, width in sorted(sizes))
        raise ValueError(
            f"found images of {told} pixels in a batch, expected one size: set recipe.cut to a height and a width that "
            "all have, [352, 1216] for KITTI"
        )
    return DepthBatch(
        torch.cat([frame.images for frame in frames]),
        torch.cat([frame.depth for frame in frames]),
        torch.cat([frame.sizes for frame in frames]),
        [torch.cat(parts) for parts in zip(*(frame.maps for frame in frames), strict=True)],
    )


def _bottom(frame: LidarSample, view: int, size: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of the part of an image, of `size` (H, W), at its bottom and in the middle."""
    height, width = frame.image_sizes[view].tolist()
    top, left = height - size[0], (width - size[1]) // 2
    if top < 0 or width < size[1]:
        raise ValueError(
            f"found an image of {height}×{width} pixels in {frame.name}, expected at least {size[0]}×{size[1]}: set "
            "recipe.cut to what all images have"
        )
    return slice(top, height), slice(left, left + size[1])


def _whole_sizes(images: Tensor) -> Tensor:
    return torch.tensor(images.shape[2:]).expand(len(images), 2)
