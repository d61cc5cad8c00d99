"""Networks of timm (https://github.com/huggingface/pytorch-image-models) that give one feature of a whole image."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from crosspoint.checkpoints.timm_weights import load_timm_weights
from crosspoint.models.image_backbone import ImageBackbone
from crosspoint.models.timm_trunk import PRETRAINED, RANDOM, check_patches, make_model
from crosspoint.transforms import IMAGENET_MEAN, IMAGENET_STD, normalize_images


class TimmEncoder(ImageBackbone):
    """Encode normalized images (B, 3, H, W) as features (B, feature_dim): what the network's classifier would see.

    Images come with ImageNet's mean and deviation removed, as `ImageAugmentation` gives them. The network sees them
    with its own.

    Args:
        network: name of a network of timm: tf_efficientnet_lite0 is for CPUs, vit_base_patch14_dinov2 is DINOv2's.
        weights: "none" for random ones, "pretrained" for those that timm downloads, or a file in timm's names
            (safetensors or torch).
        frozen: keep the weights as they are: no gradients, BatchNorm with its own statistics.

    Raises:
        FileNotFoundError: if weights are not there or cannot be downloaded.
        ValueError: if timm has no such network, or a file's weights are another one's.
    """

    def __init__(self, network: str = "tf_efficientnet_lite0", *, weights: str = RANDOM, frozen: bool = False) -> None:
        super().__init__()
        self.network, self.frozen = network, frozen
        self.model = make_model(network, dilated=False, pretrained=weights == PRETRAINED)
        if weights not in (RANDOM, PRETRAINED):
            load_timm_weights(self.model, network, weights)
        self.feature_dim = int(getattr(self.model, "head_hidden_size", None) or self.model.num_features)
        own = self.model.pretrained_cfg
        self.mean, self.std = tuple(own["mean"]), tuple(own["std"])
        if frozen:
            self.requires_grad_(False)
            self.model.eval()

    def train(self, mode: bool = True) -> TimmEncoder:
        """Set the mode of all but a frozen network, which stays in eval mode."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise ValueError if the network does not take images of a size (H, W)."""
        check_patches(self.model, self.network, size, "the size of the images")

    def forward(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W), normalized with ImageNet's numbers → (B, feature_dim)."""
        given, own = ((_channels(m, images), _channels(s, images)) for m, s in self._numbers())
        images = (images * given[1] + given[0] - own[0]) / own[1]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.frozen):
            features: Tensor = self.model(images.contiguous(memory_format=torch.channels_last))
        return features

    def embed(self, images: Tensor) -> Tensor:
        """images (B, 3, H, W) uint8 → (B, feature_dim) in eval mode, without gradients."""
        assert not self.model.training, "what an image is described by may not hang on the batch"
        with torch.inference_mode():
            features: Tensor = self(normalize_images(images.float() / 255)).float()
        return features

    def _numbers(self) -> tuple[tuple[Sequence[float], Sequence[float]], tuple[Sequence[float], Sequence[float]]]:
        """Mean and deviation that images come with, and those that the network knows."""
        return (IMAGENET_MEAN, IMAGENET_STD), (self.mean, self.std)


def _channels(values: Sequence[float], images: Tensor) -> Tensor:
    return images.new_tensor(values).view(3, 1, 1)
