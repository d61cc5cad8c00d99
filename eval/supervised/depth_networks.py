"""Networks that tell depth from images: an image network's stages, and what stands above them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.eval.supervised.depth_frames import DepthBatch
from crosspoint.models.image_stages import ImageStages
from crosspoint.models.joined_maps import join_maps
from crosspoint.ops.precision import full_precision

TYPICAL = 10.0  # meters with which a linear probe begins
SMALLEST = 1e-6  # keeps the root's gradient finite where all is predicted exactly


def depth_loss(log_depth: Tensor, truth: Tensor, nearest: float, farthest: float) -> Tensor:
    """SigLoss √(var(g) + 0.15 mean(g)²), g = log depth − log truth; a factor of all depths costs less than others.

    As Eigen et al. (2014, https://arxiv.org/abs/1406.2283) define it, with AdaBins' weight (Bhat et al. 2021,
    https://arxiv.org/abs/2011.14141).

    Args:
        log_depth: (I, H, W) predictions.
        truth: (I, H, W) meters, 0 where there is none.
        nearest: meters that a true depth must exceed.
        farthest: meters below which it must be.

    Returns:
        A scalar over the pixels of all images; 0, with a gradient of 0, where none counts.
    """
    counted = (truth > nearest) & (truth < farthest)
    g = full_precision(log_depth)[counted] - truth[counted].log()
    if len(g) == 0:
        return full_precision(log_depth).sum() * 0.0
    return (g.var(correction=0) + 0.15 * g.mean().square() + SMALLEST).sqrt()


class LinearDepth(nn.Module):
    """Log depth as a linear function of the last two stages, (I, C, h, w) each, joined at the finer one's stride.

    Features are brought to mean 0 and deviation 1 first, for their scale would decide how fast the layer learns, and
    those of random networks are small; that is linear, too. The log depth is upsampled to the image.

    Args:
        channels: of all stages.

    Raises:
        ValueError: if there is one stage alone.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        check_stages(channels)
        features = sum(channels[-2:])
        self.standardize = nn.BatchNorm2d(features, affine=False)
        self.layer = nn.Conv2d(features, 1, 1)
        nn.init.zeros_(self.layer.weight)
        nn.init.constant_(self.layer.bias, math.log(TYPICAL))  # type: ignore[arg-type] # it has a bias

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps of the stages → log depth (I, H, W)."""
        joined = join_maps([full_precision(part) for part in maps[-2:]])
        return _upsampled(full_precision(self.layer(self.standardize(joined))), size)[:, 0]


class DenseDepth(nn.Module):
    """DenseDepth's decoder (Alhashim and Wonka, 2018, https://arxiv.org/abs/1812.11941), as SimIPU fine-tunes it.

    A 1×1 convolution on the last stage; for each finer stage bilinear upsampling, the stage's map beside it, and two
    3×3 convolutions to half the channels; a last one to a depth of sigmoid times `farthest` meters.

    Args:
        channels: of all stages; 64, 256, 512, 1024 and 2048 of a ResNet-50.
        farthest: meters.

    Raises:
        ValueError: if there is one stage alone.
    """

    def __init__(self, channels: Sequence[int], farthest: float) -> None:
        super().__init__()
        check_stages(channels)
        self.farthest = farthest
        width = channels[-1]
        self.bottom = nn.Conv2d(width, width, 1)
        self.blocks = nn.ModuleList()
        for skip in reversed(channels[:-1]):
            self.blocks.append(_two_convolutions(width + skip, max(width // 2, 1)))
            width = max(width // 2, 1)
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, maps: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
        """Maps of the stages → log depth (I, H, W)."""
        x = self.bottom(maps[-1])
        for block, skip in zip(self.blocks, reversed(maps[:-1]), strict=True):
            x = block(torch.cat([_upsampled(x, (skip.shape[2], skip.shape[3])), skip], dim=1))
        depth = full_precision(self.last(x)).sigmoid() * self.farthest
        return _upsampled(depth, size)[:, 0].clamp(min=SMALLEST).log()


class DepthEstimator(nn.Module):
    """Log depth of images: an image network and a decoder.

    Args:
        encoder: gives maps; None for batches that bring them.
        head: maps and the size (H, W) of images → (I, H, W).
        scale: size at which the encoder sees images, as a share of theirs.
        freeze_encoder: hold the encoder's weights, and its BatchNorms in evaluation mode.
    """

    def __init__(
        self, encoder: ImageStages | None, head: nn.Module, *, scale: float = 1.0, freeze_encoder: bool = False
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = head
        self.scale = scale
        self.freeze_encoder = freeze_encoder
        if encoder is not None and freeze_encoder:
            encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> DepthEstimator:
        """Switch what may be trained."""
        super().train(mode)
        if self.encoder is not None and self.freeze_encoder:
            self.encoder.eval()
        return self

    def encode(self, images: Tensor) -> list[Tensor]:
        """images (I, 3, H, W) uint8 → maps of the stages, the finest first."""
        assert self.encoder is not None
        if self.scale != 1.0:
            size = [max(1, round(side * self.scale)) for side in images.shape[2:]]
            images = F.interpolate(images.float(), size=size, mode="bilinear", antialias=self.scale < 1)
        return list(self.encoder(images))

    def forward(self, batch: DepthBatch) -> Tensor:
        """A batch → (I, H, W)."""
        height, width = batch.depth.shape[1:]
        log_depth: Tensor = self.head(batch.maps or self.encode(batch.images), (height, width))
        return log_depth


def check_stages(channels: Sequence[int]) -> None:
    """Raise ValueError if a network has one stage alone, from which nothing fine can be read."""
    if len(channels) < 2:
        raise ValueError(
            f"found an image network with {len(channels)} stage, expected maps of two strides or more: take a network "
            "of convolutions, such as a ResNet"
        )


def _two_convolutions(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(inplace=True),
    )


def _upsampled(maps: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(maps, size=size, mode="bilinear", align_corners=True)
