"""Encoders from files and to files: checkpoints of our runs, safetensors exports, weights of the original CrossPoint.

Nothing is unpickled beyond tensors and plain containers (`weights_only=True`), and files appear whole or not at all.
"""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from crosspoint.checkpoints.crosspoint_original import is_original, read_original
from crosspoint.models.build import EncoderConfig, build_encoder, encoder_config
from crosspoint.renderers.atomic import atomic_write

ENCODER_KEY = "crosspoint_encoder"  # where a checkpoint or an export keeps its encoder's configuration
POINTS_KEY = "crosspoint_points"  # of each cloud that the encoder was trained on
ENCODER_PREFIX = "method.encoder."  # of the encoder's weights in a training checkpoint


class TrainedOn(NamedTuple):
    """The clouds of an encoder's training; None where its file does not say."""

    points: int | None
    k: int | None  # neighbors per point


def load_encoder(path: str | Path, *, k: int | None = None) -> nn.Module:
    """A ready encoder in eval mode from any of the files that people have.

    `trained_on` tells of the clouds that the encoder was trained on.

    Read are checkpoints of `crosspoint pretrain` (.ckpt), exports of `save_encoder` (.safetensors), and weights that
    the original CrossPoint code saved (.pth; plain or with DataParallel's "module." prefix; the classification and the
    part-segmentation network).

    Args:
        path: the file.
        k: neighbors per point, where it should differ from the file's; the original's files do not say and get 15.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is none of these, is damaged, or holds another architecture.
    """
    path = require_file(path)
    config, weights, points = _read_export(path) if path.suffix == ".safetensors" else _read_torch(path)
    encoder = build_encoder(config if k is None else replace(config, k=k))
    load_weights_strict(encoder, weights, path, config.network)
    known = TrainedOn(points, config.k if points and "k" in encoder.config else None)  # type: ignore[operator]
    return remember_training(encoder, known).eval()


def remember_training(encoder: nn.Module, clouds: TrainedOn) -> nn.Module:
    """The same encoder, from now on with an answer to `trained_on`."""
    encoder.trained_on = clouds  # type: ignore[assignment] # torch's typing expects tensors and modules
    return encoder


def trained_on(encoder: nn.Module) -> TrainedOn:
    """What is known of the clouds that an encoder was trained on."""
    known: TrainedOn | None = getattr(encoder, "trained_on", None)
    return known or TrainedOn(None, None)


def save_encoder(encoder: nn.Module, path: str | Path) -> None:
    """Export an encoder as safetensors, with its configuration in the file's metadata.

    Raises:
        ValueError: if the encoder is none of the toolkit's own.
    """
    metadata = {ENCODER_KEY: json.dumps(asdict(encoder_config(encoder)))}
    if points := trained_on(encoder).points:
        metadata[POINTS_KEY] = str(points)
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in encoder.state_dict().items()}
    with atomic_write(Path(path)) as file:
        file.write(save(weights, metadata=metadata))


def encoder_record(encoder: nn.Module, points: int | None) -> dict[str, Any]:
    """What `load_encoder` needs in a training checkpoint beside the weights.

    Args:
        encoder: one of the toolkit's own.
        points: of each cloud that it is trained on.
    """
    return {ENCODER_KEY: asdict(encoder_config(encoder)), POINTS_KEY: points}


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


def _read_torch(path: Path) -> tuple[EncoderConfig, dict[str, Tensor], int | None]:
    content = read_checkpoint(path)
    if ENCODER_KEY in content:
        weights = content["state_dict"]
        own = strip_prefix(weights, ENCODER_PREFIX)
        return EncoderConfig(**content[ENCODER_KEY]), own, content.get(POINTS_KEY)
    if is_original(content):
        return *read_original(content), None
    raise ValueError(
        f"found keys {[str(key) for key in list(content)[:4]]} … in {path}, expected a checkpoint of "
        "crosspoint pretrain or weights of the original CrossPoint: evaluate other networks from Python, with "
        "crosspoint.eval.extract_features"
    )


def _read_export(path: Path) -> tuple[EncoderConfig, dict[str, Tensor], int | None]:
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
    points = metadata.get(POINTS_KEY)
    return EncoderConfig(**json.loads(metadata[ENCODER_KEY])), weights, int(points) if points else None


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
