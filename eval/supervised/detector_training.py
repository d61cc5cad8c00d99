"""Training of a detector, and its answers: AdamW on one cycle of the learning rate, as OpenPCDet trains SECOND.

The cycle: Smith and Topin, Super-Convergence, 2018, https://arxiv.org/abs/1708.07120.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from crosspoint.eval.features import frozen
from crosspoint.eval.supervised.boxed_frames import BoxedFrames
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.frame_training import FrameTraining
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.detection.box_augmentation import BoxAugmentation
from crosspoint.scene.detection.detector import Detector
from crosspoint.scene.detection.found_boxes import FoundBoxes
from crosspoint.scene.detection.object_sampling import ObjectSampling

AUGMENTATION = BoxAugmentation()


@dataclass(frozen=True)
class DetectionConfig:
    """How a detector is trained; the defaults are SECOND's on KITTI, without pasted objects.

    Args:
        epochs: passes over the training frames
        batch_size: frames per process and step; the rest of an epoch is dropped, and small splits are one batch
        learning_rate: learning rate at the top of the cycle; it begins at a tenth of it
        weight_decay: decoupled weight decay
        rising: share of the steps in which the rate rises
        clip: largest norm of the gradient
        norm_momentum: momentum of all BatchNorms; null leaves theirs, 0.01 in most, whose means then take hundreds of
            steps to arrive: a short training wants 0.1
        augmentation: how training frames are changed; null leaves them as they are
        sampling: objects of other frames pasted into each; null pastes none
    """

    epochs: int = 80
    batch_size: int = 4
    learning_rate: float = 0.003
    weight_decay: float = 0.01
    rising: float = 0.4
    clip: float = 10.0
    norm_momentum: float | None = None
    augmentation: BoxAugmentation | None = AUGMENTATION
    sampling: ObjectSampling | None = None

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 1:
            raise ValueError(
                f"found {self.epochs} epochs of batches of {self.batch_size}, expected at least 1 epoch and 1 frame"
            )
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0 and self.weight_decay >= 0):
            raise ValueError(
                f"found learning_rate {self.learning_rate} and weight_decay {self.weight_decay}, expected a positive "
                "rate and no negative decay"
            )
        if not (0 < self.rising < 1 and self.clip > 0):
            raise ValueError(
                f"found rising {self.rising} and clip {self.clip}, expected a share between 0 and 1, and a positive "
                "norm"
            )
        if self.norm_momentum is not None and not 0 < self.norm_momentum <= 1:
            raise ValueError(f"found norm_momentum {self.norm_momentum}, expected a share above 0 and up to 1, or null")


class DetectorTraining(FrameTraining):
    """Train a `Detector`; what is drawn for a frame comes from its seed in the epoch.

    Args:
        network: in training mode.
        frames: of the training.
        recipe: of the training.
        resources: what it runs on.
        seed: of the order, the augmentation and the pasted objects.
    """

    def __init__(
        self, network: Detector, frames: BoxedFrames, recipe: DetectionConfig, resources: Resources, seed: int
    ) -> None:
        super().__init__(network, frames, batch_size=recipe.batch_size, resources=resources, seed=seed)
        self.recipe = recipe
        for module in network.modules():
            if recipe.norm_momentum is not None and isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = recipe.norm_momentum

    def training_step(self, batch: LidarBatch, batch_idx: int) -> Tensor:
        """One step on the boxes of some frames."""
        network: Any = self.network
        voxels, boxes = batch.voxelized, batch.boxes
        assert boxes is not None  # as `BoxedFrames` makes sure
        loss = torch.stack([*network.head.loss(network(voxels), boxes).values()]).sum()
        frames = len(voxels.point_offsets) - 1
        self.log(
            "train/loss", loss.detach(), on_epoch=True, on_step=False, prog_bar=True, sync_dist=True, batch_size=frames
        )
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Shorten a gradient that is too long."""
        nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip)

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises to its top and falls to almost 0, its momentum the other way round, step by step."""
        recipe = self.recipe
        optimizer = AdamW(
            self.network.parameters(), lr=recipe.learning_rate, betas=(0.95, 0.99), weight_decay=recipe.weight_decay
        )
        cycle = OneCycleLR(
            optimizer,
            recipe.learning_rate,
            total_steps=max(2, int(self.trainer.estimated_stepping_batches)),
            pct_start=recipe.rising,
            base_momentum=0.85,
            max_momentum=0.95,
            div_factor=10,
            final_div_factor=1e4,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


def find_boxes(network: Detector, frames: BoxedFrames, resources: Resources, device: torch.device) -> list[FoundBoxes]:
    """What a detector says of each frame.

    Args:
        network: its training flags and its device are as before afterwards.
        frames: to look at, without augmentation.
        resources: how many frames a pass has, and who reads them.
        device: where the passes run.
    """
    found: list[FoundBoxes] = []
    loader: DataLoader = DataLoader(
        frames,  # type: ignore[arg-type] # indexed by (index, seed) pairs
        batch_size=resources.evaluation_batch,
        sampler=[(index, 0) for index in range(len(frames))],
        num_workers=resources.workers,
        collate_fn=frames.collate,
    )
    with frozen(network, device), torch.inference_mode():
        for batch in loader:
            said = network(move_data_to_device(batch.voxelized, device))
            found += [boxes.to_cpu() for boxes in network.head.detect(said)]
    return found
