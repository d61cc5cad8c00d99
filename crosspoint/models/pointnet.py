"""PointNet without transform nets, the second encoder of CrossPoint's experiments.

Qi et al., 2017, https://arxiv.org/abs/1612.00593, in the form that ships with DGCNN
(https://github.com/WangYueFt/dgcnn), which CrossPoint's authors name as theirs.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from crosspoint.fields import Field, channels_of, checked_fields
from crosspoint.models.point_encoder import PointEncoder, weights_of
from crosspoint.ops.fused_max_pool import layer_max
from crosspoint.ops.shared_mlp import SharedMLP
from crosspoint.renderers.ranges import CHANNELS, in_range


class PointNet(PointEncoder):
    """Encode clouds (B, N, 3) as features (B, embedding): shared layers 3-64-64-64-128-embedding, then the maximum.

    Example:
        >>> import torch
        >>> PointNet()(torch.rand(2, 128, 3)).shape
        torch.Size([2, 1024])

    Args:
        embedding: outputs of the last shared layer.
        fields: what each point has behind x y z: normals, colors; null for neither.

    Raises:
        ValueError: if it is out of range.
    """

    def __init__(self, *, embedding: int = 1024, fields: Sequence[Field] | None = None) -> None:
        super().__init__()
        in_range("embedding", embedding, *CHANNELS)
        self.fields = checked_fields(fields)
        widths = [channels_of(self.fields), 64, 64, 64, 128, embedding]
        self.feature_dim, self.level_dim = embedding, sum(widths[1:-1])
        self.layers = nn.Sequential(*(SharedMLP(c_in, c_out, slope=0.0) for c_in, c_out in pairwise(widths)))

    def weights_by_depth(self) -> list[list[nn.Parameter]]:
        """The shared layers."""
        return weights_of([], *self.layers)

    def forward(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → (B, embedding)."""
        return self._pooled(self._levels(points)[-1])

    def forward_features(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → features of every point (B, N, embedding), before the maximum."""
        return self.layers(points)

    def forward_levels(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points (B, N, 3) → pooled (B, embedding), and the outputs of the first four layers (B, N, 320)."""
        levels = self._levels(points)
        return self._pooled(levels[-1]), torch.cat(levels, dim=-1)

    def _levels(self, points: Tensor) -> list[Tensor]:
        """Outputs of all layers but the last."""
        levels: list[Tensor] = []
        for layer in self.layers[:-1]:
            levels.append(layer(levels[-1] if levels else points))
        return levels

    def _pooled(self, features: Tensor) -> Tensor:
        """The last layer, and the maximum over points: (B, N, 128) → (B, embedding)."""
        last = self.layers[-1]
        assert isinstance(last, SharedMLP)
        return layer_max(last, features)
