"""Settings of panoptic segmentation: how the network is trained, and how large its instance branch is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from crosspoint.eval.panoptic.losses import MASKINGS, Masking
from crosspoint.eval.panoptic.polar_grid import PolarGrid
from crosspoint.renderers.ranges import CHANNELS, all_in_range, in_range

Mode = Literal["finetuned", "scratch", "frozen"]
GRID = PolarGrid()


@dataclass(frozen=True)
class BranchConfig:
    """The instance branch; the defaults are Panoptic-PolarNet's and CSC's.

    Args:
        grid: cells of the ground
        widths: widths of the 2D U-Net's stages
        drop: share of its features that DropBlock sets to zero in training
        circular: let convolutions see the first column of cells beside the last one, as it is around a sensor; CSC's do
            not
    """

    grid: PolarGrid = GRID
    widths: tuple[int, ...] = (64, 128, 256, 512, 512)
    drop: float = 0.5
    circular: bool = True

    def __post_init__(self) -> None:
        all_in_range("widths", self.widths, 2, CHANNELS[1])
        in_range("drop", self.drop, 0.0, 0.9)
        least = 2 ** (len(self.widths) - 1)
        if min(self.grid.cells) < least:
            raise ValueError(
                f"found cells {list(self.grid.cells)} for {len(self.widths)} widths, expected {least} or more each "
                "way, as each width after the first halves them: give more cells or fewer widths"
            )


@dataclass(frozen=True)
class PanopticConfig:
    """How a network is trained for panoptic segmentation; the defaults are CSC's on nuScenes.

    Args:
        epochs: passes over the training frames
        batch_size: frames per process and step; the rest of an epoch is dropped, and small splits are one batch
        learning_rate: learning rate of Adam at the start
        milestones: epochs after which the rate falls
        decay: factor by which it falls
        weight_decay: weight decay, added to the gradient
        norm_momentum: momentum of MinkUNet's BatchNorms between blocks; null leaves the encoder's
        sigma: deviation in cells of the hill that the heat map has at the center of an object
        center_weight: weight of the error of the heat map beside the loss of the classes
        offset_weight: weight of the error of the offsets
        masking: intended: the errors are means of the cells that matter; published: of all cells, as in the public code
        augment: turn the clouds about z and mirror them
    """

    epochs: int = 100
    batch_size: int = 4
    learning_rate: float = 0.004
    milestones: tuple[int, ...] = (10, 20, 30)
    decay: float = 0.5
    weight_decay: float = 0.0
    norm_momentum: float | None = None
    sigma: float = 5.0
    center_weight: float = 100.0
    offset_weight: float = 10.0
    masking: Masking = "intended"
    augment: bool = True

    def __post_init__(self) -> None:
        in_range("epochs", self.epochs, 1, 100_000)
        in_range("batch_size", self.batch_size, 1, 100_000)
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0 and self.weight_decay >= 0):
            raise ValueError(
                f"found learning_rate {self.learning_rate} and weight_decay {self.weight_decay}, expected a positive "
                "rate and no negative decay"
            )
        if [*self.milestones] != sorted({*self.milestones}) or min(self.milestones, default=1) < 1:
            raise ValueError(f"found milestones {list(self.milestones)}, expected epochs from 1 on, each one later")
        in_range("decay", self.decay, 1e-6, 1.0)
        in_range("norm_momentum", self.norm_momentum, 0.0, 1.0)
        in_range("sigma", self.sigma, 0.1, 100.0)
        in_range("center_weight", self.center_weight, 0.0, 1e6)
        in_range("offset_weight", self.offset_weight, 0.0, 1e6)
        if self.masking not in MASKINGS:
            raise ValueError(f"found the masking {self.masking!r}, expected one of: {', '.join(MASKINGS)}")
