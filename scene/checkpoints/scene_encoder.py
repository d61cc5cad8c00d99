"""Point encoders of scenes from checkpoints of format 1, which had keys of their own, and from MinkowskiEngine's."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from crosspoint.checkpoints.load import ENCODER_PREFIX, load_weights_strict, read_checkpoint, require_file, strip_prefix
from crosspoint.scene.checkpoints.minkowski_engine import load_minkowski
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig

SCENE_ENCODER_KEY = "crosspoint_scene_encoder"  # where a checkpoint keeps the configuration of its encoder
POINTNET2_KEY = "crosspoint_pointnet2"  # the same of SimIPU's
VOXELS_KEY = "crosspoint_voxels"  # and that of the voxels it was trained on


class SceneEncoder(NamedTuple):
    """A network and the voxels that it was trained on; None where the file does not say."""

    network: MinkUNet
    voxels: VoxelConfig | None


def load_scene_encoder(path: str | Path) -> SceneEncoder:
    """A ready encoder in eval mode from such a checkpoint of `crosspoint pretrain`, or from MinkowskiEngine's weights.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is none of these, is damaged, or holds another architecture.
    """
    path = require_file(path)
    content = read_checkpoint(path)
    if POINTNET2_KEY in content:
        raise ValueError(f"found SimIPU's point network in {path}, expected a MinkUNet: use its image network")
    if SCENE_ENCODER_KEY not in content:
        return SceneEncoder(load_minkowski(path).eval(), None)
    network = MinkUNet(**content[SCENE_ENCODER_KEY])
    load_weights_strict(network, strip_prefix(content["state_dict"], ENCODER_PREFIX), path, "MinkUNet")
    return SceneEncoder(network.eval(), VoxelConfig(**content[VOXELS_KEY]))
