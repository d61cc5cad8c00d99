"""SLidR: the points of a superpixel are to find its pixels among all superpixels.

Sautier et al., Image-to-Lidar Self-Supervised Distillation for Autonomous Driving Data, CVPR 2022,
https://arxiv.org/abs/2203.16258.
"""

from __future__ import annotations

from pathlib import Path

from torch import Generator, Tensor, nn

from crosspoint.losses import info_nce
from crosspoint.models.point_encoder import PointEncoder, feature_dim
from crosspoint.renderers.ranges import TEMPERATURE, in_range
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.data.superpixels import SuperpixelCache, SuperpixelConfig
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.methods.ppkt import RECIPE, check_pairs, describe_voxels
from crosspoint.scene.methods.scene_method import AUGMENTATION
from crosspoint.scene.methods.voxel_method import VOXELS, VoxelMethod, check_channels
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.segments import mean_by_segment
from crosspoint.scene.ops.voxels import VoxelConfig

SUPERPIXELS = SuperpixelConfig()
SUPERPIXELS_CACHE = Path("data/superpixels")


class SLidR(VoxelMethod):
    """The method: `encoder` is what users keep, the rest serves training.

    L = −1/S Σₛ log(exp(kₛ·qₛ/t) / Σᵣ exp(kₛ·qᵣ/t)) over the S superpixels of all images of a batch that hold a point. k
    is the mean of the features of the superpixel's points, a voxel counted once per pair, q that of all its pixels;
    features have length 1, their means are taken as they are.

    Superpixels are SLIC's, or any regions that frames bring as their pixel map "superpixels", for example those of a
    segmentation network, as Seal takes them (Liu et al., 2023, https://arxiv.org/abs/2306.09347). Pixels of no region,
    −1 in that map, and the points that they see are left out.

    Args:
        encoder: maps voxels to features (M, encoder.feature_dim).
        image_encoder: describes pixels.
        temperature: t.
        superpixels: how images are divided, where frames bring no regions of their own.
        superpixels_cache: folder that keeps them.
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
    needs = frozenset({"superpixels"})
    image_encoder: PixelEncoder

    def __init__(
        self,
        encoder: PointEncoder,
        image_encoder: PixelEncoder,
        *,
        temperature: float = 0.07,
        superpixels: SuperpixelConfig = SUPERPIXELS,
        superpixels_cache: Path = SUPERPIXELS_CACHE,
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
        in_range("temperature", temperature, *TEMPERATURE)
        check_channels(encoder, voxels)
        self.head = nn.Linear(feature_dim(encoder), feature_dim(image_encoder))
        self.temperature = temperature
        self.superpixels = SuperpixelCache(superpixels_cache, superpixels)
        self.voxels = voxels

    def training_step(self, batch: LidarBatch, generator: Generator) -> dict[str, Tensor]:
        """One batch → "loss", a scalar.

        Args:
            batch: frames with pairs and superpixels.
            generator: not used, nothing is drawn.

        Raises:
            ValueError: if the batch has no pairs, or none in a region, or superpixels are missing or those of other
                images.
        """
        check_pairs(batch)
        superpixels = _superpixels(batch)
        count = int(superpixels.max()) + 1  # per image, so that no two images share a number
        x, y = batch.pair_pixel.floor().long().unbind(dim=1)
        region = superpixels[batch.pair_image, y, x]
        paired = region >= 0
        if not bool(paired.any()):
            raise ValueError(
                f"found none of {len(region):,} pairs of points and pixels of a batch in a region, expected some: give "
                "maps of regions that cover more of the images, or larger batches"
            )
        segment = (batch.pair_image * count + region)[paired]
        voxels = describe_voxels(self.encoder, self.head, batch.voxelized)
        points, present = mean_by_segment(
            voxels.index_select(0, batch.pair_voxel[paired]), segment, count * len(superpixels)
        )
        pixels = self.image_encoder.means(batch.images, superpixels, count).flatten(0, 1)
        return {"loss": info_nce(points[present], pixels[present], temperature=self.temperature, normalize=False)}


def _superpixels(batch: LidarBatch) -> Tensor:
    """The batch's superpixels (I, H, W), if they are those of its images."""
    superpixels = batch.pixel_maps.get("superpixels")
    if superpixels is None:
        raise ValueError(
            "found frames without superpixels in a batch, expected them for SLidR: add them by SuperpixelCache.add_to"
        )
    size, expected = tuple(superpixels.shape), (len(batch.images), *batch.images.shape[2:])
    if size != expected:
        raise ValueError(
            f"found superpixels {size} in a batch, expected {expected} as its images: crop and flip both alike"
        )
    if int(superpixels.min()) < -1:
        raise ValueError(
            "found superpixels with numbers below −1, expected numbers of regions from 0, and −1 for pixels of none"
        )
    return superpixels
