"""Weights of timm's networks from a file in its names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from crosspoint.checkpoints.files import read_checkpoint, read_safetensors

CONTAINERS = ("state_dict", "model")  # in which training scripts wrap the weights


def load_timm_weights(model: Any, network: str, path: str) -> None:
    """Give a network of timm without a classifier the weights of a file; each must be there, and none left over.

    Args:
        model: of `timm.create_model(network, num_classes=0)`.
        network: its name.
        path: safetensors, or torch's format, which is read without unpickling more than tensors.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or holds weights of another network.
    """
    file = Path(path)
    if not file.is_file():
        raise FileNotFoundError(
            f"found no file {path}, expected weights for {network}: give a file in timm's names (safetensors or "
            "torch), pretrained for those that timm downloads, or none for random weights"
        )
    found = read_safetensors(file)[0] if file.suffix == ".safetensors" else _tensors(read_checkpoint(file))
    own = model.state_dict()
    heads = _classifiers(model)
    found = {name: weight for name, weight in found.items() if name in own or not name.startswith(heads)}
    problems = {
        "without": sorted(own.keys() - found.keys()),
        "with unknown": sorted(found.keys() - own.keys()),
        "with other shapes of": sorted(
            name for name in own.keys() & found.keys() if own[name].shape != found[name].shape
        ),
    }
    told = [f"{what} {names[0]} ({len(names)} in all)" for what, names in problems.items() if names]
    if told:
        raise ValueError(
            f"found {path} {', '.join(told)}, expected those of {network} in timm's names: choose the network it was "
            "saved from"
        )
    model.load_state_dict(found)


def _tensors(content: dict[str, Any]) -> dict[str, Tensor]:
    for container in CONTAINERS:
        if isinstance(content.get(container), dict):
            content = content[container]
            break
    return {str(name): weight for name, weight in content.items() if torch.is_tensor(weight)}


def _classifiers(model: Any) -> tuple[str, ...]:
    """How the names of the classifier's weights begin."""
    names = model.pretrained_cfg.get("classifier") or ()
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names))
