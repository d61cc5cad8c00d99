"""Several samples as one batch: what every method for scenes, and segmentation, is trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

import torch
from torch import Tensor

from crosspoint.scene.data.sample import Boxes, LidarSample, join_fields
from crosspoint.scene.ops.voxels import VoxelBatch, VoxelConfig, Voxels, collate, voxelize


class LidarBatch(NamedTuple):
    """Frames, one after the other: rows and images count through all of them."""

    points: Tensor  # (N, 3) float32
    point_fields: dict[str, Tensor]  # (N, …) each: those that all frames have
    point_offsets: Tensor  # (B + 1,) int64: frame b has the points from entry b up to entry b + 1
    images: Tensor  # (I, 3, H, W) uint8, the images of all frames
    pixel_maps: dict[str, Tensor]  # (I, H, W, …) each: those that all frames have
    pair_point: Tensor  # (P,) int64, rows of points
    pair_image: Tensor  # (P,) int64
    pair_pixel: Tensor  # (P, 2) float32, x and y
    pair_fields: dict[str, Tensor]  # (P, …) each: those that all frames have
    boxes: list[Boxes] | None = None  # of each frame; None where a frame has none
    voxels: VoxelBatch | None = None  # of all frames, where a method asks for them

    @property
    def voxelized(self) -> VoxelBatch:
        """The voxels; raises ValueError where there are none."""
        if self.voxels is None:
            raise ValueError("found a batch without voxels, expected them: pass a VoxelConfig to stack_samples")
        return self.voxels

    @property
    def pair_voxel(self) -> Tensor:
        """(P,) int64: the voxel of each pair's point."""
        return self.voxelized.inverse[self.pair_point]

    def points_with(self, *names: str) -> Tensor:
        """Points beside some of their fields: (N, 3 + fields) float32; ValueError if a frame lacks one."""
        return join_fields(self.points, self.point_fields, names, "a frame of a batch")


def voxelize_sample(sample: LidarSample, config: VoxelConfig) -> Voxels:
    """The voxels of a sample; its points need the field "intensity", and "time" where voxels have it."""
    return voxelize(sample.points_with(*config.fields), config)


def within_extent(sample: LidarSample, config: VoxelConfig) -> LidarSample:
    """The sample with those points alone, and their pairs, that lie in the extent of the voxels.

    Raises:
        ValueError: if none does.
    """
    keep = config.inside(sample.points)
    if bool(keep.all()):
        return sample
    if not bool(keep.any()):
        raise ValueError(
            f"found no point of {sample.name} within the extent {list(config.extent or ())}, expected some: choose "
            "another extent"
        )
    return sample.keep_points(keep)


def stack_samples(samples: Sequence[LidarSample], voxels: VoxelConfig | Sequence[Voxels] | None = None) -> LidarBatch:
    """Join samples whose images have one size.

    Args:
        samples: one or more.
        voxels: how the clouds are cut, or a cut for each sample; None where no voxels are needed. Points outside of
            their extent are left out.

    Raises:
        ValueError: if there is no sample, one has no point in the extent, or sizes of images differ.
    """
    if not samples:
        raise ValueError("found no sample, expected one or more to join: check the batch size")
    if isinstance(voxels, VoxelConfig) and voxels.extent is not None:
        samples = [within_extent(sample, voxels) for sample in samples]
    sizes = {sample.image_size for sample in samples if len(sample.images)}
    if len(sizes) > 1:
        raise ValueError(
            f"found images of sizes {sorted(sizes)} in a batch, expected one: set method.augmentation.size"
        )
    seeing = [sample for sample in samples if len(sample.images)] or samples[:1]
    starts = list(accumulate((len(sample.points) for sample in samples), initial=0))
    views = list(accumulate((len(sample.images) for sample in samples), initial=0))
    if isinstance(voxels, VoxelConfig):
        voxels = [voxelize_sample(sample, voxels) for sample in samples]
    boxes = [sample.boxes for sample in samples if sample.boxes is not None]
    return LidarBatch(
        points=torch.cat([sample.points for sample in samples]),
        point_fields=_join([sample.point_fields for sample in samples]),
        point_offsets=torch.tensor(starts),
        images=torch.cat([sample.images for sample in seeing]),
        pixel_maps=_join([sample.pixel_maps for sample in seeing]),
        pair_point=torch.cat([sample.pair_point + start for sample, start in zip(samples, starts, strict=False)]),
        pair_image=torch.cat([sample.pair_view + first for sample, first in zip(samples, views, strict=False)]),
        pair_pixel=torch.cat([sample.pair_pixel for sample in samples]),
        pair_fields=_join([sample.pair_fields for sample in samples]),
        boxes=boxes if len(boxes) == len(samples) else None,
        voxels=None if voxels is None else collate(voxels),
    )


def _join(parts: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The tensors of each name that all parts have, one after the other."""
    shared = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: torch.cat([part[name] for part in parts]) for name in shared}
