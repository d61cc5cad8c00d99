"""`load_network`: a network that `crosspoint evaluate` trained → the network, and what it predicts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from torch import nn

from crosspoint.checkpoints.adapters import ENCODER
from crosspoint.checkpoints.building import build_checked, build_network
from crosspoint.checkpoints.files import read_safetensors, strip_prefix
from crosspoint.checkpoints.record import NETWORK_KEY, Inputs
from crosspoint.eval.panoptic.config import BranchConfig
from crosspoint.eval.panoptic.grouping import GroupingConfig
from crosspoint.eval.panoptic.network import PanopticSegmenter
from crosspoint.eval.supervised.classification import Classifier, classification_head, linear_head
from crosspoint.eval.supervised.cloud_training import NETWORK
from crosspoint.eval.supervised.network_record import EXPECTED, REMEDY, NetworkRecord, Task
from crosspoint.eval.supervised.segmenter import Segmenter
from crosspoint.eval.supervised.semantic_segmentation import point_head
from crosspoint.models.part_segmenter import PartSegmenter
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.renderers.files import regular_file
from crosspoint.renderers.records import Count, as_dataclass, checked, decode_json
from crosspoint.scene.detection.detector import DetectorConfig, build_detector
from crosspoint.scene.models.birdseye_encoder import BirdsEyeEncoder
from crosspoint.scene.ops.voxels import VoxelConfig

Share = Annotated[float, Meta(ge=0, le=1)]


class ClassHead(Struct, forbid_unknown_fields=True, frozen=True):
    """The layers of a `Classifier`."""

    kind: Literal["mlp", "linear"]
    dropout: Share


class PartHead(Struct, forbid_unknown_fields=True, frozen=True):
    """The decoder of a `PartSegmenter`, and which parts each category has."""

    dropout: Share
    parts: Annotated[int, Meta(ge=1, le=10**6)]
    parts_of_category: list[list[Annotated[int, Meta(ge=0)]]]


class PointHead(Struct, forbid_unknown_fields=True, frozen=True):
    """The layers of a `Segmenter`."""

    standardize: bool
    hidden: Count | None = None


class PanopticHead(Struct, forbid_unknown_fields=True, frozen=True):
    """The branch of a `PanopticSegmenter`, and how objects are found."""

    branch: dict[str, Any]
    grouping: dict[str, Any]
    things: list[str]


class BoxHead(Struct, forbid_unknown_fields=True, frozen=True):
    """The layers of a `Detector`."""

    detector: dict[str, Any]


class TrainedNetwork:
    """A network that was trained with labels, ready to use.

    Attributes:
        network: in eval mode, on the CPU: a `Classifier`, `PartSegmenter`, `Segmenter`, `PanopticSegmenter` or
            `Detector`.
        record: its task, its classes, and the settings of its layers.
        inputs: what its encoder expects.
        path: the file.
    """

    def __init__(self, path: Path, record: NetworkRecord, inputs: Inputs, network: nn.Module) -> None:
        self.path, self.record, self.inputs, self.network = path, record, inputs, network

    @property
    def encoder(self) -> PointEncoder:
        """What stands below the trained layers."""
        below: Any = self.network
        encoder: PointEncoder = below if isinstance(below, PointEncoder) else below.encoder
        return encoder

    @property
    def voxels(self) -> VoxelConfig:
        """How space is cut for it, where it takes frames."""
        return VoxelConfig(**(self.inputs.voxels or {}))

    def settings(self, kind: type) -> Any:
        """The head's settings; raises ValueError if the record has others."""
        return checked(self.record.head, kind, f"the head in {self.path}", EXPECTED, REMEDY)


def network_file(path: str | Path) -> Path:
    """The file of a trained network: the path, or `network.safetensors` in the folder that --save_dir named.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file.
    """
    file = Path(path)
    if file.is_dir():
        file = file / NETWORK
    if not file.exists() and not file.is_symlink():
        raise FileNotFoundError(
            f"found no trained network at {file}, expected {NETWORK}: `crosspoint evaluate finetune`, `partseg`, "
            "`semseg`, … write it with --save_dir"
        )
    regular_file(file, "a trained network")
    return file


def load_network(path: str | Path) -> TrainedNetwork:
    """Read a network that a protocol trained: fine-tuned or frozen, of objects or scenes.

    Nothing is unpickled. A class of a user's own is imported by its name, and must extend `PointEncoder`.

    Args:
        path: `network.safetensors`, or the folder that holds it.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, was written before networks had records, or predicts depth.
    """
    file = network_file(path)
    weights, metadata = read_safetensors(file)
    if NETWORK_KEY not in metadata:
        raise ValueError(
            f"found no record in {file}, expected its classes, the kind of its layers and what its encoder takes, "
            "which earlier versions did not write: run the training again"
        )
    record = NetworkRecord.of(decode_json(metadata[NETWORK_KEY], dict, f"the record in {file}", EXPECTED, REMEDY), file)
    if record.task not in _LAYERS:
        raise ValueError(
            f"found a network that predicts {record.task} in {file}, expected one of clouds or LiDAR frames: load its "
            "weights in Python"
        )
    assert record.inputs is not None  # as `NetworkRecord.of` found
    if record.inputs.kind == "voxels":
        voxels = record.inputs.voxels or {}
        as_dataclass(voxels, VoxelConfig, f"the voxels in {file}", EXPECTED, REMEDY)
    base = BirdsEyeEncoder if record.task == "boxes" else PointEncoder
    encoder = build_network("encoder", record.encoder, base, file, strip_prefix(weights, ENCODER))
    found = TrainedNetwork(file, record, record.inputs, encoder)
    layers = _LAYERS[record.task]
    found.network = build_checked(lambda: layers(found, encoder), weights, file, EXPECTED, REMEDY)
    return found


def _classifier(found: TrainedNetwork, encoder: PointEncoder) -> nn.Module:
    head, classes = found.settings(ClassHead), len(found.record.classes)
    features = feature_dim(encoder)
    layers = linear_head(features, classes) if head.kind == "linear" else None
    return Classifier(encoder, layers or classification_head(features, classes, head.dropout))


def _part_segmenter(found: TrainedNetwork, encoder: PointEncoder) -> nn.Module:
    head, names = found.settings(PartHead), found.record.classes
    highest = max((part for parts in head.parts_of_category for part in parts), default=0)
    if len(head.parts_of_category) != len(names) or highest >= head.parts or not all(head.parts_of_category):
        raise ValueError(
            f"found parts of {len(head.parts_of_category)} categories up to part {highest} in {found.path}, expected "
            f"some for each of {len(names)} categories, below {head.parts}: {REMEDY}"
        )
    return PartSegmenter(encoder, categories=len(names), parts=head.parts, dropout=head.dropout)


def _segmenter(found: TrainedNetwork, encoder: PointEncoder) -> nn.Module:
    head, features = found.settings(PointHead), feature_dim(encoder)
    layers = point_head(features, len(found.record.classes), hidden=head.hidden, standardize=head.standardize)
    return Segmenter(encoder, layers)


def _panoptic(found: TrainedNetwork, encoder: PointEncoder) -> nn.Module:
    head = found.settings(PanopticHead)
    where = f"the head in {found.path}"
    as_dataclass(head.grouping, GroupingConfig, where, EXPECTED, REMEDY)
    branch: BranchConfig = as_dataclass(head.branch, BranchConfig, where, EXPECTED, REMEDY)
    return PanopticSegmenter(encoder, len(found.record.classes), branch)


def _detector(found: TrainedNetwork, encoder: PointEncoder) -> nn.Module:
    assert isinstance(encoder, BirdsEyeEncoder)  # as `load_network` had it built
    settings = found.settings(BoxHead).detector
    config: DetectorConfig = as_dataclass(settings, DetectorConfig, f"the head in {found.path}", EXPECTED, REMEDY)
    return build_detector(encoder, found.record.classes, found.voxels, config)


_LAYERS: dict[Task, Callable[[TrainedNetwork, Any], nn.Module]] = {
    "classes": _classifier,
    "parts": _part_segmenter,
    "points": _segmenter,
    "panoptic": _panoptic,
    "boxes": _detector,
}
