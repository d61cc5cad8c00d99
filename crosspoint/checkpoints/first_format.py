"""Adapter of the first format: checkpoints and exports that version 0.1 wrote, with a key for each kind of encoder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from torch import Tensor

from crosspoint.checkpoints.adapters import ENCODER, METHOD, Weights
from crosspoint.checkpoints.files import strip_prefix
from crosspoint.checkpoints.record import Inputs, Record
from crosspoint.plugins import SHORT_NAMES, plain
from crosspoint.renderers.json_object import JsonObject

OBJECTS, POINTS = "crosspoint_encoder", "crosspoint_points"
SCENES, POINTNET2, VOXELS = "crosspoint_scene_encoder", "crosspoint_pointnet2", "crosspoint_voxels"
BOTTLENECK = "image_encoder.resnet.layer1.0.conv3.weight"  # a ResNet-50 has it, a ResNet-18 has not
ARGUMENTS = {"dgcnn": ("k", "channels", "embedding"), "pointnet": ("embedding",), "dgcnn_partseg": ("k",)}


def adapt(content: Mapping[str, Any], path: Path) -> Weights | None:
    """A file of version 0.1; None where it is another one."""
    if OBJECTS in content:
        return _objects(content, path)
    for key, name in ((SCENES, "minkunet"), (POINTNET2, "pointnet2")):
        if key in content:
            inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=content[VOXELS])
            if name == "pointnet2":
                inputs = Inputs(kind="sweeps", up_axis="z", unit_sphere=False)
            return Weights(Record(_encoder(name, content[key]), inputs), strip_prefix(content["state_dict"], METHOD))
    return None


def _objects(content: Mapping[str, Any], path: Path) -> Weights:
    settings = content[OBJECTS]
    if isinstance(settings, str):  # an export, whose metadata are text
        settings, points = json.loads(settings), content.get(POINTS)
        state = {f"{ENCODER}{name}": value for name, value in content.items() if isinstance(value, Tensor)}
    else:
        points, state = content.get(POINTS), strip_prefix(content["state_dict"], METHOD)
    network = settings["network"]
    arguments = {name: settings[name] for name in ARGUMENTS[network]}
    inputs = Inputs(
        points=int(points) if points else None, k=arguments.get("k") if points else None, up_axis="y", unit_sphere=True
    )
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
    try:
        return int(yaml.safe_load(saved.read_text())["method"]["images"]["size"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"found no method.images.size in {saved}, expected the configuration of a run: name the size of the images"
        ) from error
