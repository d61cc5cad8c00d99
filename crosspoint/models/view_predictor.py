"""A small network that says what a view of an object looks like, from the object's feature and the view's facts."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class ViewPredictor(nn.Module):
    """Perceptron on a cloud's feature and the facts of a view → the embedding that a teacher gives the view.

    Args:
        features: numbers of a cloud's feature.
        facts: numbers that are known of a view.
        embedding: numbers of an embedding.
        hidden: features between layers.
        layers: linear layers, 1 or more; behind all but the last stand a LayerNorm and GELU.
    """

    def __init__(self, features: int, facts: int, embedding: int, *, hidden: int = 1024, layers: int = 3) -> None:
        super().__init__()
        widths = [features + facts, *[hidden] * (layers - 1)]
        blocks = [
            nn.Sequential(nn.Linear(c_in, c_out), nn.LayerNorm(c_out), nn.GELU()) for c_in, c_out in pairwise(widths)
        ]
        self.norm = nn.LayerNorm(features)
        self.layers = nn.Sequential(*blocks, nn.Linear(widths[-1], embedding))

    def forward(self, features: Tensor, facts: Tensor) -> Tensor:
        """features (B, F) and facts (B, V, K) → embeddings (B, V, D)."""
        seen = self.norm(features)[:, None].expand(-1, facts.shape[1], -1)
        predicted: Tensor = self.layers(torch.cat([seen, facts.to(seen.dtype)], dim=-1))
        return predicted
