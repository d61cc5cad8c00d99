"""Boxes as differences from anchors, and headings as an angle of a half turn with a direction.

Zhou and Tuzel, VoxelNet, 2018, https://arxiv.org/abs/1711.06396; directions as in SECOND (Yan et al., 2018,
https://doi.org/10.3390/s18103337).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

OFFSET = math.pi / 4  # of the border between the two directions, where few objects head


def encode_boxes(boxes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes (n, 7) → codes (n, 7) for their anchors (n, 7).

    (x, y) in diagonals of the anchor from above, z in its heights, logarithms of the sizes' ratios, and the difference
    of the headings.
    """
    diagonal = torch.hypot(anchors[:, 3], anchors[:, 4])
    scale = torch.stack([diagonal, diagonal, anchors[:, 5]], dim=1)
    place = (boxes[:, :3] - anchors[:, :3]) / scale
    return torch.cat([place, (boxes[:, 3:6] / anchors[:, 3:6]).log(), boxes[:, 6:] - anchors[:, 6:]], dim=1)


def decode_boxes(codes: Tensor, anchors: Tensor) -> Tensor:
    """Codes (n, 7) and their anchors (n, 7) → boxes (n, 7)."""
    diagonal = torch.hypot(anchors[:, 3], anchors[:, 4])
    scale = torch.stack([diagonal, diagonal, anchors[:, 5]], dim=1)
    center = codes[:, :3] * scale + anchors[:, :3]
    return torch.cat([center, codes[:, 3:6].exp() * anchors[:, 3:6], codes[:, 6:] + anchors[:, 6:]], dim=1)


def heading_directions(headings: Tensor) -> Tensor:
    """Which half turn from 45° on a heading is in: (n,) → (n,) int64, 0 or 1."""
    turned = (headings - OFFSET).remainder(2 * math.pi)
    return (turned / math.pi).floor().long().clamp(0, 1)


def directed(headings: Tensor, directions: Tensor) -> Tensor:
    """Headings (n,), known up to a half turn, put into the half turn of their directions (n,); in [π/4, 9π/4)."""
    return (headings - OFFSET).remainder(math.pi) + OFFSET + math.pi * directions


def sine_difference(codes: Tensor, targets: Tensor) -> Tensor:
    """Differences (n, 7) of codes from their targets, of the headings the sine, to which a half turn is nothing."""
    heading = torch.sin(codes[:, 6:] - targets[:, 6:])
    return torch.cat([codes[:, :6] - targets[:, :6], heading], dim=1)
