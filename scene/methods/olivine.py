"""OLIVINE: points find their own pixels, and the pixels of their class, as weak labels of images say it.

Zhang et al., Fine-grained Image-to-LiDAR Contrastive Distillation with Visual Foundation Models, NeurIPS 2024,
https://arxiv.org/abs/2405.14271, and its code, https://github.com/Eaphan/OLIVINE.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from crosspoint.losses import info_nce, supervised_info_nce
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.ops.precision import full_precision
from crosspoint.renderers.ranges import POINTS, TEMPERATURE, in_range
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.training_set import SceneTrainingSet
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.methods.pair_sampling import balanced_sample
from crosspoint.scene.methods.ppkt import RECIPE as SLIDR_RECIPE
from crosspoint.scene.methods.ppkt import check_pairs
from crosspoint.scene.methods.scene_method import AUGMENTATION
from crosspoint.scene.methods.von_mises_fisher import ClassDistributions
from crosspoint.scene.methods.voxel_method import VOXELS, VoxelMethod, check_channels
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.upsampling import upsampled_at
from crosspoint.scene.ops.voxels import VoxelConfig

log = logging.getLogger("crosspoint")

RECIPE = {**SLIDR_RECIPE, "batch_size": 16}  # on 4 GPUs, 4 frames each


@dataclass(frozen=True)
class OlivineWeights:
    """Shares of the parts in the loss; a part of weight 0 is not computed.

    Args:
        contrast: weight of the contrast of points with their own pixels
        supervised: weight of the contrast of points with the pixels of their class
        consistency: weight of the consistency of points with the distribution of their class
    """

    contrast: float = 0.5
    supervised: float = 0.5
    consistency: float = 1.0

    def __post_init__(self) -> None:
        parts = (self.contrast, self.supervised, self.consistency)
        if min(parts) < 0 or max(parts) == 0:
            raise ValueError(f"found weights {parts}, expected none below 0 and one above")


@dataclass(frozen=True)
class DistributionSchedule:
    """When the distributions of classes are learned, and when they teach; the defaults are the published code's.

    Args:
        decay: share of a step's mean in the moving mean of a class
        update_steps: steps that change the means; null: all of them
        apply_after: steps before the means teach
        bias_correction: divide means by the share of features in them, which the published code does not
    """

    decay: float = 1e-4
    update_steps: int | None = 10_000
    apply_after: int = 10_000
    bias_correction: bool = True

    def __post_init__(self) -> None:
        if not 0 < self.decay <= 1 or (self.update_steps is not None and self.update_steps < 1) or self.apply_after < 1:
            raise ValueError(
                f"found decay {self.decay}, update_steps {self.update_steps} and apply_after {self.apply_after}, "
                "expected a decay above 0 and up to 1, and steps from 1"
            )


WEIGHTS = OlivineWeights()
SCHEDULE = DistributionSchedule()


class OLIVINE(VoxelMethod):
    """The method: `encoder` is what users keep, the rest serves training.

    Two heads on each side. On the first, PPKT's loss between points and their own pixels (`info_nce`). On the second,
    points find the pixels of their class, whose similarities are summed in the logarithm (`supervised_info_nce`),
    among pairs that are drawn so that far ranges and rare classes come as often as near and common ones
    (`balanced_sample`); and the features of the points of a class follow one distribution (`ClassDistributions`).

    L = contrast · L_ppnce + supervised · L_sup + consistency · L_kl.

    Classes are those of the dataset's weak labels, numbers from 1; pixels of which nothing is said (0) take part in the
    first loss alone. The public code has no such number: pixels without a mask are barriers there.

    Args:
        encoder: maps voxels to features (M, encoder.feature_dim).
        image_encoder: describes pixels; its decoder is the first head of the images.
        pairs: drawn for each of the two contrasts; all, if there are fewer.
        temperature: temperature of both contrasts.
        sampling: how pairs of the second contrast are drawn: "balanced" by density and class, or "uniform".
        range_step: meters to which ranges are rounded for their density.
        weights: of the parts.
        distributions: when and how distributions of classes are learned.
        voxels: how clouds are cut.
        augmentation: of clouds and images.
        min_depth: meters before a camera that a paired point exceeds.
        occlusion: meters by which nearer points hide others; None pairs hidden points too, as the public codes do.
        views_per_step: images that are drawn of each frame at each step; None takes all of them.

    Raises:
        ValueError: if a setting is out of range, or the encoder is one for other voxels.
    """

    default_encoder = "minkunet"
    default_image_encoder = "pixel_encoder"
    recipe = RECIPE
    needs = frozenset({"weak_labels"})
    image_encoder: PixelEncoder
    distributions: ClassDistributions | None

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: PixelEncoder,
        *,
        pairs: int = 4096,
        temperature: float = 0.07,
        sampling: Literal["balanced", "uniform"] = "balanced",
        range_step: float = 0.1,
        weights: OlivineWeights = WEIGHTS,
        distributions: DistributionSchedule = SCHEDULE,
        voxels: VoxelConfig = VOXELS,
        augmentation: SceneAugmentation = AUGMENTATION,
        min_depth: float = 1.0,
        occlusion: float | None = None,
        views_per_step: int | None = None,
    ) -> None:
        super().__init__(
            encoder,
            image_encoder,
            augmentation=augmentation,
            min_depth=min_depth,
            occlusion=occlusion,
            views_per_step=views_per_step,
        )
        in_range("pairs", pairs, *POINTS)
        in_range("temperature", temperature, *TEMPERATURE)
        if not range_step > 0:
            raise ValueError(f"found range_step {range_step}, expected meters above 0")
        if sampling not in ("balanced", "uniform"):
            raise ValueError(f"found the sampling {sampling!r}, expected balanced or uniform")
        check_channels(encoder, voxels)
        self.weights = weights
        self.schedule = distributions
        features, projection = feature_dim(encoder), feature_dim(image_encoder)
        self.heads = nn.ModuleDict()
        if weights.contrast:
            self.heads["contrast"] = nn.Linear(features, projection)
        else:
            image_encoder.decoder.requires_grad_(False)
        if weights.supervised or weights.consistency:
            self.heads["semantic"] = nn.Linear(features, projection)
        if weights.supervised:
            self.semantic_decoder = nn.Conv2d(image_encoder.decoder.in_channels, projection, 1)
        self.distributions = None
        self.register_load_state_dict_pre_hook(_make_room)
        self.pairs = pairs
        self.temperature = temperature
        self.sampling = sampling
        self.range_step = range_step
        self.voxels = voxels

    def training_samples(self, dataset: Any, *, prepare: bool = True) -> SceneTrainingSet:
        """The frames as augmented samples whose pairs have weak labels; takes the number of classes from the dataset.

        Raises:
            FileNotFoundError: if files of the dataset are missing.
            ValueError: if it has no weak labels, is no `LidarDataset`, or has frames that cannot be used.
        """
        classes = getattr(dataset, "weak_classes", ())
        if not classes:
            raise ValueError(
                f"found no weak labels in the dataset {getattr(dataset, 'name', type(dataset).__name__)}, expected "
                "them for OLIVINE: give data.dataset.weak_labels a folder that crosspoint label wrote"
            )
        self.set_classes(len(classes))
        return super().training_samples(dataset, prepare=prepare)

    def planned(self, steps: int) -> None:
        """Warn where the distributions of classes would never teach."""
        wait = self.schedule.apply_after
        if self.weights.consistency and steps <= wait:
            log.warning(
                "found a run of %d steps, expected more than the %d after which the distributions of classes teach: "
                "the loss of consistency stays 0; lower method.distributions.apply_after, or train for longer",
                *(steps, wait),
            )

    def set_classes(self, classes: int) -> None:
        """Make room for the distributions of `classes` classes; called by `training_samples`."""
        if self.weights.consistency and self.distributions is None:
            dimensions = self.image_encoder.feature_dim
            schedule = self.schedule
            self.distributions = ClassDistributions(
                classes, dimensions, decay=schedule.decay, bias_correction=schedule.bias_correction
            )

    def training_step(self, batch: LidarBatch, generator: Generator) -> dict[str, Tensor]:
        """One batch → "loss" and its parts "contrast", "supervised" and "consistency", scalars.

        Args:
            batch: frames with pairs, whose weak labels stand in the pair field "weak_label".
            generator: on the device of the batch; the choice of pairs comes from it alone.

        Raises:
            ValueError: if the batch has no pairs, or no weak labels.
        """
        check_pairs(batch)
        labels = weak_labels(batch)
        voxels = self.encoder(SparseTensor.of(batch.voxelized))
        maps = self.image_encoder.features(batch.images)
        parts = {}
        if self.weights.contrast:
            parts["contrast"] = self.contrast(batch, voxels, maps, generator)
        labeled = (labels > 0).nonzero().squeeze(1)
        if self.weights.supervised:
            parts["supervised"] = self.supervised(batch, voxels, maps, labels, labeled, generator)
        if self.weights.consistency:
            parts["consistency"] = self.consistency(batch, voxels, labels, labeled)
        shares = {name: getattr(self.weights, name) * part for name, part in parts.items()}
        return {"loss": torch.stack(list(shares.values())).sum(), **parts}

    def contrast(self, batch: LidarBatch, voxels: Tensor, maps: Tensor, generator: Generator) -> Tensor:
        """Points find their own pixels, among pairs of which all are equally likely."""
        count = len(batch.pair_point)
        chosen = torch.randperm(count, generator=generator, device=generator.device)[: self.pairs]
        points = self._points(self.heads["contrast"], voxels, batch.pair_voxel[chosen])
        pixels = self._pixels(self.image_encoder.decoder, maps, batch, chosen)
        return info_nce(points, pixels, temperature=self.temperature, normalize=False)

    def supervised(
        self, batch: LidarBatch, voxels: Tensor, maps: Tensor, labels: Tensor, labeled: Tensor, generator: Generator
    ) -> Tensor:
        """Points find the pixels of their class, among labeled pairs drawn by range and class."""
        if self.sampling == "balanced":
            ranges = batch.points[batch.pair_point[labeled], :2].norm(dim=1)
            rounded = (ranges / self.range_step).floor() * self.range_step
            chosen = labeled[balanced_sample(rounded, labels[labeled], self.pairs, generator)]
        else:
            order = torch.randperm(len(labeled), generator=generator, device=generator.device)
            chosen = labeled[order[: self.pairs]]
        points = self._points(self.heads["semantic"], voxels, batch.pair_voxel[chosen])
        pixels = self._pixels(self.semantic_decoder, maps, batch, chosen)
        if len(chosen) == 0:  # nothing is said of any pixel of the batch: no loss, but gradients of 0 for all weights
            return points.sum() + pixels.sum()
        return supervised_info_nce(points, pixels, labels[chosen], temperature=self.temperature, normalize=False)

    def consistency(self, batch: LidarBatch, voxels: Tensor, labels: Tensor, labeled: Tensor) -> Tensor:
        """Features of points follow the distribution of their class; and the distributions follow the features."""
        if self.distributions is None:
            raise ValueError("found no number of classes, expected training_samples or set_classes before a step")
        features = self._points(self.heads["semantic"], voxels, batch.pair_voxel[labeled])
        classes = labels[labeled] - 1
        step = int(self.distributions.steps)
        last = self.schedule.update_steps
        if self.training and (last is None or step < last):
            self.distributions.update(features.detach(), classes)
        elif self.training:
            self.distributions.steps += 1
        if step < self.schedule.apply_after or len(labeled) == 0:
            return 0.0 * features.sum()  # gradients of 0, so that several processes wait for the same weights
        return self.distributions.negative_log_likelihood(features, classes)

    def _points(self, head: nn.Module, voxels: Tensor, rows: Tensor) -> Tensor:
        return F.normalize(full_precision(head(voxels.index_select(0, rows))), dim=1)

    def _pixels(self, decoder: nn.Module, maps: Tensor, batch: LidarBatch, chosen: Tensor) -> Tensor:
        size = (batch.images.shape[2], batch.images.shape[3])
        decoded = full_precision(decoder(maps))
        return upsampled_at(decoded, size, batch.pair_image[chosen], batch.pair_pixel[chosen])


def _make_room(method: OLIVINE, weights: dict[str, Tensor], prefix: str, *_: Any) -> None:
    """Before weights are loaded: the classes of those whose distributions they hold."""
    means = weights.get(f"{prefix}distributions.mean")
    if means is not None:
        method.set_classes(len(means))


def weak_labels(batch: LidarBatch) -> Tensor:
    """The weak label of each pair (P,) int64; ValueError where there is none."""
    labels = batch.pair_fields.get("weak_label")
    if labels is None:
        raise ValueError(
            "found pairs without weak labels in a batch, expected them for OLIVINE: give the dataset weak_labels"
        )
    return labels
