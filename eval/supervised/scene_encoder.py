"""The encoder that a training on labeled frames starts from, and what must fit it."""

from __future__ import annotations

from collections.abc import Sequence

from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.sparse_conv import use_backend
from crosspoint.scene.ops.voxels import VoxelConfig


def starting_encoder(encoder: PointEncoder, *, random: bool, norm_momentum: float | None) -> PointEncoder:
    """A copy of an encoder.

    Args:
        encoder: of voxels; it is not changed.
        random: with random weights from torch's global generator instead of its own.
        norm_momentum: of MinkUNet's BatchNorms between blocks; None leaves the encoder's.
    """
    arguments = encoder.config
    if norm_momentum is not None and "momentum" in arguments:  # of the encoder's BatchNorms, as MinkUNet has it
        arguments["momentum"] = norm_momentum
    start = type(encoder)(**arguments)
    if not random:
        start.load_state_dict(encoder.state_dict())
    if isinstance(encoder, MinkUNet):
        use_backend(start, encoder.backend)
    return start


def check_encoder(encoder: PointEncoder, voxels: VoxelConfig) -> None:
    """Refuse an encoder that does not describe such voxels; raises ValueError."""
    if not isinstance(encoder, PointEncoder) or encoder.inputs != "voxels":
        raise ValueError(
            f"found an encoder of type {type(encoder).__name__}, expected one of voxels: pass a network for scenes, "
            "such as MinkUNet"
        )
    if voxels.extent is not None:
        raise ValueError(
            f"found voxels with the extent {list(voxels.extent)}, expected none: every point is measured, however far "
            "away; leave the extent out of the voxels"
        )
    channels = getattr(encoder, "in_channels", voxels.channels)
    if channels != voxels.channels:
        raise ValueError(
            f"found an encoder for {channels} features of a voxel, expected {voxels.channels}: cut space as in its "
            "pre-training"
        )


def check_classes(train: LidarDataset, others: Sequence[LidarDataset]) -> None:
    """Refuse frames without classes, and frames to measure on that have other ones; raises ValueError."""
    if len(train.classes) < 2:
        raise ValueError(f"found classes {train.classes} in {train.name}, expected two or more: take labeled frames")
    for other in others:
        if other.classes != train.classes:
            raise ValueError(
                f"found {len(train.classes)} classes in {train.name} and {len(other.classes)} in {other.name}, "
                "expected the same names in the same order"
            )
