"""Part segmentation from any encoder that keeps features of every point."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from crosspoint.models.point_encoder import PointEncoder, feature_dim, level_dim
from crosspoint.ops.shared_mlp import SharedMLP

CATEGORY = 64  # features of a category


class PartSegmenter(nn.Module):
    """Part logits for every point, from an encoder's features of cloud and points and the cloud's category.

    The decoder is that of DGCNN's part segmentation (https://arxiv.org/abs/1801.07829), whatever the encoder.

    Args:
        encoder: the (pre-trained) encoder, with `forward_levels`.
        categories: how many categories the one-hot vector has (16 in ShapeNetPart).
        parts: how many parts over all categories (50 in ShapeNetPart).
        dropout: after the first two decoder layers.
    """

    def __init__(self, encoder: PointEncoder, *, categories: int, parts: int, dropout: float = 0.5) -> None:
        super().__init__()
        self.encoder = encoder
        self.category = SharedMLP(categories, CATEGORY)
        self.decoder = nn.Sequential(
            SharedMLP(feature_dim(encoder) + CATEGORY + level_dim(encoder), 256),
            nn.Dropout(dropout),
            SharedMLP(256, 256),
            nn.Dropout(dropout),
            SharedMLP(256, 128),
            nn.Linear(128, parts, bias=False),
        )

    def forward(self, points: Tensor, category: Tensor) -> Tensor:
        """points (B, N, 3), category one-hot (B, categories) → logits (B, N, parts)."""
        pooled, levels = self.encoder.forward_levels(points)
        context = torch.cat([pooled, self.category(category)], dim=1).unsqueeze(1).expand(-1, levels.shape[1], -1)
        return self.decoder(torch.cat([context, levels], dim=-1))
