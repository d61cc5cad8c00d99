"""Features of all raw points of a frame: those that an encoder of voxels gives the voxels that hold them."""

from __future__ import annotations

import numpy as np
import torch

from crosspoint.checkpoints.pretrained import Pretrained
from crosspoint.scene.data.batch import voxelize_sample
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelBatch, VoxelConfig, collate

_DESCRIBES = {"points": "whole clouds of objects", "sweeps": "a sample of a frame's points, not all of them"}


def frame_features(pretrained: Pretrained, frame: LidarSample) -> np.ndarray:
    """Features of every point of a frame; the points of one voxel have the same.

    The cloud is cut as in training, and described whole by the encoder in evaluation mode, without its head.

    Args:
        pretrained: what `load_pretrained` gives; its encoder takes voxels.
        frame: N points, N > 0, with the field "intensity".

    Returns:
        (N, C) float32.

    Raises:
        ValueError: if the encoder takes no voxels or others than these, or gives numbers that are not finite; or if
            the frame has no intensity, or a point that is not finite.
    """
    encoder, inputs, path = pretrained.encoder, pretrained.inputs, pretrained.path
    network = type(encoder).__name__
    if inputs.kind != "voxels":
        raise ValueError(
            f"found a {network} in {path}, which describes {_DESCRIBES[inputs.kind]}, expected an encoder of voxels: "
            "give a checkpoint of a MinkUNet, as ppkt and slidr train it"
        )
    config = VoxelConfig(**(inputs.voxels or {}))
    channels = getattr(encoder, "in_channels", config.channels)
    if channels != config.channels:
        raise ValueError(
            f"found a {network} for {channels} features of a voxel in {path}, expected {config.channels}, as frames "
            "give them"
        )
    device = next((weight.device for weight in encoder.parameters()), torch.device("cpu"))
    voxels = collate([voxelize_sample(frame, config)])
    with torch.inference_mode():
        described = encoder(SparseTensor.of(VoxelBatch(*(part.to(device) for part in voxels)))).float().cpu()
    broken = int((~described.isfinite().all(dim=1)).sum())
    if broken:
        raise ValueError(
            f"found NaN or infinite features in {broken} of {len(described)} voxels of {frame.name}, expected finite "
            f"ones: the weights in {path} have probably diverged; take an earlier checkpoint"
        )
    features: np.ndarray = described[voxels.inverse].numpy()
    return features
