"""The record that a checkpoint keeps beside its weights: how to build the networks again, and what they expect."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct, to_builtins

from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import Count, as_dataclass, checked

InputKind = Literal["points", "voxels", "sweeps"]

FORMAT = 2  # of the record; 1 had keys of its own for each kind of encoder
RECORD_KEY = "crosspoint"  # where a checkpoint or an export keeps its record
NETWORK_KEY = "crosspoint_network"  # where a network that was trained with labels keeps the one of its own
EXPECTED, REMEDY = "the record of a checkpoint", "save it again, or fetch it again"


class Described(Struct, forbid_unknown_fields=True, frozen=True):
    """An object as files describe it: its class by import path, and its arguments."""

    class_path: str
    init_args: dict[str, Any] = {}


class _Stored(Struct, forbid_unknown_fields=True, frozen=True):
    """What `Record.as_dict` writes."""

    format: int
    encoder: Described
    inputs: dict[str, Any] = {}
    image_encoder: Described | None = None
    config: dict[str, Any] = {}


class _Format(Struct, frozen=True):
    """What every version of a record has."""

    format: int | None = None


def check_format(content: object, known: int, where: object, expected: str, remedy: str) -> None:
    """Refuse a record of another format than the known one, before anything else of it is looked at.

    Raises:
        ValueError: if it is of another format, or says none as a number.
    """
    written = checked(content, _Format, where, expected, remedy).format
    if written != known:
        raise ValueError(
            f"found a record of format {written} in {where}, expected {known}: install the version that wrote it"
        )


class _Trained(Struct, frozen=True):
    """What the record of a trained network says of its encoder."""

    encoder: Described
    inputs: dict[str, Any] | None = None


@dataclass(frozen=True)
class Inputs:
    """Description of what an encoder was trained on.

    Args:
        kind: "points", a cloud (N, 3) of an object; "voxels", a sweep (N, 4) of x y z intensity, cut into voxels;
            "sweeps", the points of such a sweep.
        points: points per cloud; None where it is not known or not fixed.
        k: neighbors per point, or points of a patch; None where the network has neither.
        up_axis: of the clouds.
        unit_sphere: whether clouds are centered and scaled into the unit sphere.
        voxels: arguments of `VoxelConfig`; None for points.
    """

    kind: InputKind = "points"
    points: Annotated[int, Meta(ge=1, le=10**9)] | None = None
    k: Count | None = None
    up_axis: Literal["x", "y", "z"] = "y"
    unit_sphere: bool = True
    voxels: JsonObject | None = None

    @property
    def intensity_scale(self) -> float:
        """What an intensity of 1 was for the network: 1, or 255 in weights of some other codes."""
        return float((self.voxels or {}).get("intensity_scale", 1.0))


@dataclass(frozen=True)
class Record:
    """Self-description of a file of weights.

    Args:
        encoder: the point encoder as `{"class_path", "init_args"}`.
        inputs: what it expects.
        image_encoder: the image encoder in the same form; None where the file holds none.
        config: of the run that made it, as its config.yaml holds it; empty where there was none.
    """

    encoder: JsonObject
    inputs: Inputs = field(default_factory=Inputs)
    image_encoder: JsonObject | None = None
    config: JsonObject = field(default_factory=dict)

    def as_dict(self) -> JsonObject:
        """Plain containers, as checkpoints and JSON hold them."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def of(cls, content: object, where: object) -> Record:
        """Read what `as_dict` wrote.

        Raises:
            ValueError: if it is of a newer format, has other keys, or values of another type.
        """
        check_format(content, FORMAT, where, EXPECTED, REMEDY)
        stored = checked(content, _Stored, where, EXPECTED, REMEDY)
        inputs = as_dataclass(stored.inputs, Inputs, f"the inputs in {where}", EXPECTED, REMEDY)
        images = None if stored.image_encoder is None else to_builtins(stored.image_encoder)
        return cls(to_builtins(stored.encoder), inputs, images, stored.config)

    @classmethod
    def of_trained(cls, content: object, where: object) -> Record:
        """The encoder's part of what `crosspoint.eval.supervised.network_record` writes.

        Raises:
            ValueError: if it has values of another type, or no inputs, as networks of images.
        """
        stored = checked(content, _Trained, where, EXPECTED, REMEDY)
        if stored.inputs is None:
            raise ValueError(
                f"found a network of images in {where}, expected one of clouds or LiDAR frames: give another"
            )
        inputs = as_dataclass(stored.inputs, Inputs, f"the inputs in {where}", EXPECTED, REMEDY)
        return cls(to_builtins(stored.encoder), inputs)
