"""Several augmented frames as one batch: what every method for scenes is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from crosspoint.scene.data.sample import ScenePair
from crosspoint.scene.ops.voxels import VoxelBatch, VoxelConfig, Voxels, collate, voxelize


class SceneSample(NamedTuple):
    """One augmented frame and its voxels."""

    pair: ScenePair
    voxels: Voxels

    @classmethod
    def of(cls, pair: ScenePair, config: VoxelConfig) -> SceneSample:
        """Voxelize the cloud of a pair."""
        return cls(pair, voxelize(pair.points, config))


class SceneBatch(NamedTuple):
    """Frames, one after the other: rows and images count through all of them."""

    points: Tensor  # (N, 4) float32
    voxels: VoxelBatch  # of all frames; voxels.inverse maps points to voxels
    images: Tensor  # (I, 3, H, W) uint8, the images of all frames
    pair_point: Tensor  # (P,) int64, rows of points
    pair_image: Tensor  # (P,) int64
    pair_pixel: Tensor  # (P, 2) float32, x and y
    labels: Tensor  # (N,) int64
    regions: Tensor | None  # (I, H, W) int64, superpixels of each image from 0

    @property
    def pair_voxel(self) -> Tensor:
        """(P,) int64: the voxel of each pair's point."""
        return self.voxels.inverse[self.pair_point]


def stack_samples(samples: Sequence[SceneSample]) -> SceneBatch:
    """Join frames whose images have one size.

    Raises:
        ValueError: if there is no frame, or sizes of images differ.
    """
    voxels = collate([sample.voxels for sample in samples])
    pairs = [sample.pair for sample in samples]
    sizes = {tuple(pair.images.shape[2:]) for pair in pairs}
    if len(sizes) > 1:
        raise ValueError(f"found images of sizes {sorted(sizes)} in a batch, expected one: set augmentation.size")
    starts = voxels.point_offsets[:-1].tolist()
    views = torch.tensor([0, *(len(pair.images) for pair in pairs[:-1])]).cumsum(0).tolist()
    regions = [pair.regions for pair in pairs if pair.regions is not None]
    return SceneBatch(
        points=torch.cat([pair.points for pair in pairs]),
        voxels=voxels,
        images=torch.cat([pair.images for pair in pairs]),
        pair_point=torch.cat([pair.pair_point + start for pair, start in zip(pairs, starts, strict=True)]),
        pair_image=torch.cat([pair.pair_view + first for pair, first in zip(pairs, views, strict=True)]),
        pair_pixel=torch.cat([pair.pair_pixel for pair in pairs]),
        labels=torch.cat([pair.labels for pair in pairs]),
        regions=torch.cat(regions) if len(regions) == len(pairs) else None,
    )
