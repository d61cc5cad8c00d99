"""Bilinear upsampling of feature maps to the size of their images, and two short cuts that read it without doing it.

Pixels see features as in PPKT and SLidR: a small map (stride 4 or 32) is spread over the image with its corners on the
image's corner pixels (`align_corners`), then each pixel's feature is brought to length 1. At 64 channels the result has
21 times the numbers of the image; losses ask for its values at some pixels or for its means over regions only. Both
follow from the map itself, and equal what `upsample` defines, gradients included.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SMALLEST = 1e-12  # length below which a feature is not brought to 1, as in torch.nn.functional.normalize


def upsample(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The definition: maps (I, C, h, w) → (I, C, H, W) of length 1 over C."""
    return F.normalize(F.interpolate(maps, size=size, mode="bilinear", align_corners=True), dim=1, eps=SMALLEST)


def upsampled_at(maps: Tensor, size: tuple[int, int], image: Tensor, pixel: Tensor) -> Tensor:
    """`upsample(maps, size)[image, :, y, x]` of the pixels that hold some positions.

    Args:
        maps: (I, C, h, w).
        size: (H, W) of the images.
        image: (P,) int64.
        pixel: (P, 2) x and y in [0, W) × [0, H); pixel centers lie at +0.5.

    Returns:
        (P, C) of length 1.
    """
    height, width = maps.shape[2:]
    x, y = pixel.floor().to(maps.dtype).unbind(dim=1)
    (left, across), (top, down) = _place(x, width, size[1]), _place(y, height, size[0])
    right, bottom = (left + 1).clamp_(max=width - 1), (top + 1).clamp_(max=height - 1)
    corners = torch.stack([top * width + left, top * width + right, bottom * width + left, bottom * width + right], 1)
    weights = torch.stack([(1 - down) * (1 - across), (1 - down) * across, down * (1 - across), down * across], 1)
    rows = maps.permute(0, 2, 3, 1).flatten(0, 2)
    corners += image[:, None] * (height * width)
    return F.normalize(F.embedding_bag(corners, rows, per_sample_weights=weights, mode="sum"), dim=1)


def upsampled_means(maps: Tensor, regions: Tensor, count: int) -> Tensor:
    """The means of `upsample(maps, (H, W))` over the regions of each image; they are not of length 1.

    A pixel's feature is Σ w f / |Σ w f| over the four nodes f of the map around it. Its length follows from products
    between neighboring nodes alone (`_lengths`), so a mean is a weighted sum of nodes, and the weights are gathered
    per pixel instead of features: numbers, not vectors.

    Args:
        maps: (I, C, h, w).
        regions: (I, H, W) int64 in [0, count), or −1 for pixels that no mean counts.
        count: regions per image; R.

    Returns:
        (I, R, C); zeros for regions without a pixel.
    """
    images, _, height, width = maps.shape
    y, x = (torch.arange(n, device=maps.device, dtype=maps.dtype) for n in regions.shape[1:])
    (top, down), (left, across) = _place(y, height, len(y)), _place(x, width, len(x))
    bottom, right = (top + 1).clamp_(max=height - 1), (left + 1).clamp_(max=width - 1)
    of_image = torch.arange(images, device=maps.device)[:, None, None] * count
    counted = regions >= 0
    region = regions.clamp(min=0) + of_image  # pixels of no region lie in the first one, with weights of 0
    pixels = torch.bincount(region[counted], minlength=images * count).clamp_(min=1)
    share = (_lengths(maps, (len(y), len(x))) * pixels[region]).reciprocal() * counted  # (I, H, W)
    weights = maps.new_zeros(images * count * height * width)
    for row, along in ((top, 1 - down), (bottom, down)):
        for column, aside in ((left, 1 - across), (right, across)):
            node = region * (height * width) + (row * width)[:, None] + column
            weights.index_add_(0, node.flatten(), (share * along[:, None] * aside).flatten())
    return weights.view(images, count, height * width) @ maps.flatten(2).transpose(1, 2)


def _place(pixel: Tensor, nodes: int, pixels: int) -> tuple[Tensor, Tensor]:
    """The node at or before each pixel (int64), and how far the pixel lies from it towards the next, in [0, 1)."""
    position = pixel * ((nodes - 1) / (pixels - 1) if pixels > 1 else 0.0)
    node = position.floor().clamp_(max=nodes - 1)
    return node.long(), position - node


def _lengths(maps: Tensor, size: tuple[int, int]) -> Tensor:
    """The lengths of interpolated features before they are brought to 1: (I, H, W).

    |Σ w_a f_a|² = Σ w_a w_b ⟨f_a, f_b⟩ over the nodes a, b around a pixel. Weights are products of one along y and one
    along x, so that all squared lengths are one matrix product along each axis, of the products of every node with
    itself and with the next along y, x, or both.
    """
    below, beside = maps[:, :, 1:], maps[:, :, :, 1:]
    itself = (maps * maps).sum(dim=1)
    with_beside = (maps[:, :, :, :-1] * beside).sum(dim=1)
    with_below = (maps[:, :, :-1] * below).sum(dim=1)
    falling = (maps[:, :, :-1, :-1] * below[:, :, :, 1:]).sum(dim=1)
    rising = (below[:, :, :, :-1] * beside[:, :, :-1]).sum(dim=1)
    upper = torch.cat([itself, with_beside], dim=2)
    lower = torch.cat([with_below, (falling + rising) / 2], dim=2)
    products = torch.cat([upper, lower], dim=1)  # (I, 2h − 1, 2w − 1)
    along, aside = (_squares(n, m, maps) for n, m in zip(maps.shape[2:], size, strict=True))
    return (along @ products @ aside.T).clamp(min=SMALLEST**2).sqrt()


def _squares(nodes: int, pixels: int, like: Tensor) -> Tensor:
    """Coefficients of (Σ w_a f_a)² along one axis: (pixels, 2 · nodes − 1), squares first, then those of neighbors."""
    node, offset = _place(torch.arange(pixels, device=like.device, dtype=like.dtype), nodes, pixels)
    weights = like.new_zeros(pixels, nodes)
    weights.scatter_add_(1, node[:, None], (1 - offset)[:, None])
    weights.scatter_add_(1, (node + 1).clamp_(max=nodes - 1)[:, None], offset[:, None])
    return torch.cat([weights.square(), 2 * weights[:, :-1] * weights[:, 1:]], dim=1)
