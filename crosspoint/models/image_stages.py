"""Image networks by their stages: the map of each stride, as decoders of dense predictions want them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crosspoint.models.image_teacher import LAST, image_trunk
from crosspoint.models.resnet_trunk import RANDOM, STAGES, ResNetTrunk, stage_channels
from crosspoint.plugins import Recorded

STEM = "relu"  # of a ResNet: what its first convolution gives, at stride 2


class ImageStages(Recorded, nn.Module):
    """Maps of an image network at each of its strides: images (I, 3, H, W) → maps (I, C, h, w), the finest first.

    Of a ResNet these are the stem at stride 2 and its four stages; of a network of timm the last map of each stride,
    so that a plain transformer has one stage. Nothing is dilated.

    Args:
        network: resnet18 or resnet50 of torchvision, or a network of timm that gives maps.
        weights: as `crosspoint.models.image_teacher.ImageTeacher` knows them; "none" for random ones.
        layers: the network ends after the last of these, as that of an `ImageTeacher`.

    Attributes:
        channels: of each map.

    Raises:
        FileNotFoundError: if weights are not there or cannot be downloaded.
        ValueError: if there is no such network, it gives no maps, or a file's weights are others than the network's.
    """

    def __init__(self, network: str, *, weights: str = RANDOM, layers: Sequence[int] = LAST) -> None:
        super().__init__()
        trunk = image_trunk(network, dilated=False, weights=weights, layers=layers)
        self.trunk = trunk
        self.layers: list[int] = []  # of timm's networks
        if isinstance(trunk, ResNetTrunk):
            stem = next(trunk.children())
            assert isinstance(stem, nn.Conv2d)
            self.channels = (stem.out_channels, *(stage_channels(trunk, name) for name in STAGES))
            return
        infos = list(trunk.model.feature_info)[: max(trunk.layers) + 1]
        self.layers = sorted({int(info["reduction"]): layer for layer, info in enumerate(infos)}.values())
        self.channels = tuple(int(infos[layer]["num_chs"]) for layer in self.layers)

    def fresh(self) -> ImageStages:
        """A network of the same architecture, with random weights from torch's global generator."""
        return ImageStages(self.arguments["network"], layers=self.arguments["layers"])

    def forward(self, images: Tensor) -> list[Tensor]:
        """images (I, 3, H, W), from 0 to 255 → a map (I, C, h, w) for each stage."""
        dtype = next(self.trunk.parameters()).dtype
        mean, std = (
            images.new_tensor(values, dtype=dtype).view(3, 1, 1) for values in (self.trunk.mean, self.trunk.std)
        )
        x = ((images.to(dtype) / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
        if not isinstance(self.trunk, ResNetTrunk):
            found: list[Tensor] = self.trunk.model.forward_intermediates(
                x, indices=self.layers, intermediates_only=True
            )
            return found
        maps = []
        for name, layer in self.trunk.named_children():
            x = layer(x)
            if name in (STEM, *STAGES):
                maps.append(x)
        return maps
