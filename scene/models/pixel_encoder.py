"""Image encoders of scenes: a frozen teacher that describes pixels (PPKT, SLidR), and a trained ResNet (SimIPU)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from crosspoint.checkpoints.image_weights import ResNetName
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.image_teacher import LAST, ImageTeacher, Precision
from crosspoint.models.resnet_trunk import RANDOM, ResNetTrunk
from crosspoint.ops.precision import full_precision
from crosspoint.scene.ops.upsampling import upsample, upsampled_at, upsampled_means


class PixelEncoder(ImageTeacher):
    """Describe pixels of images that may have any size.

    What is trained is `decoder`, a 1×1 convolution with bias on the maps of a frozen network. Its map is upsampled to
    the image, corners on corners, and brought to length 1. Where the sides of images are multiples of the stride, that
    is the upsampling ×32 of PPKT and ×4 of SLidR (Sautier et al., 2022, https://arxiv.org/abs/2203.16258).

    Memory for the whole of `forward` is large; `at` and `means` read values and means from it at a small part.

    Args:
        network: resnet18 or resnet50 of torchvision, or any network of timm that gives maps: ViTs (DINOv2, DINOv3,
            CLIP, SigLIP, SAM), ConvNeXt, EfficientNet, …; resnet18 and tf_efficientnet_lite0 are for CPUs.
        dilated: finer maps of a convolutional network, with dilation instead of strides: stride 4 of ResNets, as
            SLidR's, 8 of timm's networks; else 32, as PPKT's.
        weights: a file (of ResNets: MoCo v2, DINO, torchvision; of others: in timm's names, safetensors or torch),
            "pretrained" for those that torchvision or timm downloads, a name of torchvision's, or "none" for a random
            network.
        projection: channels in which points and pixels are compared.
        layers: whose maps are taken, counted through the stages or blocks, or from the end; several are joined at the
            finest stride.
        precision: precision of the network: that of the run, or always bf16 or fp16.
        cache: folder that keeps the maps of images, for runs whose images are not cropped; null keeps none.

    Raises:
        FileNotFoundError: if weights are not there or cannot be downloaded.
        ValueError: if there is no such network, it gives no maps or has no such layer, a file's weights are others
            than the network's, or the projection is below 1.
    """

    def __init__(
        self,
        *,
        network: str = "resnet50",
        dilated: bool = False,
        weights: str = RANDOM,
        projection: int = 64,
        layers: Sequence[int] = LAST,
        precision: Precision = "run",
        cache: Path | None = None,
    ) -> None:
        if projection < 1:
            raise ValueError(f"found a projection to {projection} channels, expected 1 or more")
        super().__init__(
            network=network, dilated=dilated, weights=weights, layers=layers, precision=precision, cache=cache
        )
        self.decoder = nn.Conv2d(self.feature_dim, projection, 1)
        self.feature_dim = projection

    def maps(self, images: Tensor) -> Tensor:
        """images (I, 3, H, W) uint8 → (I, projection, h, w) at the trunk's stride, of any length."""
        return full_precision(self.decoder(self.features(images)))

    def forward(self, images: Tensor) -> Tensor:
        """images (I, 3, H, W) uint8 → features of length 1, (I, projection, H, W)."""
        return upsample(self.maps(images), _size(images))

    def at(self, images: Tensor, image: Tensor, pixel: Tensor) -> Tensor:
        """The features of some pixels: as of `forward(images)[image, :, y, x]`, (P, projection).

        Args:
            images: (I, 3, H, W) uint8.
            image: (P,) int64.
            pixel: (P, 2) x and y in [0, W) × [0, H); pixel centers lie at +0.5.
        """
        return upsampled_at(self.maps(images), _size(images), image, pixel)

    def means(self, images: Tensor, regions: Tensor, count: int) -> Tensor:
        """The means of `forward(images)` over regions: (I, count, projection).

        Args:
            images: (I, 3, H, W) uint8.
            regions: (I, H, W) int64 in [0, count), or −1 for pixels that no mean counts.
            count: regions per image.
        """
        maps = self.maps(images)
        with torch.autocast(maps.device.type, enabled=False):
            return upsampled_means(maps, regions, count)


class ResNetMaps(ImageBackbone):
    """A ResNet up to its last map, at stride 32; all of it is trained. Its weights have torchvision's names.

    Args:
        network: which ResNet; resnet18 is for CPUs.
        weights: what it starts from: a file (MoCo v2, DINO, torchvision), a name of torchvision's, or "none" for random
            weights, as SimIPU does.

    Raises:
        FileNotFoundError: if weights are not there or cannot be downloaded.
        ValueError: if a file's weights are others than the network's.
    """

    def __init__(self, *, network: ResNetName = "resnet50", weights: str = RANDOM) -> None:
        super().__init__()
        trunk = ResNetTrunk(network, weights=weights)
        self.feature_dim = trunk.channels
        for name, layer in trunk.named_children():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (I, 3, H, W) → (I, feature_dim, H / 32, W / 32), sides rounded up."""
        maps = images
        for layer in self.children():
            maps = layer(maps)
        return maps


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]
