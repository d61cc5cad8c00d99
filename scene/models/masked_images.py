"""Images with black patches: what masked image modeling has to fill in.

He et al., Masked Autoencoders Are Scalable Vision Learners, CVPR 2022, https://arxiv.org/abs/2111.06377, as CMCR
(https://arxiv.org/abs/2412.08973) masks images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class MaskConfig:
    """Which parts of images are black.

    The public code masks patches of 16 × 16 pixels of images of 900 × 1600 before they are cropped and resized, which
    leaves 4 to 7 pixels of a patch; here a patch is one of the image that the network sees.

    Args:
        probability: probability that an image is masked at all
        share: share of its patches that are masked, each by its own draw
        patch: edge of a patch in pixels
    """

    probability: float = 0.5
    share: float = 0.5
    patch: int = 16

    def __post_init__(self) -> None:
        if not (0 <= self.probability <= 1 and 0 <= self.share <= 1):
            raise ValueError(
                f"found probability {self.probability} and share {self.share} of masks, expected numbers from 0 to 1"
            )
        if self.patch < 1:
            raise ValueError(f"found patches of {self.patch} pixels, expected 1 or more")


@torch.no_grad()
def draw_masks(images: Tensor, config: MaskConfig, generator: Generator) -> Tensor:
    """Which pixels are masked: images (I, 3, H, W) → (I, H, W) bool; patches begin at the upper left corner."""
    count, height, width = len(images), *images.shape[2:]
    grid = [-(-side // config.patch) for side in (height, width)]
    masked = torch.rand(count, 1, 1, generator=generator, device=images.device) < config.probability
    patches = masked & (torch.rand(count, *grid, generator=generator, device=images.device) < config.share)
    pixels = patches.repeat_interleave(config.patch, dim=1).repeat_interleave(config.patch, dim=2)
    return pixels[:, :height, :width]


def black_out(images: Tensor, masks: Tensor) -> Tensor:
    """Images (I, 3, H, W) uint8, black where masks (I, H, W) are."""
    return images.masked_fill(masks[:, None], 0)
