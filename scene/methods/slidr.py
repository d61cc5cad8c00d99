"""SLidR: the points of a superpixel are to find its pixels among all superpixels.

Sautier et al., Image-to-Lidar Self-Supervised Distillation for Autonomous Driving Data, CVPR 2022,
https://arxiv.org/abs/2203.16258.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from crosspoint.losses import info_nce
from crosspoint.scene.data.batch import SceneBatch
from crosspoint.scene.methods.ppkt import check_pairs, describe_voxels
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pixel_encoder import PixelEncoder


class SLidR(nn.Module):
    """The method: `encoder` is what users keep, the rest serves training.

    L = −1/S Σₛ log(exp(kₛ·qₛ/t) / Σᵣ exp(kₛ·qᵣ/t)) over the S superpixels of all images of a batch that hold a point. k
    is the mean of the features of the superpixel's points, a voxel counted once per pair, q that of all its pixels;
    features have length 1, their means are taken as they are.

    Args:
        encoder: maps voxels to features (M, encoder.feature_dim).
        image_encoder: describes pixels.
        temperature: t.

    Raises:
        ValueError: if the temperature is not positive.
    """

    def __init__(self, encoder: MinkUNet, image_encoder: PixelEncoder, *, temperature: float = 0.07) -> None:
        super().__init__()
        if not temperature > 0:
            raise ValueError(f"found temperature {temperature}, expected a positive number")
        self.encoder = encoder
        self.head = nn.Linear(encoder.feature_dim, image_encoder.config.projection)
        self.image_encoder = image_encoder
        self.temperature = temperature

    def training_step(self, batch: SceneBatch, generator: Generator) -> dict[str, Tensor]:
        """One batch → "loss", a scalar.

        Args:
            batch: frames with pairs and superpixels.
            generator: not used, nothing is drawn.

        Raises:
            ValueError: if the batch has no pairs, or superpixels are missing or those of other images.
        """
        check_pairs(batch)
        regions = _regions(batch)
        count = int(regions.max()) + 1  # per image, so that no two images share a number
        x, y = batch.pair_pixel.floor().long().unbind(dim=1)
        segment = batch.pair_image * count + regions[batch.pair_image, y, x]
        voxels = describe_voxels(self.encoder, self.head, batch.voxels)
        points, present = mean_by_segment(voxels[batch.pair_voxel], segment, count * len(regions))
        pixels = self.image_encoder.means(batch.images, regions, count).flatten(0, 1)
        return {"loss": info_nce(points[present], pixels[present], temperature=self.temperature, normalize=False)}


def mean_by_segment(rows: Tensor, segment: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The mean of the rows of each segment.

    Args:
        rows: (P, C).
        segment: (P,) int64 in [0, count).
        count: S.

    Returns:
        (S, C), zeros where a segment has no row, and (S,) bool: which have one.
    """
    number = torch.bincount(segment, minlength=count)
    sums = rows.new_zeros(count, rows.shape[1]).index_add(0, segment, rows)
    return sums / number.clamp(min=1)[:, None], number > 0


def _regions(batch: SceneBatch) -> Tensor:
    """The batch's superpixels, if they are those of its images."""
    if batch.regions is None:
        raise ValueError(
            "found frames without superpixels in a batch, expected them for SLidR: add them by SuperpixelCache.add_to"
        )
    size, expected = tuple(batch.regions.shape), (len(batch.images), *batch.images.shape[2:])
    if size != expected:
        raise ValueError(
            f"found superpixels {size} in a batch, expected {expected} as its images: crop and flip both alike"
        )
    if int(batch.regions.min()) < 0:
        raise ValueError("found superpixels with numbers below 0, expected numbers from 0: give each pixel one")
    return batch.regions
