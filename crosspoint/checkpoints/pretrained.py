"""`load_pretrained`: any file of weights → the networks, what they expect, and how to bring a cloud into that form."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from crosspoint.checkpoints.adapters import ENCODER, Weights, read_weights
from crosspoint.checkpoints.building import build_network
from crosspoint.checkpoints.files import load_weights_strict, require_file, strip_prefix, write_safetensors
from crosspoint.checkpoints.record import RECORD_KEY, REMEDY, Described, Inputs, Record
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.plugins import build, describe
from crosspoint.renderers.files import reading
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import checked

IMAGE_ENCODER = "image_encoder."


class Pretrained:
    """A pre-trained network, ready to use.

    Attributes:
        encoder: the point encoder, in eval mode.
        inputs: what it expects.
        config: of the run that trained it, as its config.yaml; empty where the file does not say.
        path: the file.
    """

    def __init__(self, path: Path, weights: Weights, **changes: Any) -> None:
        """Build the encoder; `changes` replace arguments that it was built with."""
        self.path = path
        self.record = weights.record
        self.inputs: Inputs = weights.record.inputs
        self.config: JsonObject = weights.record.config
        self._weights = weights
        described = _changed(weights.record.encoder, changes)
        state = strip_prefix(weights.state, ENCODER)
        self.encoder: PointEncoder = build_network("encoder", described, PointEncoder, path, state)

    def with_neighbors(self, count: int) -> Pretrained:
        """The same network with neighborhoods of so many points: of a graph, or of patches.

        Raises:
            ValueError: if it has no neighborhoods, or the number is out of range.
        """
        if self.encoder.neighbors is None:
            raise ValueError(
                f"found k {count} for a {type(self.encoder).__name__} ({self.path}), which looks at no neighbors, "
                "expected none: leave k out"
            )
        return Pretrained(self.path, self._weights, **{self.encoder.neighborhood: count})

    @cached_property
    def image_encoder(self) -> ImageBackbone | None:
        """The image branch or teacher, in eval mode; None where the file holds none."""
        described = self.record.image_encoder
        if described is None:
            return None
        arguments = {**described["init_args"]}
        if "weights" in arguments:  # they are in this file
            arguments["weights"] = "none"
        state = strip_prefix(self._weights.state, IMAGE_ENCODER)
        described = {**described, "init_args": arguments}
        network: ImageBackbone = build_network("image_encoder", described, ImageBackbone, self.path, state)
        return network

    def transform(self, cloud: np.ndarray | Tensor, *, up_axis: str | None = None) -> Any:
        """A raw cloud, in its own units → what `encoder` takes: `p.encoder(p.transform(cloud))`.

        Args:
            cloud: (N, 3) or (B, N, 3), or a sweep (N, 4) of a scene in meters with its intensity.
            up_axis: of the cloud, "x", "y" or "z"; None where it is that of training.

        Raises:
            ValueError: if the cloud has another shape, or a number that is not finite.
        """
        return self.encoder.prepare(cloud, self.inputs, up_axis=up_axis)

    def load_method(self, *, seed: int | None = None) -> nn.Module:
        """The whole method, with heads and image branch, in eval mode.

        Args:
            seed: random weights of this seed in place of the file's.

        Raises:
            ValueError: if the file holds an encoder alone.
        """
        from crosspoint.methods.method import Method  # methods import the record, which lies in this package

        described = self.config.get("method")
        if described is not None:
            checked(described, Described, f"method of the config in {self.path}", "a method", REMEDY)
        if described is None:
            raise ValueError(
                f"found an encoder alone in {self.path}, expected a whole method: give a checkpoint (.ckpt) of "
                "crosspoint pretrain"
            )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed or 0)
            encoder = self.encoder if seed is None else self.encoder.fresh()
            images = self.image_encoder
            if images is not None and seed is not None:
                images = type(images)(**{**images.arguments})
            with reading(self.path, "a method that can be built", "install the version that wrote it"):
                method: Method = build("method", described, Method, self.path, encoder=encoder, image_encoder=images)
        if seed is None:
            load_weights_strict(method, self._weights.state, self.path, type(method).__name__)
        return method.eval()


def load_pretrained(path: str | Path, **changes: Any) -> Pretrained:
    """Read a pre-trained network from any of the files that people have.

    Read are checkpoints of `crosspoint pretrain` (.ckpt) and exports of `save_encoder` (.safetensors), of objects and
    scenes and of earlier versions, too; weights of the original CrossPoint code (.pth, also within `state_dict`,
    `model_state_dict` or `model`), and those of SLidR and its relatives from MinkowskiEngine. Nothing is unpickled
    beyond tensors and plain containers; a class of a user's own is imported by its name, and must extend
    `PointEncoder`.

    Args:
        path: the file.
        changes: arguments of the encoder that should differ from the file's, such as `k`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file is none of these, is damaged, or holds another architecture.
    """
    path = require_file(path)
    return Pretrained(path, read_weights(path), **changes)


def load_encoder(path: str | Path, *, k: int | None = None) -> PointEncoder:
    """The encoder of `load_pretrained`, in eval mode.

    Args:
        path: the file.
        k: neighbors per point, or points of a patch, where it should differ from the file's and the network has some.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the file cannot be used.
    """
    found = load_pretrained(path)
    return found.encoder if k is None or found.encoder.neighbors is None else found.with_neighbors(k).encoder


def save_encoder(encoder: PointEncoder, path: str | Path, inputs: Inputs | None = None) -> None:
    """Export an encoder as safetensors, with the record that `load_pretrained` reads.

    Args:
        encoder: the network.
        path: the file, whose name should end in .safetensors.
        inputs: what it was trained on.

    Raises:
        ValueError: if it is no `PointEncoder`, which alone says how it is built.
    """
    if not isinstance(encoder, PointEncoder):
        raise ValueError(
            f"found an encoder of type {type(encoder).__name__}, expected one that extends crosspoint.PointEncoder: "
            "save the weights of other networks with torch.save"
        )
    record = Record(describe(encoder), inputs or Inputs())
    write_safetensors(Path(path), encoder.state_dict(), RECORD_KEY, record.as_dict())


def _changed(described: JsonObject, changes: JsonObject) -> JsonObject:
    """A description with other arguments.

    Raises:
        ValueError: if the network has no such argument.
    """
    unknown = sorted(changes.keys() - described["init_args"].keys())
    if unknown:
        raise ValueError(
            f"found the argument {unknown[0]!r} for {described['class_path']}, expected one of "
            f"{', '.join(described['init_args'])}"
        )
    return {**described, "init_args": {**described["init_args"], **changes}}
