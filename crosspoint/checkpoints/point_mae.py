"""Adapter of weights in the names of Point-MAE's code (https://github.com/Pang-Yatian/Point-MAE).

`encoder` is the PointNet of the patches, `blocks.blocks` the transformer, `pos_embed` the position. They stand below
"MAE_encoder." in files of pre-training, and alone where a network was fine-tuned.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosspoint.checkpoints.adapters import ENCODER, Weights, state_dict_of
from crosspoint.checkpoints.record import Inputs, Record
from crosspoint.plugins import SHORT_NAMES

MARK = "encoder.first_conv.0.weight"  # a layer that only these networks have
CONTAINERS = ("base_model",)  # beside the usual ones
HEAD = 64  # features of an attention head, in all published sizes
GROUPS, SIZE = 64, 32  # patches of a cloud, points of a patch: the same
POINTS = 1024  # of a cloud in the published configuration, which no weight tells
OURS = {
    "embed.first.0.linear": "encoder.first_conv.0",
    "embed.first.0.norm": "encoder.first_conv.1",
    "embed.first.1": "encoder.first_conv.3",
    "embed.second.0.linear": "encoder.second_conv.0",
    "embed.second.0.norm": "encoder.second_conv.1",
    "embed.second.1": "encoder.second_conv.3",
    "position.0": "pos_embed.0",
    "position.2": "pos_embed.2",
    "norm": "norm",
}
OURS_OF_A_BLOCK = {
    "norm1": "norm1",
    "norm2": "norm2",
    "qkv": "attn.qkv",
    "out": "attn.proj",
    "mlp.0": "mlp.fc1",
    "mlp.2": "mlp.fc2",
}
ENTRIES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def adapt(content: Mapping[str, Any], path: Path) -> Weights | None:
    """Weights of a point transformer in Point-MAE's names; None where the file is another one.

    A file of pre-training has no class token, one of a fine-tuned network has.

    Raises:
        ValueError: if a layer is missing, or the network is another one in the same names.
    """
    inner = next((content[name] for name in CONTAINERS if isinstance(content.get(name), Mapping)), content)
    state = _below_its_prefix(state_dict_of(inner))
    if MARK not in state:
        return None
    width = len(state["encoder.second_conv.3.bias"]) if "encoder.second_conv.3.bias" in state else 0
    depth = len({name.split(".")[2] for name in state if name.startswith("blocks.blocks.")})
    arguments = {
        "groups": GROUPS,
        "size": SIZE,
        "width": width,
        "depth": depth,
        "heads": max(1, width // HEAD),
        "class_token": "cls_token" in state,
    }
    record = Record(
        {"class_path": SHORT_NAMES["encoder"]["point_transformer"], "init_args": arguments},
        Inputs(points=POINTS),
    )
    return Weights(record, {f"{ENCODER}{name}": weight for name, weight in _translated(state, depth, path).items()})


def _below_its_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's own names, where a prefix such as "MAE_encoder." stands before each of them."""
    for name in state:
        prefix = name.removesuffix(MARK)
        if prefix != name:
            return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return state


def _translated(state: Mapping[str, Tensor], depth: int, path: Path) -> dict[str, Tensor]:
    table = dict(OURS)
    for block in range(depth):
        table |= {f"blocks.{block}.{ours}": f"blocks.blocks.{block}.{name}" for ours, name in OURS_OF_A_BLOCK.items()}
    weights: dict[str, Tensor] = {}
    for ours, name in table.items():
        found = {entry: state[f"{name}.{entry}"] for entry in ENTRIES if f"{name}.{entry}" in state}
        if "weight" not in found:
            raise ValueError(
                f"found no {name}.weight in {path}, expected every layer of a transformer in Point-MAE's names: the "
                "file is incomplete, or of a network with other blocks"
            )
        for entry, weight in found.items():
            convolution = weight.ndim == 3 and entry == "weight"  # of width 1: a linear layer
            weights[f"{ours}.{entry}"] = weight.squeeze(-1) if convolution else weight
    if "cls_token" in state:
        weights["class_token"] = torch.cat([state["cls_token"].flatten(0, 1), state["cls_pos"].flatten(0, 1)])
    return weights
