"""Settings of training for depth; the defaults are SimIPU's on KITTI.

Li et al., SimIPU, AAAI 2022, https://arxiv.org/abs/2112.04680, whose depth experiments are configurations of the
Monocular-Depth-Estimation-Toolbox (https://github.com/zhyever/Monocular-Depth-Estimation-Toolbox).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from crosspoint.eval.metrics.depth import FARTHEST, NEAREST, Area, area_mask
from crosspoint.renderers.ranges import in_range

Mode = Literal["linear", "finetuned", "scratch"]


@dataclass(frozen=True)
class DepthConfig:
    """How a network is trained to tell depth, and how it is measured.

    What is null depends on the mode: a linear probe sees images as they are, so that features are computed once.

    Args:
        epochs: passes over the training frames
        batch_size: frames per process and step, each with all of its images; the rest of an epoch is dropped
        learning_rate: highest learning rate of the one cycle; null takes 1e-4, and 1e-2 for a linear probe
        betas: decay of AdamW's means
        weight_decay: weight decay of AdamW
        rise: share of the steps in which the learning rate rises, from a 25th; it ends at a 2,500th
        clip: largest norm of the gradient
        cut: height and width that all images are cut to, at their bottom and in the middle, [352, 1216] for KITTI;
            null takes them whole
        augment: turn, mirror, crop and color images in training; null does, but for a linear probe
        turn: largest angle in degrees by which half of the images are turned
        crop: height and width of the part of an image that a step sees, [352, 704] for KITTI; null takes it whole
        flip: probability of mirroring an image
        color: largest change of gamma, brightness and each color of half of the images
        mirror: predict the mean of an image and its mirror image when measuring; null does, but for a linear probe
        scale: size at which the network sees images, as a share of theirs; smaller ones cost less
        area: part of the images that is measured: whole, garg (usual on KITTI) or eigen
        nearest: meters that a true depth must exceed
        farthest: meters below which it must be; the decoder's largest prediction
    """

    epochs: int = 24
    batch_size: int = 8
    learning_rate: float | None = None
    betas: tuple[float, float] = (0.95, 0.99)
    weight_decay: float = 0.01
    rise: float = 0.3
    clip: float = 35.0
    cut: tuple[int, int] | None = None
    augment: bool | None = None
    turn: float = 2.5
    crop: tuple[int, int] | None = None
    flip: float = 0.5
    color: float = 0.1
    mirror: bool | None = None
    scale: float = 1.0
    area: Area = "whole"
    nearest: float = NEAREST
    farthest: float = FARTHEST

    def __post_init__(self) -> None:
        in_range("recipe.epochs", self.epochs, 1, 1_000_000)
        in_range("recipe.batch_size", self.batch_size, 1, 1_000_000)
        in_range("recipe.learning_rate", self.learning_rate, 1e-12, 1e6)
        in_range("recipe.weight_decay", self.weight_decay, 0.0, 1e6)
        in_range("recipe.rise", self.rise, 0.0, 1.0)
        in_range("recipe.clip", self.clip, 1e-12, 1e12)
        in_range("recipe.turn", self.turn, 0.0, 180.0)
        in_range("recipe.flip", self.flip, 0.0, 1.0)
        in_range("recipe.color", self.color, 0.0, 0.99)
        in_range("recipe.scale", self.scale, 0.01, 4.0)
        for name in ("cut", "crop"):
            size = getattr(self, name)
            if size is not None and min(size) < 1:
                raise ValueError(f"found recipe.{name} {list(size)}, expected a height and a width in pixels")
        if not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError(f"found recipe.betas {list(self.betas)}, expected two shares from 0 to below 1")
        if not 0 < self.nearest < self.farthest:
            raise ValueError(
                f"found depths from {self.nearest} to {self.farthest} m, expected recipe.nearest above 0 and below "
                "recipe.farthest"
            )
        area_mask((1, 1), self.area)

    def of(self, mode: Mode) -> DepthConfig:
        """With the settings of a mode where none are given."""
        trained = mode != "linear"
        rate = 1e-4 if trained else 1e-2
        return replace(
            self,
            learning_rate=rate if self.learning_rate is None else self.learning_rate,
            augment=trained if self.augment is None else self.augment,
            mirror=trained if self.mirror is None else self.mirror,
        )
