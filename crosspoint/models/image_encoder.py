"""Image encoders: torchvision's ResNets without their classifier."""

from __future__ import annotations

from typing import Literal

import torchvision
from torch import Tensor, nn

from crosspoint.models.image_backbone import ImageBackbone

RANDOM = "none"
ImageNetwork = Literal["resnet18", "resnet50"]


class ImageEncoder(ImageBackbone):
    """Encode normalized images (B, 3, H, W) as features (B, 2048) (ResNet-50) or (B, 512) (ResNet-18).

    CrossPoint trains a ResNet-50 from random weights beside the point encoder.

    Args:
        network: which ResNet (He et al., 2016, https://arxiv.org/abs/1512.03385).
        weights: null or none for random weights, or a name of torchvision ("DEFAULT", "IMAGENET1K_V2"); they are
            downloaded once.

    Raises:
        ValueError: if torchvision does not know the weights.
    """

    def __init__(self, network: ImageNetwork = "resnet50", *, weights: str | None = None) -> None:
        super().__init__()
        weights = None if weights == RANDOM else weights
        known = [entry.name for entry in torchvision.models.get_model_weights(network)]
        if weights is not None and weights not in [*known, "DEFAULT"]:
            raise ValueError(f"found weights {weights!r} for {network}, expected null or one of {[*known, 'DEFAULT']}")
        self.resnet = torchvision.models.get_model(network, weights=weights)
        self.feature_dim: int = self.resnet.fc.in_features
        self.resnet.fc = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) → (B, feature_dim)."""
        return self.resnet(images)
