"""Regression: each point is to have the feature of its pixel; nothing is contrasted.

One method for a family: ScaLR (Puy et al., Three Pillars Improving Vision Foundation Model Distillation for Lidar, CVPR
2024, https://arxiv.org/abs/2310.17504), whose head is one layer; CleverDistiller (BMVC 2025), whose head is a
perceptron of three layers, beside the task of occupancy; and the image part of Concerto (NeurIPS 2025,
https://arxiv.org/abs/2510.23607), which compares the mean of the points in a patch with the patch.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from crosspoint.losses import Distance, feature_distance
from crosspoint.models.image_teacher import ImageTeacher
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.ops.precision import full_precision
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.methods.ppkt import check_pairs
from crosspoint.scene.methods.scene_method import AUGMENTATION
from crosspoint.scene.methods.voxel_method import VOXELS, VoxelMethod, check_channels
from crosspoint.scene.models.occupancy import OCCUPANCY, OccupancyConfig, OccupancyHead
from crosspoint.scene.ops.segments import mean_by_segment
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.upsampling import upsampled_at
from crosspoint.scene.ops.voxels import VoxelConfig

# ScaLR's; its rate also rises for 3,500 steps, about an epoch of nuScenes, at the start.
RECIPE = {"epochs": 25, "batch_size": 8, "optimizer": "adamw", "learning_rate": 0.002, "weight_decay": 0.03}


class Regression(VoxelMethod):
    """The method: `encoder` is what users keep, the rest serves training.

    L = 1/P Σᵢ d(h(kᵢ), qᵢ) over all pairs of a voxel's feature k and the frozen feature q of its pixel, read from the
    teacher's map between its nodes; h is the head, d a distance of directions.

    Args:
        encoder: maps voxels to features (M, encoder.feature_dim).
        image_encoder: the teacher; none of it is trained.
        pairs: drawn from all pairs of a batch without replacement; null takes all, as ScaLR does.
        distance: "l2", as ScaLR's, or "cosine".
        head_layers: number of layers of the head: 1 as ScaLR's, 3 as CleverDistiller's.
        hidden: features between the layers of the head.
        patch_mean: compare the mean of the points of a patch, a node of the teacher's map, with the patch, as Concerto
            does; else each point with its own pixel.
        standardize: bring each channel of the teacher to mean 0 and deviation 1 over the nodes of a batch, so that none
            counts more because its numbers are larger; ScaLR does not.
        center: remove the mean over channels from both sides, as Concerto does.
        occupancy_weight: share of the task of occupancy and intensity, as CleverDistiller has one; at 0 it is not done.
        occupancy: the queries of that task.
        voxels: how clouds are cut.
        augmentation: of clouds and images.
        min_depth: meters before a camera that a paired point exceeds.
        occlusion: meters by which nearer points hide others; None pairs hidden points too, as the public codes do.
        views_per_step: images that are drawn of each frame at each step; ScaLR draws 1. None takes all of them.

    Raises:
        ValueError: if a setting is out of range, or the encoder is one for other voxels.
    """

    default_encoder = "minkunet"
    default_image_encoder = "image_teacher"
    recipe = RECIPE
    image_encoder: ImageTeacher

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: ImageTeacher,
        *,
        pairs: int | None = None,
        distance: Distance = "l2",
        head_layers: int = 1,
        hidden: int = 2048,
        patch_mean: bool = False,
        standardize: bool = False,
        center: bool = False,
        occupancy_weight: float = 0.0,
        occupancy: OccupancyConfig = OCCUPANCY,
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
        if head_layers < 1 or hidden < 1 or occupancy_weight < 0:
            raise ValueError(
                f"found head_layers {head_layers}, hidden {hidden} and occupancy_weight {occupancy_weight}, expected "
                "the first two 1 or more, and no weight below 0"
            )
        if pairs is not None and pairs < 1:
            raise ValueError(f"found {pairs} pairs, expected 1 or more, or null for all of them")
        check_channels(encoder, voxels)
        self.pairs = pairs
        self.head = regression_head(feature_dim(encoder), feature_dim(image_encoder), head_layers, hidden)
        self.occupancy = OccupancyHead(feature_dim(encoder), occupancy) if occupancy_weight > 0 else None
        self.occupancy_weight = occupancy_weight
        self.distance = distance
        self.patch_mean = patch_mean
        channels = feature_dim(image_encoder)
        self.standardize = nn.BatchNorm2d(channels, affine=False) if standardize else nn.Identity()
        self.center = center
        self.voxels = voxels

    def training_step(self, batch: LidarBatch, generator: Generator) -> dict[str, Tensor]:
        """One batch → "loss", and with the task of occupancy its parts "distance", "occupancy" and "intensity".

        Args:
            batch: frames with pairs.
            generator: on the device of the batch; draws pairs, and the queries of the task of occupancy.

        Raises:
            ValueError: if the batch has no pairs.
        """
        check_pairs(batch)
        voxels = self.encoder(SparseTensor.of(batch.voxelized))
        chosen = torch.arange(len(batch.pair_point), device=voxels.device)
        if self.pairs is not None:
            chosen = torch.randperm(len(chosen), generator=generator, device=generator.device)[: self.pairs]
        features, targets = self.compared(batch, voxels, chosen)
        loss = feature_distance(features, targets, distance=self.distance, center=self.center)
        if self.occupancy is None:
            return {"loss": loss}
        around = self.occupancy(voxels, batch, generator)
        total = loss + self.occupancy_weight * (around.occupancy + around.intensity)
        return {"loss": total, "distance": loss, "occupancy": around.occupancy, "intensity": around.intensity}

    def compared(self, batch: LidarBatch, voxels: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        """What the loss compares: predictions of the head and features of the teacher, (P, C) each, or one row a patch.

        Args:
            batch: frames with pairs.
            voxels: (M, encoder.feature_dim) of the encoder.
            chosen: (P,) int64, the pairs that count.
        """
        image, pixel = batch.pair_image[chosen], batch.pair_pixel[chosen]
        used, place = batch.pair_voxel[chosen].unique(return_inverse=True)
        predicted = full_precision(self.head(voxels[used])).index_select(0, place)
        maps = self.standardize(full_precision(self.image_encoder.features(batch.images)))
        size = (batch.images.shape[2], batch.images.shape[3])
        if not self.patch_mean:
            return predicted, upsampled_at(maps, size, image, pixel)
        patch = patches(image, pixel, size, (maps.shape[2], maps.shape[3]))
        means, present = mean_by_segment(predicted, patch, len(maps) * maps.shape[2] * maps.shape[3])
        return means[present], maps.permute(0, 2, 3, 1).flatten(0, 2)[present]


def regression_head(features: int, targets: int, layers: int, hidden: int) -> nn.Sequential:
    """A perceptron (n, features) → (n, targets) with GELU between its layers, as in ScaLR's later version."""
    widths = [features, *[hidden] * (layers - 1), targets]
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.GELU(), nn.Linear(before, after)]
    return nn.Sequential(*parts[1:])


def patches(image: Tensor, pixel: Tensor, size: tuple[int, int], nodes: tuple[int, int]) -> Tensor:
    """The patch that holds each pixel, counted through all images: (P,) int64.

    Args:
        image: (P,) int64.
        pixel: (P, 2), x and y.
        size: (H, W) of the images.
        nodes: (h, w) patches along them.
    """
    scale = pixel.new_tensor([nodes[1] / size[1], nodes[0] / size[0]])
    x, y = (pixel * scale).long().unbind(dim=1)
    return (image * nodes[0] + y.clamp_(max=nodes[0] - 1)) * nodes[1] + x.clamp_(max=nodes[1] - 1)
