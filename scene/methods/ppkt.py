"""PPKT: each point is to find its own pixel among the pixels of other points.

Liu et al., Learning from 2D: Contrastive Pixel-to-Point Knowledge Transfer for 3D Pretraining, 2021,
https://arxiv.org/abs/2104.04687, as SLidR's authors carried it over to LiDAR (https://arxiv.org/abs/2203.16258).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from crosspoint.losses import info_nce
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.ops.precision import full_precision
from crosspoint.renderers.ranges import POINTS, TEMPERATURE, in_range
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.methods.scene_method import AUGMENTATION
from crosspoint.scene.methods.voxel_method import VOXELS, VoxelMethod, check_channels
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelBatch, VoxelConfig

# Of SLidR's authors, who train both methods alike: https://github.com/valeoai/SLidR, config/slidr_minkunet.yaml
RECIPE = {"epochs": 50, "batch_size": 4, "optimizer": "sgd", "learning_rate": 0.5, "weight_decay": 1e-4}


class PPKT(VoxelMethod):
    """The method: `encoder` is what users keep, the rest serves training.

    L = −1/M Σᵢ log(exp(kᵢ·qᵢ/t) / Σⱼ exp(kᵢ·qⱼ/t)) over M pairs of a voxel's feature k and a pixel's feature q, both of
    length 1; points look for pixels, not pixels for points.

    Args:
        encoder: maps voxels to features (M, encoder.feature_dim).
        image_encoder: describes pixels.
        pairs: M, drawn from all pairs of a batch without replacement; all, if there are fewer.
        temperature: t.
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
    image_encoder: PixelEncoder

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: PixelEncoder,
        *,
        pairs: int = 4096,
        temperature: float = 0.07,
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
        check_channels(encoder, voxels)
        self.head = nn.Linear(feature_dim(encoder), feature_dim(image_encoder))
        self.pairs = pairs
        self.temperature = temperature
        self.voxels = voxels

    def training_step(self, batch: LidarBatch, generator: Generator) -> dict[str, Tensor]:
        """One batch → "loss", a scalar.

        Args:
            batch: frames with pairs.
            generator: on the device of the batch; the choice of pairs comes from it alone.

        Raises:
            ValueError: if the batch has no pairs. Frames that `pair_points` and the augmentations made have some; a
                loss of 0 would hide that others do not.
        """
        check_pairs(batch)
        chosen = self.draw(len(batch.pair_point), generator)
        voxels = describe_voxels(self.encoder, self.head, batch.voxelized)
        points = voxels.index_select(0, batch.pair_voxel[chosen])  # its gradient adds up in one order on all threads
        pixels = self.image_encoder.at(batch.images, batch.pair_image[chosen], batch.pair_pixel[chosen])
        return {"loss": info_nce(points, pixels, temperature=self.temperature, normalize=False)}

    def draw(self, count: int, generator: Generator) -> Tensor:
        """Choose among `count` pairs, all equally likely: (min(pairs, count),) int64, none twice."""
        return torch.randperm(count, generator=generator, device=generator.device)[: self.pairs]


def describe_voxels(encoder: nn.Module, head: nn.Module, voxels: VoxelBatch) -> Tensor:
    """Features of length 1, one per voxel: (M, projection)."""
    features = head(encoder(SparseTensor.of(voxels)))
    return F.normalize(full_precision(features), dim=1)


def check_pairs(batch: LidarBatch) -> None:
    """Raise ValueError if no point of a batch has a pixel."""
    if len(batch.pair_point) == 0:
        raise ValueError(
            f"found {len(batch.points):,} points and {len(batch.images)} images without a pair in a batch, expected "
            "points that images see: check the calibration, or lower method.augmentation.cuboid"
        )
