"""Base of the methods whose encoder takes voxels: how samples become a batch, and what the checkpoint says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from crosspoint.checkpoints.record import Inputs
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.data.batch import LidarBatch, stack_samples
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.methods.scene_method import SceneMethod
from crosspoint.scene.models.birdseye_encoder import check_grid
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig

VOXELS = VoxelConfig()


class VoxelMethod(SceneMethod):
    """Method for scenes that are cut into voxels when a batch is collated.

    Subclasses set `voxels` in their constructor.
    """

    voxels: VoxelConfig

    def collate(self, samples: Sequence[LidarSample]) -> LidarBatch:
        """Samples → a batch with voxels."""
        return stack_samples(samples, self.voxels)

    def describe(self, batch: LidarBatch) -> Tensor:
        """The encoder's features of all voxels (M, encoder.feature_dim)."""
        features: Tensor = self.encoder(SparseTensor.of(batch.voxelized))
        return features

    def inputs(self, dataset: Any) -> Inputs:
        """Voxels."""
        return Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(self.voxels))


def check_channels(encoder: PointEncoder, voxels: VoxelConfig) -> None:
    """Raise ValueError if an encoder that says how many features a voxel has, or which space, expects other voxels."""
    check_grid(encoder, voxels)
    channels = getattr(encoder, "in_channels", voxels.channels)
    if channels != voxels.channels:
        raise ValueError(
            f"found encoder.in_channels {channels} and method.voxels.features {voxels.features}, expected "
            f"{voxels.channels} channels: match them"
        )
