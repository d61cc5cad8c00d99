"""Training of a panoptic network, and its measurement at every raw point."""

from __future__ import annotations

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import MultiStepLR
from torch.utils.data import DataLoader

from crosspoint.eval.features import frozen
from crosspoint.eval.metrics.panoptic_quality import PanopticSums, panoptic_sums
from crosspoint.eval.panoptic.config import PanopticConfig
from crosspoint.eval.panoptic.grouping import GroupingConfig, group_voxels
from crosspoint.eval.panoptic.instance_frames import InstanceFrames
from crosspoint.eval.panoptic.losses import center_loss, offset_loss
from crosspoint.eval.panoptic.network import PanopticSegmenter
from crosspoint.eval.panoptic.targets import panoptic_targets
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.frame_training import FrameTraining
from crosspoint.eval.supervised.segmenter import segmentation_loss
from crosspoint.ops.precision import full_precision
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.training.epoch_sampler import step_seed

Answer = tuple[np.ndarray, np.ndarray]  # of a frame: classes (N,) int16, objects (N,) int16


class PanopticTraining(FrameTraining):
    """Train a `PanopticSegmenter`; what is drawn for a frame comes from its seed in the epoch.

    Args:
        network: with the modes of its modules set.
        frames: of the training.
        things: (K,) bool, the classes with objects.
        recipe: of the training.
        resources: what it runs on.
        seed: of the order, the augmentation, and what DropBlock drops.
    """

    def __init__(
        self,
        network: PanopticSegmenter,
        frames: InstanceFrames,
        things: Tensor,
        recipe: PanopticConfig,
        resources: Resources,
        seed: int,
    ) -> None:
        super().__init__(network, frames, batch_size=recipe.batch_size, resources=resources, seed=seed)
        self.things = things
        self.recipe = recipe

    def training_step(self, batch: LidarBatch, batch_idx: int) -> Tensor:
        """One step: classes at the representative points of the voxels, centers and offsets on the ground."""
        network, recipe, voxels = self.network, self.recipe, batch.voxelized
        assert isinstance(network, PanopticSegmenter)
        torch.manual_seed(step_seed(self.seed, self.global_rank, self.global_step))  # DropBlock has no generator
        output = network(voxels, batch.points)
        frames = len(batch.point_offsets) - 1
        labels = batch.point_fields["label"]
        targets = panoptic_targets(
            batch.points,
            labels,
            batch.point_fields["instance"],
            torch.arange(frames, device=labels.device).repeat_interleave(batch.point_offsets.diff()),
            count=frames,
            things=self.things.to(labels.device),
            grid=network.grid,
            sigma=recipe.sigma,
        )
        parts = {
            "semantic": segmentation_loss(output.logits, labels[voxels.representative]),
            "center": recipe.center_weight * center_loss(output.heat, targets, recipe.masking),
            "offset": recipe.offset_weight * offset_loss(output.offset, targets, recipe.masking),
        }
        loss = torch.stack([*parts.values()]).sum()
        shown = {f"train/{name}": part.detach() for name, part in parts.items()} | {"train/loss": loss.detach()}
        self.log_dict(shown, on_epoch=True, on_step=False, prog_bar=True, sync_dist=True, batch_size=frames)
        return loss

    def configure_optimizers(self) -> tuple[list[Adam], list[MultiStepLR]]:
        """Adam, whose rate falls after some epochs."""
        recipe = self.recipe
        learned = [weight for weight in self.network.parameters() if weight.requires_grad]
        optimizer = Adam(learned, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
        return [optimizer], [MultiStepLR(optimizer, [*recipe.milestones], recipe.decay)]


def measure_panoptic(
    network: PanopticSegmenter,
    frames: InstanceFrames,
    things: Tensor,
    grouping: GroupingConfig,
    least_points: int,
    resources: Resources,
    device: torch.device,
    *,
    keep: bool = False,
) -> tuple[PanopticSums, list[Answer]]:
    """Give every raw point the class and the object of its voxel.

    Args:
        network: its training flags and its device are as before afterwards.
        frames: with labels and instances.
        things: (K,) bool, the classes with objects.
        grouping: how objects are found.
        least_points: of a segment that counts as a mistake.
        resources: how many frames a pass has, and who reads them.
        device: where the passes run.
        keep: give the answers back; without, memory does not grow with the frames.

    Returns:
        The sums over all frames, and the answers of each, none where they are not kept.
    """
    sums, answers = PanopticSums.empty(len(things)), []
    loader: DataLoader = DataLoader(
        frames,  # type: ignore[arg-type] # indexed by (index, seed) pairs
        batch_size=resources.evaluation_batch,
        sampler=[(index, 0) for index in range(len(frames))],
        num_workers=resources.workers,
        collate_fn=frames.collate,
    )
    with frozen(network, device), torch.inference_mode():
        for batch in loader:
            fields, bounds = batch.point_fields, batch.point_offsets.tolist()
            for number, (classes, objects) in enumerate(
                answer_frames(network, batch, things.to(device), grouping, device)
            ):
                rows = slice(bounds[number], bounds[number + 1])
                labels, true = (fields[name][rows].numpy() for name in ("label", "instance"))
                true = np.where(things.numpy()[labels.clip(min=0)], true, 0)  # all else of a class is one segment
                sums = sums + panoptic_sums(
                    classes, objects, labels, true, classes=len(things), least_points=least_points
                )
                if keep:
                    answers.append((classes.astype(np.int16), objects.astype(np.int16)))
    return sums, answers


def answer_frames(
    network: PanopticSegmenter, batch: LidarBatch, things: Tensor, grouping: GroupingConfig, device: torch.device
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Classes (N,) and objects (N,) of the points of each frame."""
    voxels = move_data_to_device(batch.voxelized, device)
    output = network(voxels, batch.points.to(device))
    probabilities = full_precision(output.logits).softmax(dim=1)
    of_voxels = []
    for frame, (start, end) in enumerate(zip(voxels.voxel_offsets[:-1], voxels.voxel_offsets[1:], strict=True)):
        of_voxels.append(
            group_voxels(
                probabilities[start:end],
                output.cells[start:end],
                full_precision(output.heat[frame]),
                full_precision(output.offset[frame]),
                things=things,
                grid=network.grid,
                grouping=grouping,
            )
        )
    sizes = voxels.point_offsets.diff().tolist()
    whole = (torch.cat(part)[voxels.inverse].cpu().split(sizes) for part in zip(*of_voxels, strict=True))
    return [(classes.numpy(), objects.numpy()) for classes, objects in zip(*whole, strict=True)]
