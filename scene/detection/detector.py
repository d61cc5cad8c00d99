"""A detector: an encoder of voxels, a 2D network on its map from above, and a head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from crosspoint.renderers.ranges import CHANNELS, in_range
from crosspoint.scene.detection.anchor_head import AnchorHead
from crosspoint.scene.detection.anchors import AnchorClass
from crosspoint.scene.detection.birdseye_backbone import BirdsEyeBackbone
from crosspoint.scene.detection.center_head import CenterHead
from crosspoint.scene.detection.head import DetectionHead
from crosspoint.scene.models.birdseye_encoder import BirdsEyeEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelBatch, VoxelConfig


@dataclass(frozen=True)
class DetectorConfig:
    """What is built on an encoder; the defaults are SECOND's backbone and CenterPoint's head.

    Args:
        head: center, boxes from the peaks of heat maps, or anchor, boxes from anchors
        widths: channels of the levels of the 2D network
        layers: convolutions of each level after its first one
        up: channels of each level in its result
        center_width: channels within the head of centers
        groups: classes that share layers of the head of centers, by their names; null puts all into one group
        anchors: anchors of each class; null takes the mean sizes of the training boxes
        score: least score of a detection
        overlap: IoU from above with a better detection above which one goes; by default 0.2 for centers, 0.01 for
            anchors
        velocity: whether the head of centers also says velocities; the training boxes must have them
    """

    head: Literal["center", "anchor"] = "center"
    widths: Sequence[int] = (128, 256)
    layers: Sequence[int] = (5, 5)
    up: int = 256
    center_width: int = 64
    groups: list[list[str]] | None = None
    anchors: list[AnchorClass] | None = None
    score: float = 0.1
    overlap: float | None = None
    velocity: bool = False

    def __post_init__(self) -> None:
        if self.head not in ("center", "anchor"):
            raise ValueError(f"found the head {self.head!r}, expected center or anchor")
        if self.velocity and self.head != "center":
            raise ValueError(
                f"found velocity true with the head {self.head}, expected it with center alone: set detector.velocity "
                "to false"
            )
        in_range("center_width", self.center_width, *CHANNELS)
        in_range("score", self.score, 0.0, 1.0)
        in_range("overlap", self.overlap, 0.0, 1.0)

    def group_labels(self, names: Sequence[str]) -> list[list[int]]:
        """The groups by labels.

        Raises:
            ValueError: if not every class is in one group.
        """
        groups = [list(names)] if self.groups is None else self.groups
        listed = [name for group in groups for name in group]
        if sorted(listed) != sorted(names) or not all(groups):
            raise ValueError(
                f"found detector.groups of {', '.join(listed) or 'nothing'}, expected each of {', '.join(names)} once"
            )
        return [[list(names).index(name) for name in group] for group in groups]

    def ordered_anchors(self, names: Sequence[str]) -> list[AnchorClass]:
        """The given anchors in the order of the classes.

        Raises:
            ValueError: if not every class has some once.
        """
        given = self.anchors or []
        by_name = {anchor.name: anchor for anchor in given}
        if sorted(anchor.name for anchor in given) != sorted(names):
            raise ValueError(
                f"found detector.anchors of {', '.join(by_name) or 'nothing'}, expected each of {', '.join(names)} once"
            )
        return [by_name[name] for name in names]


class Detector(nn.Module):
    """Boxes of the objects in frames of voxels.

    Args:
        encoder: on the grid of the voxels.
        backbone: on its map.
        head: on the backbone's.
    """

    def __init__(self, encoder: BirdsEyeEncoder, backbone: nn.Module, head: DetectionHead) -> None:
        super().__init__()
        self.encoder = encoder
        self.backbone = backbone
        self.head = head

    def forward(self, voxels: VoxelBatch) -> Any:
        """Voxels of B frames → what the head's `loss` and `detect` read."""
        maps = self.encoder.birdseye(SparseTensor.of(voxels), len(voxels.voxel_offsets) - 1)
        return self.head(self.backbone(maps))


def build_detector(
    encoder: BirdsEyeEncoder, names: Sequence[str], voxels: VoxelConfig, config: DetectorConfig
) -> Detector:
    """A detector that starts from an encoder; what is drawn comes from torch's global generator.

    Args:
        encoder: whose weights are copied; its grid may be another one.
        names: of the classes.
        voxels: how space is cut, with an extent.
        config: with anchors, where the head has some.

    Raises:
        ValueError: if voxels have no extent, or settings and classes do not fit.
    """
    if voxels.grid is None or voxels.extent is None:
        raise ValueError("found voxels without an extent, expected one for a detector: give the voxels one, in meters")
    start = encoder.for_detection(voxels.grid, voxels.channels)
    backbone = BirdsEyeBackbone(start.map_dim, config.widths, config.layers, config.up)
    head: DetectionHead
    if config.head == "anchor":
        head = AnchorHead(
            backbone.channels,
            config.ordered_anchors(names),
            voxels.extent,
            start.map_size,
            score=config.score,
            overlap=0.01 if config.overlap is None else config.overlap,
        )
    else:
        head = CenterHead(
            backbone.channels,
            config.group_labels(names),
            voxels.extent,
            start.map_size,
            start.stride * voxels.size,
            width=config.center_width,
            score=config.score,
            overlap=0.2 if config.overlap is None else config.overlap,
            velocity=config.velocity,
        )
    return Detector(start, backbone, head)
