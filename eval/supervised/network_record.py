"""The record that a trained network keeps beside its weights: its task, its classes, and how to build it again."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from msgspec import Struct, to_builtins
from torch import nn

from crosspoint.checkpoints.record import Described, Inputs, check_format
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.plugins import describe, plain
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import as_dataclass, checked
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.ops.voxels import VoxelConfig

Task = Literal["classes", "parts", "points", "panoptic", "boxes", "depth"]

FORMAT = 1  # of the record
EXPECTED, REMEDY = "the record of a trained network", "run the training again"


class _Stored(Struct, forbid_unknown_fields=True, frozen=True):
    """What `NetworkRecord.as_dict` writes."""

    format: int
    task: Task
    encoder: Described
    inputs: dict[str, Any] | None
    classes: list[str]
    head: dict[str, Any]
    data: str
    numbers: list[int] | None = None
    part_names: list[str] | None = None


@dataclass(frozen=True)
class NetworkRecord:
    """Self-description of a trained network.

    Args:
        task: what it predicts: "classes" and "parts" of objects; the class of each of the "points" of a frame,
            "panoptic" their objects, too, "boxes" of the objects; "depth" of images.
        encoder: the encoder as `{"class_path", "init_args"}`.
        inputs: what it expects; None of images.
        classes: names, in the order of the outputs; the categories of "parts".
        head: settings of the layers on the encoder.
        data: name of the training data.
        numbers: of each class in the files of labels of those data; None where there are no such files.
        part_names: names of the parts, where they have some.
    """

    task: Task
    encoder: JsonObject
    inputs: Inputs | None
    classes: list[str]
    head: JsonObject
    data: str
    numbers: list[int] | None = None
    part_names: list[str] | None = None

    def as_dict(self) -> JsonObject:
        """Plain containers, as JSON holds them."""
        return {"format": FORMAT, **asdict(self)}

    @classmethod
    def of(cls, content: object, where: object) -> NetworkRecord:
        """Read what `as_dict` wrote.

        Raises:
            ValueError: if it is of a newer format, has other keys, or values of another type.
        """
        check_format(content, FORMAT, where, EXPECTED, REMEDY)
        stored = checked(content, _Stored, where, EXPECTED, REMEDY)
        if stored.task != "depth" and (not stored.classes or stored.inputs is None):
            raise ValueError(f"found no classes or no inputs in the record of {where}, expected both: {REMEDY}")
        if stored.numbers is not None and len(stored.numbers) != len(stored.classes):
            raise ValueError(
                f"found {len(stored.numbers)} numbers for {len(stored.classes)} classes in the record of {where}, "
                f"expected one for each: {REMEDY}"
            )
        inputs = None
        if stored.inputs is not None:
            inputs = as_dataclass(stored.inputs, Inputs, f"the inputs in {where}", EXPECTED, REMEDY)
        rest = {name: getattr(stored, name) for name in ("task", "classes", "head", "data", "numbers", "part_names")}
        return cls(encoder=to_builtins(stored.encoder), inputs=inputs, **rest)


def described_encoder(encoder: nn.Module) -> JsonObject:
    """Class and arguments of an encoder, as plain values; of what is no `PointEncoder` those that are recorded."""
    described = describe(encoder)
    return {**described, "init_args": encoder.config} if isinstance(encoder, PointEncoder) else described


def frames_record(
    task: Task, encoder: nn.Module | None, voxels: VoxelConfig, train: LidarDataset, head: JsonObject
) -> NetworkRecord:
    """The record of a network of LiDAR frames.

    Args:
        task: what it predicts.
        encoder: of voxels.
        voxels: how space is cut.
        train: the training frames, whose classes it has.
        head: settings of the layers on the encoder.
    """
    assert encoder is not None  # a head alone is never saved
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=plain(voxels))
    boxes = task == "boxes"
    classes = list(train.box_classes if boxes else train.classes)
    numbers = [] if boxes else train.label_numbers()
    complete = len(numbers) == len(classes)  # each class has one
    return NetworkRecord(
        task, described_encoder(encoder), inputs, classes, head, train.name, numbers if complete else None
    )
