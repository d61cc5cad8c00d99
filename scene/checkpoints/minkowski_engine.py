"""Adapter of MinkowskiEngine: weights that SLidR and its relatives saved, translated name by name.

Names follow model/res16unet.py of https://github.com/valeoai/SLidR (after Xie et al., 2020,
https://arxiv.org/abs/2007.10985), shapes MinkowskiEngine 0.5: `kernel` is (offsets, C_in, C_out) with x running fastest
among the offsets, as in `crosspoint.scene.ops.kernel_maps`, and (C_in, C_out) for a single offset.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosspoint.checkpoints.adapters import ENCODER, Weights, state_dict_of
from crosspoint.checkpoints.record import Inputs, Record
from crosspoint.plugins import SHORT_NAMES, plain
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig

STAGES = 4
MODULES = {
    **{"stem.0": "conv0p1s1", "stem.1": "bn0"},
    **{f"down.{i}.0": f"conv{i + 1}p{2**i}s2" for i in range(STAGES)},
    **{f"down.{i}.1": f"bn{i + 1}" for i in range(STAGES)},
    **{f"encoder.{i}": f"block{i + 1}" for i in range(STAGES)},
    **{f"up.{i}.0": f"convtr{STAGES + i}p{2 ** (STAGES - i)}s2" for i in range(STAGES)},
    **{f"up.{i}.1": f"bntr{STAGES + i}" for i in range(STAGES)},
    **{f"decoder.{i}": f"block{STAGES + 1 + i}" for i in range(STAGES)},
}  # ours → theirs
# What their networks saw, as their data code makes it: cylindrical voxels, the intensity as nuScenes stores it.
VOXELS = VoxelConfig(intensity_scale=255.0)


def adapt(content: Mapping[str, Any], path: Path) -> Weights | None:
    """The trunk of a Res16UNet as a record of our `MinkUNet`; None where the file is another one.

    The file's head `final` stays behind. Which voxels the network saw, the file does not say: they are taken to be
    SLidR's.

    Raises:
        ValueError: if a layer is missing.
    """
    state = {name.removeprefix("model_points."): tensor for name, tensor in state_dict_of(content).items()}
    if "conv0p1s1.kernel" not in state:
        return None
    arguments, weights = read_minkowski(state)
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(VOXELS))
    record = Record({"class_path": SHORT_NAMES["encoder"]["minkunet"], "init_args": plain(arguments)}, inputs)
    return Weights(record, {f"{ENCODER}{name}": weight for name, weight in weights.items()})


def read_minkowski(content: Mapping[str, Tensor]) -> tuple[JsonObject, dict[str, Tensor]]:
    """A state_dict of MinkowskiEngine's as the arguments of a `MinkUNet` and its weights.

    Args:
        content: names as in the public code.

    Raises:
        ValueError: if a layer is missing.
    """
    try:
        arguments = _arguments(content)
        with torch.device("meta"):
            names = list(MinkUNet(**arguments).state_dict())
        weights = {name: content[minkowski_name(name)] for name in names}
    except KeyError as error:
        raise ValueError(
            f"found no {error} among the weights, expected every layer of a Res16UNet as MinkowskiEngine "
            "names them: other networks, such as those of torchsparse and spconv, cannot be read"
        ) from error
    return arguments, {n: w[None] if n.endswith("kernel") and w.ndim == 2 else w for n, w in weights.items()}


def minkowski_name(name: str) -> str:
    """What an entry of our state_dict is called in the public code's."""
    module = next(ours for ours in MODULES if name.startswith(ours + "."))
    rest = name.removeprefix(module).replace(".norm.", ".bn.").replace(".shortcut.", ".downsample.")
    return MODULES[module] + rest


def _arguments(content: Mapping[str, Tensor]) -> JsonObject:
    volume, in_channels, stem = content["conv0p1s1.kernel"].shape
    widths = [content[f"block{b}.0.conv1.kernel"].shape[2] for b in range(1, 2 * STAGES + 1)]
    depths = [
        sum(n.startswith(f"block{b}.") and n.endswith(".conv1.kernel") for n in content)
        for b in range(1, 2 * STAGES + 1)
    ]
    return {
        "in_channels": in_channels,
        "stem": stem,
        "stem_kernel": round(volume ** (1 / 3)),
        "encoder": widths[:STAGES],
        "encoder_blocks": depths[:STAGES],
        "decoder": widths[STAGES:],
        "decoder_blocks": depths[STAGES:],
    }
