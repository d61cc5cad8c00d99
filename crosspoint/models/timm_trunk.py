"""Any network of timm (https://github.com/huggingface/pytorch-image-models) that gives maps of its images."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import timm
import torch
from torch import Tensor, nn

from crosspoint.checkpoints.timm_weights import load_timm_weights
from crosspoint.models.joined_maps import join_maps

RANDOM = "none"
PRETRAINED = "pretrained"
DILATED_STRIDE = 8  # the finest that timm's networks are dilated to


class TimmTrunk(nn.Module):
    """Network of timm without its classifier: normalized images (I, 3, H, W) → maps (I, channels, h, w).

    Transformers give their patches as maps, without class and register tokens, and before the last normalization, as
    ScaLR takes them (https://arxiv.org/abs/2310.17504). Blocks behind the last layer that is asked for are removed.

    Args:
        network: timm's name, with or without a tag: "vit_small_patch14_dinov2.lvd142m", "tf_efficientnet_lite0".
        dilated: maps of stride 8 instead of 32, where a network can be dilated.
        weights: "none", "pretrained" (downloaded once, into Hugging Face's cache), or a file in timm's names,
            safetensors or torch.
        layers: which maps, counted through the network's blocks or stages, or from the end.

    Attributes:
        channels: of the maps.
        mean: of the images that the network was trained on, by color.
        std: their standard deviations.

    Raises:
        FileNotFoundError: if weights are not there or cannot be downloaded.
        ValueError: if timm has no such network, it gives no maps or has no such layer, it cannot be dilated, or a
            file's weights are others than the network's.
    """

    def __init__(
        self, network: str, *, dilated: bool = False, weights: str = RANDOM, layers: Sequence[int] = (-1,)
    ) -> None:
        super().__init__()
        self.network = network
        self.model = make_model(network, dilated=dilated, pretrained=weights == PRETRAINED)
        config = self.model.pretrained_cfg
        self.mean, self.std = tuple(config["mean"]), tuple(config["std"])
        if weights not in (RANDOM, PRETRAINED):
            load_timm_weights(self.model, network, weights)
        infos = list(self.model.feature_info)
        wrong = [layer for layer in layers if not -len(infos) <= layer < len(infos)]
        if wrong or not layers:
            raise ValueError(
                f"found layers {list(layers)} of {network}, expected some of 0 to {len(infos) - 1}, or counted from "
                f"the end, −1 to −{len(infos)}"
            )
        self.layers = [layer % len(infos) for layer in layers]
        self.channels = sum(int(infos[layer]["num_chs"]) for layer in self.layers)
        if hasattr(self.model, "prune_intermediate_layers"):
            self.model.prune_intermediate_layers(sorted(set(self.layers)), prune_norm=True, prune_head=True)
        self.to(memory_format=torch.channels_last)  # the layout that convolutions want

    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (I, 3, H, W) → (I, channels, h, w), at the finest stride of the layers."""
        wanted = sorted(set(self.layers))
        found = self.model.forward_intermediates(images, indices=wanted, intermediates_only=True)
        by_layer = dict(zip(wanted, found, strict=True))
        return join_maps([by_layer[layer] for layer in self.layers])

    def check_size(self, size: tuple[int, int]) -> None:
        """Raise ValueError if the network does not take images of a size (H, W), or gives no maps of them."""
        check_patches(self.model, self.network, size, "method.augmentation.size")
        try:
            with torch.no_grad():
                maps = self(torch.zeros(1, 3, *size, device=next(self.parameters()).device))
        except (AssertionError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"found images of {size[0]} × {size[1]} that {self.network} does not take "
                f"({' '.join(str(error).split())[:160]}), expected another size: set method.augmentation.size"
            ) from error
        if maps.ndim != 4 or maps.shape[1] != self.channels:
            raise ValueError(
                f"found {self.network} giving {tuple(maps.shape)} for an image, expected maps (1, {self.channels}, h, "
                "w): choose a network with spatial maps"
            )


def check_patches(model: Any, network: str, size: tuple[int, int], setting: str) -> None:
    """Raise ValueError if the patches of a transformer do not divide images of a size (H, W), which `setting` sets."""
    patch = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    if patch is not None and (size[0] % patch[0] or size[1] % patch[1]):
        near = [max(1, round(side / step)) * step for side, step in zip(size, patch, strict=True)]
        raise ValueError(
            f"found images of {size[0]} × {size[1]} for {network} with patches of {patch[0]} × {patch[1]}, "
            f"expected sides that the patch divides: set {setting} to {near}"
        )


def make_model(network: str, *, dilated: bool, pretrained: bool) -> Any:
    """timm's model without a classifier, for images of any size where it can be, with random or published weights."""
    name = network.partition(".")[0]
    if not timm.is_model(name):
        near = difflib.get_close_matches(name, timm.list_models(), n=3)
        raise ValueError(
            f"found the network {network!r}, expected resnet18, resnet50, or one of timm's"
            + (f" (did you mean {', '.join(near)}?)" if near else ": see timm.list_models()")
        )
    if pretrained and not timm.is_model_pretrained(network):
        raise FileNotFoundError(f"found no published weights of {network} in timm, expected a file: give its path")
    model = _create(network, dilated, pretrained)
    if not hasattr(model, "forward_intermediates") or not getattr(model, "feature_info", None):
        raise ValueError(f"found the network {network}, expected one with spatial maps: choose another of timm's")
    return model


def _create(network: str, dilated: bool, pretrained: bool) -> Any:
    options: dict[str, Any] = {"output_stride": DILATED_STRIDE} if dilated else {}
    flexible: dict[str, Any] = {"dynamic_img_size": True}  # of transformers, whose positions are interpolated
    for sizes in (flexible, {}):
        try:
            return timm.create_model(network, pretrained=pretrained, num_classes=0, **sizes, **options)
        except (TypeError, AssertionError, NotImplementedError) as error:
            if "dynamic_img_size" in str(error) and sizes:
                continue
            if not dilated:
                raise
            raise ValueError(
                f"found dilated for {network}, expected a convolutional network that timm can dilate: leave it out"
            ) from error
        except (OSError, RuntimeError) as error:
            if not pretrained:
                raise
            raise FileNotFoundError(
                f"found no way to download the weights of {network} ({' '.join(str(error).split())[:120]}), expected "
                "them from timm's hub: fetch the file where there is a connection, and give its path as weights"
            ) from error
    raise AssertionError("unreachable: the second attempt returns or raises")
