"""Files of weights: read without unpickling more than tensors and plain containers, and written whole."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject


def require_file(path: str | Path) -> Path:
    """The path, if there is such a file; raises FileNotFoundError if not."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"found no checkpoint at {path}, expected a file: check the path")
    return path


def strip_prefix(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def load_weights_strict(network: nn.Module, weights: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Load weights into a network in place; raises ValueError, which says its name, if they are another one's."""
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"found weights in {path} that do not fit {name} ({_first_line(error)}), expected a checkpoint of this "
            "architecture: choose the one it was trained with"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Everything in a torch file that holds tensors and plain containers only.

    Raises:
        ValueError: if the file is damaged, or would need code of its own to be read.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"found objects in {path} that only their own code can read, expected tensors and plain containers: "
            "save the network's state_dict instead"
        ) from error
    except (RuntimeError, EOFError, OSError, zipfile.BadZipFile, KeyError) as error:
        raise ValueError(
            f"found {path} unreadable ({_first_line(error)}), expected a torch checkpoint: fetch or save it again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"found a {type(content).__name__} in {path}, expected a state_dict: save one")
    return content


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights and metadata of a safetensors file.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"found {path} unreadable ({_first_line(error)}), expected safetensors: export it again"
        ) from error


def write_safetensors(path: Path, weights: Mapping[str, Tensor], key: str, record: JsonObject) -> None:
    """Write weights, with a record as JSON under a key of the metadata."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with atomic_write(path) as file:
        file.write(save(plain, metadata={key: json.dumps(record)}))


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
