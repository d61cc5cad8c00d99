"""Checkpoints as evaluation sees them: what a file holds, and the networks that it gives. Files are read here alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from torch import nn

from crosspoint.checkpoints.crosspoint_original import is_original
from crosspoint.checkpoints.dual_encoder import DualEncoder, has_image_branch, load_dual_encoder, trained_image_size
from crosspoint.checkpoints.load import ENCODER_KEY, load_encoder, read_checkpoint, require_file, trained_on
from crosspoint.eval.supervised.trainer import seeded
from crosspoint.models.build import build_encoder, encoder_config
from crosspoint.scene.checkpoints.scene_encoder import (
    POINTNET2_KEY,
    SCENE_ENCODER_KEY,
    SceneEncoder,
    load_scene_encoder,
)
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig

Inputs = Literal["points", "voxels"]  # of an encoder: clouds of objects, or voxels of LiDAR frames

log = logging.getLogger("crosspoint")


@dataclass(frozen=True)
class Checkpoint:
    """What evaluation needs to know of a file before it measures anything.

    Args:
        path: of the file.
        network: class of its point encoder.
        config: settings of the encoder, with the neighbors per point that were asked for.
        inputs: what the encoder describes.
        points: points per cloud in training; None where the file does not say.
        trained_k: neighbors per point in training; None where the file does not say, or there are none.
        voxels: how space was cut in training; SLidR's where the file does not say.
        has_images: whether the image branch lies beside the encoder.
        k: neighbors per point that were asked for; None takes the file's.
    """

    path: Path
    network: type[nn.Module]
    config: Any
    inputs: Inputs
    points: int | None = None
    trained_k: int | None = None
    voxels: VoxelConfig = field(default_factory=VoxelConfig)
    has_images: bool = False
    k: int | None = None

    @classmethod
    def read(cls, path: Path, k: int | None = None) -> Checkpoint:
        """Facts of a file.

        Args:
            path: of a checkpoint of `crosspoint pretrain` (.ckpt), an export (.safetensors), the original CrossPoint's
                weights (.pth), or weights of MinkowskiEngine's networks.
            k: neighbors per point, where it should differ from the file's.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if the file is none of these, is damaged, or holds another architecture.
        """
        scene = _scene_encoder(require_file(path))
        if scene is not None:
            voxels = scene.voxels or VoxelConfig()
            return cls(path, type(scene.network), scene.network.config, "voxels", voxels=voxels)
        encoder = load_encoder(path, k=k)
        known = trained_on(encoder)
        return cls(
            path, type(encoder), encoder.config, "points", known.points, known.k, has_images=has_image_branch(path), k=k
        )

    @property
    def architecture(self) -> str:
        """Class and settings of the encoder."""
        return f"{self.network.__name__} {self.config}"

    def encoder(self, seed: int | None = None) -> nn.Module:
        """The encoder in eval mode; with a seed, random weights in place of the file's."""
        if self.inputs == "voxels":
            network = load_scene_encoder(self.path).network
            if seed is None:
                return network
            with seeded(seed):
                return MinkUNet(network.config).eval()
        encoder = load_encoder(self.path, k=self.k)
        if seed is None:
            return encoder
        with seeded(seed):
            return build_encoder(encoder_config(encoder)).eval()

    def dual_encoder(self, seed: int | None = None) -> DualEncoder:
        """Both branches in eval mode; with a seed, random weights in place of the file's.

        Raises:
            ValueError: if there is no image branch.
        """
        return load_dual_encoder(self.path, k=self.k, seed=seed)

    @property
    def image_size(self) -> int | None:
        """Side in pixels of the images of training; None where it is not known."""
        return trained_image_size(self.path)

    def warn_of_mismatch(self, points: int, normalize: bool) -> None:
        """Log what differs between the clouds of training and those to be measured: features depend on both."""
        if self.points is None:
            return
        k = self.config.get("k") if self.trained_k else None
        if (self.points, self.trained_k) != (points, k):
            seen, shown = (
                f"{count:,} points" + (f" and k {near}" if near else "")
                for count, near in ((self.points, self.trained_k), (points, k))
            )
            log.warning("%s was trained on clouds of %s, and is measured on clouds of %s", self.path, seen, shown)
        if not normalize:
            log.warning("%s was trained on clouds in the unit sphere, and is measured on clouds as stored", self.path)


def _scene_encoder(path: Path) -> SceneEncoder | None:
    """The network of a file that holds one for voxels; None where `load_encoder` reads it, or says what is wrong."""
    content = {ENCODER_KEY: None} if path.suffix == ".safetensors" else read_checkpoint(path)
    if SCENE_ENCODER_KEY in content or POINTNET2_KEY in content:
        return load_scene_encoder(path)
    if ENCODER_KEY in content or is_original(content):
        return None
    try:
        return load_scene_encoder(path)  # weights of MinkowskiEngine's networks have no mark of their own
    except ValueError:
        return None
