"""Image encoders of scenes: a frozen teacher that describes pixels (PPKT, SLidR), and a trained ResNet (SimIPU)."""

from __future__ import annotations

import logging
from collections import OrderedDict

import torch
import torchvision
from torch import Tensor, nn

from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.ops.precision import full_precision
from crosspoint.scene.checkpoints.image_weights import ResNetName, load_weights
from crosspoint.scene.ops.upsampling import upsample, upsampled_at, upsampled_means
from crosspoint.transforms import normalize_images

log = logging.getLogger(__name__)

RANDOM = "none"


class PixelEncoder(ImageBackbone):
    """Describe pixels of images that may have any size.

    The ResNet (`trunk`) never changes: always in eval mode and without gradients, it keeps its BatchNorm statistics.
    What is trained is `decoder`, a 1×1 convolution with bias. Its map is upsampled to the image, corners on corners,
    and brought to length 1. Where the sides of images are multiples of the stride, that is the upsampling ×32 of PPKT
    and ×4 of SLidR (Sautier et al., 2022, https://arxiv.org/abs/2203.16258).

    Memory for the whole of `forward` is large; `at` and `means` read values and means from it at a small part.

    Args:
        network: which ResNet; resnet18 is for CPUs.
        dilated: maps of stride 4 instead of 32, as SLidR's; PPKT's are not.
        weights: a file (MoCo v2, DINO, torchvision), a name of torchvision's, or "none" for a random network.
        projection: channels in which points and pixels are compared.

    Raises:
        FileNotFoundError: if weights are not there or cannot be downloaded.
        ValueError: if a file's weights are others than the network's, or the projection is below 1.
    """

    def __init__(
        self,
        *,
        network: ResNetName = "resnet50",
        dilated: bool = False,
        weights: str = RANDOM,
        projection: int = 64,
    ) -> None:
        super().__init__()
        if projection < 1:
            raise ValueError(f"found a projection to {projection} channels, expected 1 or more")
        self.feature_dim = projection
        self.trunk = resnet_trunk(network, dilated=dilated, weights=weights)
        if weights == RANDOM:
            log.warning(
                "image weights: none, so a random %s teaches; give image_encoder.weights for one that knows images",
                network,
            )
        self.trunk.requires_grad_(False)
        self.trunk.eval()
        self.decoder = nn.Conv2d(trunk_channels(network), projection, 1)

    def train(self, mode: bool = True) -> PixelEncoder:
        """Everything but the trunk, which stays in eval mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    def maps(self, images: Tensor) -> Tensor:
        """images (I, 3, H, W) uint8 → (I, projection, h, w) at the trunk's stride, of any length."""
        with torch.no_grad():  # not inference_mode: the decoder must keep the trunk's output for its own gradient
            normalized = normalize_images(images.to(self.decoder.weight.dtype) / 255)
            features = self.trunk(normalized.contiguous(memory_format=torch.channels_last))
        return full_precision(self.decoder(features))

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
        self.feature_dim = trunk_channels(network)
        for name, layer in resnet_trunk(network, dilated=False, weights=weights).named_children():
            self.add_module(name, layer)

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (I, 3, H, W) → (I, feature_dim, H / 32, W / 32), sides rounded up."""
        maps = images
        for layer in self.children():
            maps = layer(maps)
        return maps


def resnet_trunk(network: ResNetName, *, dilated: bool, weights: str) -> nn.Sequential:
    """A ResNet up to its last map: images (I, 3, H, W), normalized → (I, trunk_channels, h, w), strides of 4 or 32.

    Weights as in `crosspoint.scene.checkpoints.image_weights.load_weights`, or "none"; it can be trained, as SimIPU
    does.
    """
    resnet = torchvision.models.get_model(network, weights=None)
    trunk = nn.Sequential(OrderedDict(list(resnet.named_children())[:-2]))  # without pooling and classifier
    if weights != RANDOM:
        load_weights(trunk, network, weights)
    if dilated:
        _dilate(trunk)
    return trunk.to(memory_format=torch.channels_last)  # the layout that convolutions want


def trunk_channels(network: ResNetName) -> int:
    """Channels of the last map."""
    return 2048 if network == "resnet50" else 512


def _dilate(trunk: nn.Sequential) -> None:
    """Replace the strides of stages 2–4 by dilation: the same features, at every position of stride 4.

    As torchvision's replace_stride_with_dilation, which refuses ResNet-18: what comes after a stride that is no more
    taken reaches twice as far.
    """
    dilation = 1
    for name in ("layer2", "layer3", "layer4"):
        for layer in trunk.get_submodule(name).modules():
            if not isinstance(layer, nn.Conv2d):
                continue
            strided, wide = layer.stride == (2, 2), layer.kernel_size == (3, 3)
            if wide:
                layer.dilation = layer.padding = (dilation, dilation)
            if strided:
                layer.stride = (1, 1)
            if strided and wide:
                dilation *= 2


def _size(images: Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]
