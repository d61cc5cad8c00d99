"""Checkpoints as evaluation sees them: what a file holds, and the networks that it gives. Files are read here alone."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path

from torch import nn

from crosspoint.checkpoints.dual_encoder import (
    DualEncoder,
    has_image_branch,
    load_dual_encoder,
    predicts_views,
    trained_image_size,
)
from crosspoint.checkpoints.files import require_file
from crosspoint.checkpoints.pretrained import Pretrained, load_pretrained
from crosspoint.checkpoints.record import InputKind
from crosspoint.eval.supervised.trainer import seeded
from crosspoint.fields import Fields
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.ops.voxels import VoxelConfig

log = logging.getLogger("crosspoint")


@dataclass(frozen=True)
class Checkpoint:
    """What evaluation needs to know of a file before it measures anything.

    Args:
        path: of a checkpoint of `crosspoint pretrain` (.ckpt), an export (.safetensors), or weights of another code.
        k: neighbors per point, or points of a patch, that were asked for; None takes the file's.
        other_voxels: arguments of `VoxelConfig` that were asked for in place of the file's.
    """

    path: Path
    k: int | None = None
    other_voxels: JsonObject | None = field(default=None, hash=False)

    @classmethod
    def read(cls, path: Path, k: int | None = None, other_voxels: JsonObject | None = None) -> Checkpoint:
        """Facts of a file, which is read at once.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it is of no known kind, is damaged, holds another architecture, or looks at no neighbors
                although k was asked for.
        """
        checkpoint = cls(require_file(path), k, other_voxels)
        assert checkpoint._pretrained is not None
        if other_voxels:
            checkpoint._warn_of_voxels()
        return checkpoint

    def with_neighbors(self, count: int) -> Checkpoint:
        """The same file with neighborhoods of so many points; it is not read again.

        Raises:
            ValueError: if it looks at no neighbors, or the number is out of range.
        """
        changed = replace(self, k=count)
        vars(changed)["_pretrained"] = self._pretrained.with_neighbors(count)
        return changed

    @cached_property
    def _pretrained(self) -> Pretrained:
        return self._read()

    def _read(self) -> Pretrained:
        found = load_pretrained(self.path)
        return found if self.k is None else found.with_neighbors(self.k)

    @property
    def network(self) -> type[PointEncoder]:
        """Class of the point encoder."""
        return type(self._pretrained.encoder)

    @property
    def config(self) -> JsonObject:
        """Arguments of the encoder, with the neighbors that were asked for."""
        return self._pretrained.encoder.config

    @property
    def neighbors(self) -> int | None:
        """Points of a neighborhood; None where the encoder looks at none."""
        return self._pretrained.encoder.neighbors

    @property
    def inputs(self) -> InputKind:
        """What the encoder describes: clouds of objects, or voxels of LiDAR frames."""
        return self._pretrained.inputs.kind

    @property
    def points(self) -> int | None:
        """Points per cloud in training; None where the file does not say."""
        return self._pretrained.inputs.points

    @property
    def fields(self) -> Fields:
        """What the encoder wants of each point of an object behind x y z."""
        return self._pretrained.encoder.fields

    @property
    def voxels(self) -> VoxelConfig:
        """How space was cut in training, SLidR's where the file does not say, with the changes that were asked for."""
        trained = self._trained_voxels
        unknown = sorted((self.other_voxels or {}).keys() - asdict(trained).keys())
        if unknown:
            known = ", ".join(asdict(trained))
            raise ValueError(f"found voxels.{unknown[0]}, expected some of: {known}")
        return replace(trained, **(self.other_voxels or {}))

    @property
    def _trained_voxels(self) -> VoxelConfig:
        return VoxelConfig(**(self._pretrained.inputs.voxels or {}))

    def _warn_of_voxels(self) -> None:
        """Log which voxels differ between training and measuring."""
        trained, asked = asdict(self._trained_voxels), asdict(self.voxels)
        for name in [name for name in trained if trained[name] != asked[name]]:
            log.warning(
                "%s was trained on voxels of %s %s, and is measured on voxels of %s %s",
                *(self.path, name, trained[name], name, asked[name]),
            )

    @cached_property
    def has_images(self) -> bool:
        """Whether the image branch lies beside the encoder."""
        return has_image_branch(self.path)

    @cached_property
    def predicts_views(self) -> bool:
        """Whether a predictor of views lies beside the encoder."""
        return predicts_views(self.path)

    @property
    def image_network(self) -> str | None:
        """Class of the image branch or teacher; None where there is none."""
        described = self._pretrained.record.image_encoder
        return None if described is None else str(described["class_path"])

    @property
    def image_encoder(self) -> ImageBackbone | None:
        """The image branch or teacher as it was trained, in eval mode; None where there is none."""
        return self._pretrained.image_encoder

    @property
    def run_config(self) -> JsonObject:
        """Settings of the run that made the file; empty where it does not say."""
        return self._pretrained.config

    @property
    def architecture(self) -> str:
        """Class and settings of the encoder."""
        return f"{self.network.__name__} {self.config}"

    def encoder(self, seed: int | None = None) -> PointEncoder:
        """The encoder in eval mode, for the caller alone; with a seed, random weights in place of the file's."""
        if seed is None:
            return self._read().encoder
        with seeded(seed):
            return self._pretrained.encoder.fresh().eval()

    def dual_encoder(self, seed: int | None = None) -> DualEncoder:
        """Both branches in eval mode; with a seed, random weights in place of the file's.

        Raises:
            ValueError: if there is no image branch.
        """
        return load_dual_encoder(self.path, k=self.k, seed=seed)

    def method(self, seed: int | None = None) -> nn.Module:
        """The whole method in eval mode; with a seed, random weights in place of the file's.

        Raises:
            ValueError: if the file holds an encoder alone.
        """
        return self._read().load_method(seed=seed)

    @property
    def image_size(self) -> int | None:
        """Side in pixels of the images of training; None where it is not known."""
        return trained_image_size(self.path)

    def warn_of_mismatch(self, points: int, normalize: bool) -> None:
        """Log what differs between the clouds of training and those to be measured: features depend on both."""
        trained = self._pretrained.inputs
        if trained.points is None:
            return
        k = self.neighbors if trained.k else None
        if (trained.points, trained.k) != (points, k):
            seen, shown = (
                f"{count:,} points" + (f" and k {near}" if near else "")
                for count, near in ((trained.points, trained.k), (points, k))
            )
            log.warning("%s was trained on clouds of %s, and is measured on clouds of %s", self.path, seen, shown)
        if not normalize:
            log.warning("%s was trained on clouds in the unit sphere, and is measured on clouds as stored", self.path)
