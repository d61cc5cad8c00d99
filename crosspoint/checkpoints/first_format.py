"""Adapter of the first format: checkpoints and exports that version 0.1 wrote, with a key for each kind of encoder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from msgspec import Struct
from torch import Tensor

from crosspoint.checkpoints.adapters import ENCODER, METHOD, Weights, method_state
from crosspoint.checkpoints.files import strip_prefix
from crosspoint.checkpoints.record import Inputs, Record
from crosspoint.plugins import SHORT_NAMES, plain
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import Count, checked, decode_json, read_yaml

OBJECTS, POINTS = "crosspoint_encoder", "crosspoint_points"
SCENES, POINTNET2, VOXELS = "crosspoint_scene_encoder", "crosspoint_pointnet2", "crosspoint_voxels"
BOTTLENECK = "image_encoder.resnet.layer1.0.conv3.weight"  # a ResNet-50 has it, a ResNet-18 has not
ARGUMENTS = {"dgcnn": ("k", "channels", "embedding"), "pointnet": ("embedding",), "dgcnn_partseg": ("k",)}
EXPECTED, REMEDY = "the settings of an encoder, as version 0.1 wrote them", "save it again, or fetch it again"


class _Encoder(Struct, frozen=True):
    """What version 0.1 wrote of an encoder of objects."""

    network: Literal["dgcnn", "pointnet", "dgcnn_partseg"]
    k: Count = 20
    channels: list[Count] = []
    embedding: Count = 1024


class _Images(Struct, frozen=True):
    size: Count


class _Method(Struct, frozen=True):
    images: _Images


class _Config(Struct, frozen=True):
    """What is read of the config.yaml of a run of version 0.1."""

    method: _Method


def adapt(content: Mapping[str, Any], path: Path) -> Weights | None:
    """A file of version 0.1; None where it is another one."""
    if OBJECTS in content:
        return _objects(content, path)
    for key, name in ((SCENES, "minkunet"), (POINTNET2, "pointnet2")):
        if key in content:
            voxels = checked(content.get(VOXELS), dict[str, Any], f"{VOXELS} of {path}", EXPECTED, REMEDY)
            arguments = checked(content[key], dict[str, Any], f"{key} of {path}", EXPECTED, REMEDY)
            inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=voxels)
            if name == "pointnet2":
                inputs = Inputs(kind="sweeps", up_axis="z", unit_sphere=False)
            return Weights(Record(_encoder(name, arguments), inputs), strip_prefix(method_state(content, path), METHOD))
    return None


def _objects(content: Mapping[str, Any], path: Path) -> Weights:
    stored, where, points = content[OBJECTS], f"{OBJECTS} of {path}", content.get(POINTS)
    if isinstance(stored, str):  # an export, whose metadata are text
        settings = decode_json(stored, _Encoder, where, EXPECTED, REMEDY)
        state = {f"{ENCODER}{name}": value for name, value in content.items() if isinstance(value, Tensor)}
    else:
        settings = checked(stored, _Encoder, where, EXPECTED, REMEDY)
        state = strip_prefix(method_state(content, path), METHOD)
    network = settings.network
    arguments = {name: getattr(settings, name) for name in ARGUMENTS[network]}
    points = checked(int(points), Count, f"{POINTS} of {path}", EXPECTED, REMEDY) if points else None
    inputs = Inputs(points=points, k=arguments.get("k") if points else None, up_axis="y", unit_sphere=True)
    record = Record(_encoder(network, arguments), inputs)
    if any(name.startswith("image_head.") for name in state):
        image = {"network": "resnet50" if BOTTLENECK in state else "resnet18", "weights": None}
        method: JsonObject = {"projection": len(state["head.3.weight"])}
        if (size := _image_size(path)) is not None:
            method["images"] = {"size": size}
        record = Record(
            record.encoder,
            inputs,
            {"class_path": SHORT_NAMES["image_encoder"]["resnet"], "init_args": image},
            {"method": {"class_path": SHORT_NAMES["method"]["crosspoint"], "init_args": method}},
        )
    return Weights(record, state)


def _encoder(name: str, arguments: JsonObject) -> JsonObject:
    return {"class_path": SHORT_NAMES["encoder"][name], "init_args": plain(arguments)}


def _image_size(path: Path) -> int | None:
    """Side in pixels of the images of training, from the run's config.yaml beside its checkpoint; None without one.

    Raises:
        ValueError: if that file is no configuration of a run.
    """
    saved = path.with_name("config.yaml")
    if not saved.is_file():
        return None
    remedy = "restore it, or remove it and name the size of the images"
    return read_yaml(saved, _Config, "the configuration of a run with method.images.size", remedy).method.images.size
