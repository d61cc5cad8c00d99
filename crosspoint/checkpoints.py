"""Encoders from files and to files: checkpoints of our runs, safetensors exports, weights of the original CrossPoint.

Nothing is unpickled beyond tensors and plain containers (`weights_only=True`), and files appear whole or not at all.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from crosspoint.encoders import EncoderConfig, build_encoder, encoder_config
from crosspoint.original import is_original, read_original
from renderers.atomic import writing

ENCODER_KEY = "crosspoint_encoder"  # where a checkpoint or an export keeps its encoder's configuration
ENCODER_PREFIX = "method.encoder."  # of the encoder's weights in a training checkpoint


def load_encoder(path: str | Path, *, k: int | None = None) -> nn.Module:
    """A ready encoder in eval mode from any of the files that people have.

    Read are checkpoints of `crosspoint pretrain` (.ckpt), exports of `save_encoder` (.safetensors), and weights that
    the original CrossPoint code saved (.pth; plain or with DataParallel's "module." prefix; the classification and the
    part-segmentation network).

    Args:
        path: the file.
        k: neighbours per point, where it should differ from the file's; the original's files do not say and get 15.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is none of these, is damaged, or holds another architecture.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"found no checkpoint at {path}, expected a file: check the path")
    config, weights = _read_export(path) if path.suffix == ".safetensors" else _read_torch(path)
    encoder = build_encoder(config if k is None else replace(config, k=k))
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"found weights in {path} that do not fit {config.network} ({_first_line(error)}), "
            "expected a checkpoint of this architecture: choose the one it was trained with"
        ) from error
    return encoder.eval()


def save_encoder(encoder: nn.Module, path: str | Path) -> None:
    """Export an encoder as safetensors, with its configuration in the file's metadata.

    Raises:
        ValueError: if the encoder is none of the toolkit's own.
    """
    config = json.dumps(asdict(encoder_config(encoder)))
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    with writing(Path(path)) as file:
        file.write(save(weights, metadata={ENCODER_KEY: config}))


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


def _read_torch(path: Path) -> tuple[EncoderConfig, dict[str, Tensor]]:
    content = read_checkpoint(path)
    if ENCODER_KEY in content:
        weights = content["state_dict"]
        own = {name.removeprefix(ENCODER_PREFIX): w for name, w in weights.items() if name.startswith(ENCODER_PREFIX)}
        return EncoderConfig(**content[ENCODER_KEY]), own
    if is_original(content):
        return read_original(content)
    raise ValueError(
        f"found keys {[str(key) for key in list(content)[:4]]} … in {path}, expected a checkpoint of "
        "crosspoint pretrain or weights of the original CrossPoint: evaluate other networks from Python, with "
        "eval.extract_features"
    )


def _read_export(path: Path) -> tuple[EncoderConfig, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, OSError) as error:
        raise ValueError(
            f"found {path} unreadable ({_first_line(error)}), expected safetensors: export it again"
        ) from error
    if ENCODER_KEY not in metadata:
        raise ValueError(f"found no {ENCODER_KEY} in the metadata of {path}, expected an export of save_encoder")
    return EncoderConfig(**json.loads(metadata[ENCODER_KEY])), weights


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
