"""Adapters from files of weights to one record: checkpoints of earlier versions, and of other codes.

An adapter looks at what a file holds and gives back a record with weights under our names, or None if the file is not
of its kind. A new kind of file is a new adapter and one line in `ADAPTERS`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from crosspoint.checkpoints.files import read_checkpoint, read_safetensors, strip_prefix
from crosspoint.checkpoints.record import EXPECTED, NETWORK_KEY, RECORD_KEY, REMEDY, Record
from crosspoint.renderers.files import reading, short
from crosspoint.renderers.records import as_dataclass, decode_json

METHOD = "method."  # before the names of a method's weights in a checkpoint of ours
ENCODER = "encoder."  # before those of its point encoder

ADAPTERS = (
    "crosspoint.checkpoints.first_format.adapt",
    "crosspoint.checkpoints.crosspoint_original.adapt",
    "crosspoint.checkpoints.point_mae.adapt",
    "crosspoint.scene.checkpoints.minkowski_engine.adapt",
)
VOXELS = ("crosspoint.scene.ops.voxels", "VoxelConfig")  # what a record's `inputs.voxels` are arguments of
CONTAINERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "model_points",
    "net",
    "network",
    "encoder",
    "weights",
    "params",
)  # where codes keep the weights of a network


class Weights(NamedTuple):
    """Weights with the record that says whose they are."""

    record: Record
    state: dict[str, Tensor]  # "encoder.…", and "image_encoder.…", "head.…", … where a method's are there


Adapter = Callable[[Mapping[str, Any], Path], Weights | None]


def read_weights(path: Path) -> Weights:
    """Read any file of weights that is known.

    Raises:
        ValueError: if it is damaged, of another kind, or lacks layers.
    """
    content: Mapping[str, Any]
    if path.suffix == ".safetensors":
        weights, metadata = read_safetensors(path)
        if RECORD_KEY in metadata:
            described = decode_json(metadata[RECORD_KEY], dict, f"the record in {path}", EXPECTED, REMEDY)
            return Weights(_checked(Record.of(described, path), path), _below(weights, ENCODER))
        if NETWORK_KEY in metadata:  # trained with labels; below ENCODER lies the encoder
            described = decode_json(metadata[NETWORK_KEY], dict, f"the record in {path}", EXPECTED, REMEDY)
            return Weights(_checked(Record.of_trained(described, path), path), weights)
        content = {**weights, **metadata}
    else:
        content = read_checkpoint(path)
        if RECORD_KEY in content:
            record = _checked(Record.of(content[RECORD_KEY], path), path)
            return Weights(record, strip_prefix(method_state(content, path), METHOD))
    for name in ADAPTERS:
        module, _, function = name.rpartition(".")
        adapt: Adapter = getattr(importlib.import_module(module), function)
        with reading(path, "weights of a known kind", "save the network again"):
            found = adapt(content, path)
        if found is not None:
            return found
    raise ValueError(
        f"found keys {short([str(key) for key in list(content)[:4]])} … in {path}, expected a checkpoint of crosspoint "
        "pretrain, an export of save_encoder, weights of the original CrossPoint or of MinkowskiEngine's networks: "
        "evaluate other networks from Python, with crosspoint.eval.extract_features"
    )


def method_state(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    """The weights of a method in a checkpoint of ours.

    Raises:
        ValueError: if there are none, or something else is in their place.
    """
    state = content.get("state_dict")
    if not isinstance(state, Mapping):
        raise ValueError(f"found {short(state)} for state_dict in {path}, expected weights by name: save it again")
    for name, weight in state.items():
        if not isinstance(name, str) or (name.startswith(METHOD) and not isinstance(weight, Tensor)):
            raise ValueError(f"found {short(weight)} for {short(name)} in {path}, expected a tensor: save it again")
    return dict(state)


def state_dict_of(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The weights of a network in a file of another code: as they lie, or in one of the usual containers.

    DataParallel's prefix "module." is left out.
    """
    for _ in range(3):  # one may hold another
        inner = next((content[key] for key in CONTAINERS if isinstance(content.get(key), Mapping)), None)
        if inner is None:
            break
        content = inner
    return {str(name).removeprefix("module."): value for name, value in content.items() if isinstance(value, Tensor)}


def _below(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}{name}": weight for name, weight in weights.items()}


def _checked(record: Record, path: Path) -> Record:
    if record.inputs.kind == "voxels":
        voxels = getattr(importlib.import_module(VOXELS[0]), VOXELS[1])
        as_dataclass(record.inputs.voxels or {}, voxels, f"the voxels in {path}", EXPECTED, REMEDY)
    return record
