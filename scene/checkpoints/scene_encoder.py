"""Point encoders of scenes from files, with the voxels that they were trained on."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from crosspoint.checkpoints.pretrained import load_pretrained
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.ops.voxels import VoxelConfig


class SceneEncoder(NamedTuple):
    """A network and the voxels that it was trained on."""

    network: PointEncoder
    voxels: VoxelConfig


def load_scene_encoder(path: str | Path) -> SceneEncoder:
    """A ready encoder of voxels in eval mode, from any file that `load_pretrained` reads.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be used, or holds an encoder of points.
    """
    found = load_pretrained(path)
    if found.encoder.inputs != "voxels" or found.inputs.voxels is None:
        raise ValueError(
            f"found {type(found.encoder).__name__}, an encoder of points, in {path}, expected one of voxels, such as "
            "MinkUNet: of SimIPU, use the image network"
        )
    return SceneEncoder(found.encoder, VoxelConfig(**found.inputs.voxels))
