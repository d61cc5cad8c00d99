"""A network that gives every voxel a class, how it is trained, and how it is measured at every point.

The protocol is that of SLidR's code (Sautier et al., 2022, https://arxiv.org/abs/2203.16258): a linear layer on the
encoder, cross entropy and Lovász-softmax at the voxels' representative points, SGD whose rate falls along a cosine
after every epoch to 0, and figures at every raw point through the voxel that holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
import torch.nn.functional as F
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor, nn
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR
from torch.utils.data import DataLoader

from crosspoint.eval.features import frozen
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.frame_training import FrameTraining
from crosspoint.eval.supervised.labeled_frames import VoxelExamples
from crosspoint.eval.supervised.layer_decay import DECAYS, decayed_groups
from crosspoint.eval.supervised.lovasz import lovasz_softmax
from crosspoint.eval.supervised.turned_views import turned
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.ops.precision import full_precision
from crosspoint.renderers.ranges import CHANNELS, in_range
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelBatch
from crosspoint.scene.segmentation_scores import confusion_matrix

Mode = Literal["linear", "mlp", "finetuned", "scratch"]
PROBES = frozenset[Mode]({"linear", "mlp"})  # on a frozen encoder


@dataclass(frozen=True)
class SegmentationConfig:
    """How a network is trained on labeled frames; the defaults are SLidR's on nuScenes.

    Args:
        epochs: passes over the training frames; null takes 50 for a probe and 100 otherwise
        batch_size: frames per process and step; the rest of an epoch is dropped, and small splits are one batch
        learning_rate: learning rate of the encoder at the start of the cosine; a probe has none
        head_learning_rate: learning rate of the head; by default 0.05 for a probe and 2 otherwise
        layer_decay: share of its learning rate that an encoder's layer leaves to the one before; ScaLR: 0.95
        momentum: momentum of SGD
        dampening: dampening of the momentum
        weight_decay: weight decay, added to the gradient
        norm_momentum: momentum of MinkUNet's BatchNorms between blocks; null leaves the encoder's. A probe holds them
            all still
        standardize: bring features to mean 0 and deviation 1 before a probe's first layer, which SLidR does not: else
            their scale decides how fast it learns, and a random network's are small
        hidden: units of the hidden layer of an MLP probe
        augment: turn the clouds about z and mirror them; a probe without it computes features once, as far as
            resources.kept_features has room for them
    """

    epochs: int | None = None
    batch_size: int = 16
    learning_rate: float = 0.02
    head_learning_rate: float | None = None
    layer_decay: float = 1.0
    momentum: float = 0.9
    dampening: float = 0.1
    weight_decay: float = 1e-4
    norm_momentum: float | None = 0.02
    standardize: bool = False
    hidden: int = 256
    augment: bool = True

    def __post_init__(self) -> None:
        rates = [self.learning_rate, 1.0 if self.head_learning_rate is None else self.head_learning_rate]
        if self.batch_size < 1 or (self.epochs is not None and self.epochs < 1):
            raise ValueError(
                f"found {self.epochs} epochs of batches of {self.batch_size}, expected at least 1 epoch and 1 frame"
            )
        if not all(math.isfinite(rate) and rate > 0 for rate in rates) or self.weight_decay < 0:
            raise ValueError(
                f"found learning rates {self.learning_rate} and {self.head_learning_rate} and weight_decay "
                f"{self.weight_decay}, expected positive rates and no negative decay"
            )
        for name in ("momentum", "dampening", "norm_momentum"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise ValueError(f"found {name} {value}, expected a share from 0 to 1")
        in_range("layer_decay", self.layer_decay, *DECAYS)
        in_range("hidden", self.hidden, *CHANNELS)

    def of(self, mode: Mode) -> SegmentationConfig:
        """With the numbers of a mode where none are given."""
        epochs, rate = (50, 0.05) if mode in PROBES else (100, 2.0)
        return replace(
            self,
            epochs=epochs if self.epochs is None else self.epochs,
            head_learning_rate=rate if self.head_learning_rate is None else self.head_learning_rate,
        )


class Segmenter(nn.Module):
    """Class logits of voxels: an encoder and a head, a linear layer (SLidR's 1 × 1 convolution) or two.

    Args:
        encoder: describes the voxels; None for voxels whose features are an encoder's already.
        head: (M, C) → (M, classes).
        freeze_encoder: hold the encoder's weights, and its BatchNorms in evaluation mode.
    """

    def __init__(self, encoder: PointEncoder | None, head: nn.Module, *, freeze_encoder: bool = False) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.freeze_encoder = freeze_encoder
        if encoder is not None and freeze_encoder:
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> Segmenter:
        """Switch what may be trained."""
        super().train(mode)
        if self.encoder is not None and self.freeze_encoder:
            self.encoder.eval()
        return self

    def forward(self, voxels: VoxelBatch) -> Tensor:
        """Voxels of some frames → (M, classes)."""
        return self.head(voxels.features if self.encoder is None else self.encoder(SparseTensor.of(voxels)))


def segmentation_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy plus Lovász-softmax of logits (M, K) for labels (M,); 0 where all of them are ignored."""
    counted = labels != IGNORED
    logits, labels = full_precision(logits)[counted], labels[counted]
    if len(labels) == 0:
        return logits.sum()
    return F.cross_entropy(logits, labels) + lovasz_softmax(logits.softmax(dim=1), labels, ignored=IGNORED)


class SegmentationTraining(FrameTraining):
    """Train a `Segmenter`; what is drawn for a frame comes from its seed in the epoch.

    Args:
        network: with the modes of its modules set.
        frames: of the training.
        recipe: of the mode.
        resources: what it runs on.
        seed: of the order and the augmentation.
    """

    def __init__(
        self, network: Segmenter, frames: VoxelExamples, recipe: SegmentationConfig, resources: Resources, seed: int
    ) -> None:
        super().__init__(network, frames, batch_size=recipe.batch_size, resources=resources, seed=seed)
        self.recipe = recipe

    def training_step(self, batch: LidarBatch, batch_idx: int) -> Tensor:
        """One step on the representative points of the voxels."""
        voxels = batch.voxelized
        loss = segmentation_loss(self.network(voxels), batch.point_fields["label"][voxels.representative])
        frames = len(voxels.point_offsets) - 1
        self.log(
            "train/loss", loss.detach(), on_epoch=True, on_step=False, prog_bar=True, sync_dist=True, batch_size=frames
        )
        return loss

    def configure_optimizers(self) -> tuple[list[SGD], list[CosineAnnealingLR]]:
        """SGD with a rate of its own for the head, and by depth for the encoder; all fall after every epoch, to 0."""
        recipe, network = self.recipe, self.network
        assert isinstance(network, Segmenter) and recipe.epochs is not None and recipe.head_learning_rate is not None
        groups: list[dict[str, Any]] = [{"params": network.head.parameters(), "lr": recipe.head_learning_rate}]
        if not network.freeze_encoder and network.encoder is not None:
            groups = decayed_groups(network.encoder, recipe.learning_rate, recipe.layer_decay) + groups
        optimizer = SGD(groups, momentum=recipe.momentum, dampening=recipe.dampening, weight_decay=recipe.weight_decay)
        return [optimizer], [CosineAnnealingLR(optimizer, recipe.epochs)]


def measure_segmenter(
    network: Segmenter, frames: VoxelExamples, resources: Resources, device: torch.device, *, views: int = 1
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Give every raw point the likeliest class of its voxel, or of the voxels that hold it in several views.

    Args:
        network: its training flags and its device are as before afterwards.
        frames: with labels.
        resources: how many frames a pass has, and who reads them.
        device: where the passes run.
        views: ways in which each frame is seen, `turned`; probabilities are averaged over them.

    Returns:
        The confusion matrix (K, K) int64, row the truth, and the answers (N,) int16 of each frame.
    """
    confusions, answers = [], []
    loader: DataLoader = DataLoader(
        frames,  # type: ignore[arg-type] # indexed by (index, seed) pairs
        batch_size=resources.evaluation_batch,
        sampler=[(index, 0) for index in range(len(frames))],
        num_workers=resources.workers,
        collate_fn=partial(_in_views, frames.collate, views),
    )
    with frozen(network, device), torch.inference_mode():
        for batches in loader:
            scores = _scores(network, [move_data_to_device(batch.voxelized, device) for batch in batches])
            given, batch = scores.argmax(dim=1).cpu(), batches[0]
            confusions.append(confusion_matrix(given, batch.point_fields["label"], scores.shape[1], ignored=IGNORED))
            answers += [part.short().numpy() for part in given.split(batch.voxelized.point_offsets.diff().tolist())]
    return torch.stack(confusions).sum(dim=0).numpy(), answers


def _in_views(collate: Callable[[Sequence[Any]], LidarBatch], views: int, samples: Sequence[Any]) -> list[LidarBatch]:
    """A batch for each view of some frames."""
    return [collate([turned(sample, view, views) for sample in samples]) for view in range(views)]


def _scores(network: Segmenter, views: Sequence[VoxelBatch]) -> Tensor:
    """Scores of every raw point, (N, classes): the logits of one view, the summed probabilities of several."""
    if len(views) == 1:
        return network(views[0])[views[0].inverse]
    return torch.stack([full_precision(network(view)).softmax(dim=1)[view.inverse] for view in views]).sum(dim=0)
