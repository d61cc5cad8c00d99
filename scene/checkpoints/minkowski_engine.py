"""Weights that SLidR and its relatives saved with MinkowskiEngine, translated name by name.

Names follow model/res16unet.py of https://github.com/valeoai/SLidR (after Xie et al., 2020,
https://arxiv.org/abs/2007.10985), shapes MinkowskiEngine 0.5: `kernel` is (offsets, C_in, C_out) with x running fastest
among the offsets, as in `crosspoint.scene.ops.kernel_maps`, and (C_in, C_out) for a single offset.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosspoint.checkpoints.adapters import ENCODER, Weights, state_dict_of
from crosspoint.checkpoints.record import Inputs, Record
from crosspoint.plugins import SHORT_NAMES
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
CONTAINERS = ("model_points", "state_dict")  # of SLidR's model.pt and of Lightning's checkpoints
STEM = "conv0p1s1.kernel"
INTENSITY = 255.0  # SLidR's networks saw nuScenes' intensities as they are


def load_minkowski(path: str | Path) -> MinkUNet:
    """A MinkUNet with the trunk's weights from a file, in eval mode; the file's head `final` stays behind.

    Its inputs must be made as they were there: SLidR's networks take cylindrical voxels and the intensity as nuScenes
    has it, from 0 to 255.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds anything beyond tensors and plain containers, or no MinkUNet.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"found no weights at {path}, expected a file: check the path")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"found no plain weights in {path}, expected a torch file of tensors: save the network's state_dict again"
        ) from error
    for container in CONTAINERS:
        if isinstance(content, Mapping) and container in content:
            content = content[container]
    if not isinstance(content, Mapping):
        raise ValueError(f"found a {type(content).__name__} in {path}, expected a state_dict: save that")
    arguments, weights = read_minkowski(content)
    network = MinkUNet(**arguments)
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"found weights in {path} that do not fit: {reason}; expected a Res16UNet's") from error
    return network.eval()


def adapt(content: Mapping[str, Any], path: Path) -> Weights | None:
    """A file of MinkowskiEngine's as weights of a `MinkUNet` with its record; None where it is of another kind.

    Raises:
        ValueError: if a layer is missing.
    """
    state = {name.removeprefix("model_points."): weight for name, weight in state_dict_of(content).items()}
    if STEM not in state:
        return None
    arguments, weights = read_minkowski(state)
    inputs = Inputs(
        kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(VoxelConfig()), intensity_scale=INTENSITY
    )
    record = Record({"class_path": SHORT_NAMES["encoder"]["minkunet"], "init_args": arguments}, inputs)
    return Weights(record, {f"{ENCODER}{name}": weight for name, weight in weights.items()})


def read_minkowski(content: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """A state_dict of MinkowskiEngine's as the arguments of a `MinkUNet` and its weights.

    Args:
        content: names as in the public code, with or without a "module." or "model_points." in front.

    Raises:
        ValueError: if a layer is missing.
    """
    content = {name.removeprefix("module.").removeprefix("model_points."): tensor for name, tensor in content.items()}
    try:
        arguments = _arguments(content)
        with torch.device("meta"):
            names = list(MinkUNet(**arguments).state_dict())
        weights = {name: content[minkowski_name(name)] for name in names}
    except KeyError as error:
        raise ValueError(
            f"found no {error} among the weights, expected every layer of a Res16UNet: save the whole network again"
        ) from error
    return arguments, {n: w[None] if n.endswith("kernel") and w.ndim == 2 else w for n, w in weights.items()}


def minkowski_name(name: str) -> str:
    """What an entry of our state_dict is called in the public code's."""
    module = next(ours for ours in MODULES if name.startswith(ours + "."))
    rest = name.removeprefix(module).replace(".norm.", ".bn.").replace(".shortcut.", ".downsample.")
    return MODULES[module] + rest


def _arguments(content: Mapping[str, Tensor]) -> dict[str, Any]:
    volume, in_channels, stem = content[STEM].shape
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
