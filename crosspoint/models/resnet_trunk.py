"""ResNets of torchvision up to their last maps, at stride 32 or, dilated, at stride 4."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import torch
import torchvision
from torch import Tensor, nn

from crosspoint.checkpoints.image_weights import ResNetName, load_weights
from crosspoint.models.joined_maps import join_maps

RANDOM = "none"
STAGES = ("layer1", "layer2", "layer3", "layer4")


class ResNetTrunk(nn.Sequential):
    """ResNet without pooling and classifier: normalized images (I, 3, H, W) → maps (I, channels, h, w).

    Its weights have torchvision's names.

    Args:
        network: which ResNet.
        dilated: maps of stride 4 instead of 32.
        weights: as `crosspoint.checkpoints.image_weights.load_weights` knows them, or "none".
        layers: stages whose maps are given, 0 to 3 or, from the end, −1 to −4.

    Raises:
        FileNotFoundError: if weights are not there or cannot be downloaded.
        ValueError: if a file's weights are others than the network's, or a layer is not there.
    """

    def __init__(
        self, network: ResNetName, *, dilated: bool = False, weights: str = RANDOM, layers: Sequence[int] = (-1,)
    ) -> None:
        resnet = torchvision.models.get_model(network, weights=None)
        super().__init__(OrderedDict(list(resnet.named_children())[:-2]))
        wrong = [layer for layer in layers if not -4 <= layer < 4]
        if wrong or not layers:
            raise ValueError(f"found layers {list(layers)} of a {network}, expected some of 0 to 3, or −1 to −4")
        self.taken = [STAGES[layer] for layer in layers]
        self.channels = sum(stage_channels(self, name) for name in self.taken)
        self.mean, self.std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, with which all of them train
        if weights != RANDOM:
            load_weights(self, network, weights)
        if dilated:
            dilate(self)
        self.to(memory_format=torch.channels_last)  # the layout that convolutions want

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (I, 3, H, W) → (I, channels, h, w), at the finest stride of the layers."""
        found: dict[str, Tensor] = {}
        for name, layer in self.named_children():
            images = layer(images)
            if name in self.taken:
                found[name] = images
            if len(found) == len(set(self.taken)):
                break
        return join_maps([found[name] for name in self.taken])

    def check_size(self, size: tuple[int, int]) -> None:
        """ResNets take images of any size."""


def stage_channels(trunk: nn.Module, stage: str) -> int:
    """Channels of the map that a stage gives."""
    last = list(trunk.get_submodule(stage).children())[-1]
    norms = [layer for layer in last.children() if isinstance(layer, nn.BatchNorm2d)]
    return int(norms[-1].num_features)


def dilate(trunk: nn.Module) -> None:
    """Replace the strides of stages 2–4 by dilation: the same features, at every position of stride 4.

    As torchvision's replace_stride_with_dilation, which refuses ResNet-18: what comes after a stride that is no more
    taken reaches twice as far.
    """
    dilation = 1
    for name in STAGES[1:]:
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
