"""Augmentation of images with their depth, as BTS trains on KITTI (Lee et al. 2019, https://arxiv.org/abs/1907.10326).

Each image has its own draws, all from one generator on the CPU.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor
from torchvision.transforms.functional import InterpolationMode, rotate

from crosspoint.eval.supervised.depth_config import DepthConfig


def augment_images(images: Tensor, depth: Tensor, recipe: DepthConfig, generator: Generator) -> tuple[Tensor, Tensor]:
    """Turn, mirror, crop and color images; their depth is turned, mirrored and cropped alike.

    Args:
        images: (V, 3, H, W) uint8.
        depth: (V, H, W) meters, 0 where there is none. Turning takes the nearest value and never mixes two.
        recipe: how much.
        generator: of all draws.

    Returns:
        (V, 3, h, w) uint8 and (V, h, w), of the size of the recipe's crop.

    Raises:
        ValueError: if images are smaller than the crop.
    """
    height, width = images.shape[2:]
    crop = recipe.crop or (height, width)
    if height < crop[0] or width < crop[1]:
        raise ValueError(
            f"found images of {height}×{width} pixels, expected at least {crop[0]}×{crop[1]}: lower recipe.crop"
        )
    pairs = [_one(image, truth, recipe, crop, generator) for image, truth in zip(images, depth, strict=True)]
    return torch.stack([image for image, _ in pairs]), torch.stack([truth for _, truth in pairs])


def _one(
    image: Tensor, truth: Tensor, recipe: DepthConfig, crop: tuple[int, int], generator: Generator
) -> tuple[Tensor, Tensor]:
    """One image (3, H, W) and its depth (H, W); the number of draws is always the same."""
    turned, angle, mirrored, down, across, colored, gamma, brightness, *factors = torch.rand(
        11, generator=generator, dtype=torch.float64
    ).tolist()
    if turned < 0.5 and recipe.turn > 0:
        degrees = recipe.turn * (2 * angle - 1)
        image = rotate(image, degrees, InterpolationMode.BILINEAR)
        truth = rotate(truth[None], degrees, InterpolationMode.NEAREST)[0]
    if mirrored < recipe.flip:
        image, truth = image.flip(2), truth.flip(1)
    top, left = (
        int(share * (side - kept + 1)) for share, side, kept in zip((down, across), truth.shape, crop, strict=True)
    )
    image = image[:, top : top + crop[0], left : left + crop[1]]
    truth = truth[top : top + crop[0], left : left + crop[1]]
    if colored < 0.5 and recipe.color > 0:
        power, factor = (1 + recipe.color * (2 * share - 1) for share in (gamma, brightness))
        each = image.new_tensor([1 + recipe.color * (2 * share - 1) for share in factors], dtype=torch.float32)
        bright = (image.float() / 255) ** power * factor * each.view(3, 1, 1)
        image = (bright.clamp(0, 1) * 255).round().to(torch.uint8)
    return image.contiguous(), truth.contiguous()
