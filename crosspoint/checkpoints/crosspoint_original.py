"""Adapter of the original CrossPoint code: its weights, translated key by key.

Names and shapes follow models/dgcnn.py of https://github.com/MohamedAfham/CrossPoint. Its networks list each BatchNorm
twice (as `bn1` and as `conv1.1`), keep 1×1 convolutions as (D, C, 1, 1), and put the difference half of an edge feature
first, as ours do.
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
from crosspoint.renderers.json_object import JsonObject

NEIGHBORS = 15  # of the original's pre-training
NORM = ("weight", "bias", "running_mean", "running_var")

# ours → the original's, without ".weight" (linear maps) and the entries of NORM
CLASSIFICATION = {
    **{f"edges.{i}": (f"conv{i + 1}.0", f"conv{i + 1}.1") for i in range(4)},
    "embed.linear": ("conv5.0", None),
    "embed.norm": (None, "conv5.1"),
}
_SHARED_LAYERS = {
    "transform.edge.first": ("transform_net.conv1.0", "transform_net.conv1.1"),
    "transform.edge.second": ("transform_net.conv2.0", "transform_net.conv2.1"),
    "transform.embed": ("transform_net.conv3.0", "transform_net.conv3.1"),
    # The attribute bn3 is assigned twice there: the norm of conv3 lives on as conv3.1, bn3 belongs to linear1.
    "transform.hidden.0": ("transform_net.linear1", "transform_net.bn3"),
    "transform.hidden.1": ("transform_net.linear2", "transform_net.bn4"),
    "edge1.first": ("conv1.0", "conv1.1"),
    "edge1.second": ("conv2.0", "conv2.1"),
    "edge2.first": ("conv3.0", "conv3.1"),
    "edge2.second": ("conv4.0", "conv4.1"),
    "embed": ("conv6.0", "conv6.1"),
}
PART_SEGMENTATION = {
    **{f"{ours}.linear": (linear, None) for ours, (linear, _) in _SHARED_LAYERS.items()},
    **{f"{ours}.norm": (None, norm) for ours, (_, norm) in _SHARED_LAYERS.items()},
    "edge3": ("conv5.0", "conv5.1"),
}


def adapt(content: Mapping[str, Any], path: Path) -> Weights | None:
    """Weights of the original's classification or part-segmentation network; None where the file is another one.

    The file says nothing of the clouds of training; the original pre-trains with 15 neighbors.

    Raises:
        ValueError: if a layer is missing.
    """
    state = _bare(state_dict_of(content))
    if not is_original(state):
        return None
    name, arguments, weights = read_original(state)
    record = Record({"class_path": SHORT_NAMES["encoder"][name], "init_args": arguments}, Inputs())
    return Weights(record, {f"{ENCODER}{entry}": weight for entry, weight in weights.items()})


def _bare(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The network's own names, where a wrapper's name such as "encoder." stands before each of them."""
    for name in state:
        prefix = name.removesuffix("conv1.0.weight")
        if prefix != name and f"{prefix}conv5.0.weight" in state:
            return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {**state}


def is_original(state: Mapping[str, object]) -> bool:
    """Whether a state_dict has the original's layout."""
    return {"conv1.0.weight", "conv1.1.running_mean", "conv5.0.weight"} <= state.keys()


def read_original(state: Mapping[str, Tensor]) -> tuple[str, JsonObject, dict[str, Tensor]]:
    """The original's state_dict as short name, arguments and weights of our encoder; heads and decoders stay behind.

    Raises:
        ValueError: if a layer is missing.
    """
    segmentation = "transform_net.conv1.0.weight" in state
    table = PART_SEGMENTATION if segmentation else CLASSIFICATION
    weights: dict[str, Tensor] = {}
    try:
        for ours, (linear, norm) in table.items():
            if linear is not None:
                weights[f"{ours}.weight"] = state[f"{linear}.weight"].flatten(1)
            if norm is not None:
                prefix = ours if ours.endswith("norm") else f"{ours}.norm"
                weights.update({f"{prefix}.{entry}": state[f"{norm}.{entry}"] for entry in NORM})
                # torch before 0.4.1 kept no counter, and nothing that is read here needs it.
                counter = state.get(f"{norm}.num_batches_tracked", torch.tensor(0))
                weights[f"{prefix}.num_batches_tracked"] = counter
        if segmentation:
            weights["transform.matrix.weight"] = state["transform_net.transform.weight"]
            weights["transform.matrix.bias"] = state["transform_net.transform.bias"]
            return "dgcnn_partseg", {"k": NEIGHBORS}, weights
    except KeyError as error:
        raise ValueError(
            f"found no {error} among the weights, expected every layer of the original CrossPoint network: "
            "the file is incomplete, save it again"
        ) from error
    channels = [state[f"conv{i}.0.weight"].shape[0] for i in range(1, 5)]
    embedding = state["conv5.0.weight"].shape[0]
    return "dgcnn", {"k": NEIGHBORS, "channels": channels, "embedding": embedding}, weights
