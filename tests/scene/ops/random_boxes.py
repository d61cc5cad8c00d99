"""Random boxes, for tests of what compares them."""

from __future__ import annotations

import math

import torch


def random_boxes(count: int, spread: float, seed: int) -> torch.Tensor:
    """(count, 7) float64: centers within `spread` meters, sides of 0.3 to 5.3 m, any heading."""
    boxes = torch.rand(count, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    boxes[:, :3] *= torch.tensor([spread, spread, 2.0])
    boxes[:, 3:6] = 0.3 + 5 * boxes[:, 3:6]
    boxes[:, 6] = 6 * math.pi * (boxes[:, 6] - 0.5)
    return boxes


def turned(boxes: torch.Tensor, angle: float, shift: torch.Tensor) -> torch.Tensor:
    """Boxes turned about the origin, then moved by (2,) meters."""
    cos, sin = math.cos(angle), math.sin(angle)
    result = boxes.clone()
    result[:, :2] = boxes[:, :2] @ torch.tensor([[cos, sin], [-sin, cos]], dtype=boxes.dtype) + shift
    result[:, 6] += angle
    return result
