"""A frozen image network that teaches: maps of images that never change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from crosspoint.checkpoints.image_weights import ResNetName
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.map_cache import MapCache, weights_digest
from crosspoint.models.resnet_trunk import RANDOM, ResNetTrunk

if TYPE_CHECKING:
    from crosspoint.models.timm_trunk import TimmTrunk

log = logging.getLogger(__name__)

RESNETS: dict[str, ResNetName] = {"resnet18": "resnet18", "resnet50": "resnet50"}
LAST: tuple[int, ...] = (-1,)
Precision = Literal["run", "bf16", "fp16"]
TYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class ImageTeacher(ImageBackbone):
    """Describe images by the maps of a network that is not trained.

    The network (`trunk`) is always in eval mode and runs without gradients, with channels last; it keeps its BatchNorm
    statistics. Images are normalized with the mean and the deviation that it was trained on.

    Args:
        network: resnet18 or resnet50 of torchvision, or any network of timm that gives maps: ViTs (DINOv2, DINOv3,
            CLIP, SigLIP, SAM), ConvNeXt, EfficientNet, …; resnet18 and tf_efficientnet_lite0 are for CPUs.
        dilated: finer maps of a convolutional network, with dilation instead of strides: stride 4 of ResNets, as
            SLidR's, 8 of timm's networks; else 32.
        weights: a file (of ResNets: MoCo v2, DINO, torchvision; of others: in timm's names, safetensors or torch),
            "pretrained" for those that torchvision or timm downloads, a name of torchvision's, or "none" for a random
            network.
        layers: whose maps are taken, counted through the stages or blocks, or from the end; several are joined at the
            finest stride.
        precision: precision of the network: that of the run, or always bf16 or fp16.
        cache: folder that keeps the maps of images, for runs whose images are not cropped; null keeps none.

    Raises:
        FileNotFoundError: if weights are not there or cannot be downloaded.
        ValueError: if there is no such network, it gives no maps or has no such layer, or a file's weights are others
            than the network's.
    """

    def __init__(
        self,
        *,
        network: str = "resnet50",
        dilated: bool = False,
        weights: str = RANDOM,
        layers: Sequence[int] = LAST,
        precision: Precision = "run",
        cache: Path | None = None,
    ) -> None:
        super().__init__()
        if precision not in get_args(Precision):
            raise ValueError(f"found the precision {precision!r}, expected one of {', '.join(get_args(Precision))}")
        self.trunk = image_trunk(network, dilated=dilated, weights=weights, layers=layers)
        self.feature_dim = self.trunk.channels
        if weights == RANDOM:
            log.warning(
                "image weights: none, so a random %s teaches; give image_encoder.weights for one that knows images",
                network,
            )
        self.trunk.requires_grad_(False)
        self.trunk.eval()
        self.precision = precision
        self.cache = cache

    def train(self, mode: bool = True) -> ImageTeacher:
        """Everything but the trunk, which stays in eval mode."""
        super().train(mode)
        self.trunk.eval()
        return self

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise ValueError if the network does not take images of a size (H, W)."""
        self.trunk.check_size(size)

    def features(self, images: Tensor) -> Tensor:
        """images (I, 3, H, W) uint8 → the trunk's maps (I, trunk.channels, h, w), without gradients."""
        if self.cache is None:
            return self._run(images)
        return MapCache(self.cache, self._source)(images, self._run)

    def forward(self, images: Tensor) -> Tensor:
        """images (I, 3, H, W) uint8 → (I, feature_dim, h, w)."""
        return self.features(images)

    @cached_property
    def _source(self) -> str:
        """What decides the maps beside the images; asked for at the first of them, when weights have been loaded."""
        given = self.arguments
        settings = [given["network"], given["dilated"], list(given["layers"]), self.precision]
        return f"{settings} {weights_digest(self.trunk)}"

    def _run(self, images: Tensor) -> Tensor:
        dtype = next(self.trunk.parameters()).dtype
        mean, std = (
            images.new_tensor(values, dtype=dtype).view(3, 1, 1) for values in (self.trunk.mean, self.trunk.std)
        )
        with torch.no_grad():  # not inference_mode: what is trained must keep the maps for its own gradient
            normalized = ((images.to(dtype) / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
            if self.precision == "run":
                return self.trunk(normalized)
            with torch.autocast(images.device.type, TYPES[self.precision]):
                return self.trunk(normalized).to(dtype)


def image_trunk(network: str, *, dilated: bool, weights: str, layers: Sequence[int] = LAST) -> ResNetTrunk | TimmTrunk:
    """The network of a name up to its maps: torchvision's ResNets by theirs, all others by timm's."""
    if network in RESNETS:
        return ResNetTrunk(RESNETS[network], dilated=dilated, weights=weights, layers=layers)
    from crosspoint.models.timm_trunk import TimmTrunk  # timm takes long to import, and ResNets need none of it

    return TimmTrunk(network, dilated=dilated, weights=weights, layers=layers)
