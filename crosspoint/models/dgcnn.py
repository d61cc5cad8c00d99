"""DGCNN, the encoder of CrossPoint's classification experiments.

Wang et al., 2019, https://arxiv.org/abs/1801.07829, as CrossPoint uses it (Afham et al., 2022,
https://arxiv.org/abs/2203.00680): four EdgeConv layers on graphs of their own inputs, their outputs side by
side through one shared layer, then the maximum and the mean over points.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from crosspoint.fields import Field, channels_of, checked_fields
from crosspoint.models.point_encoder import PointEncoder, weights_of
from crosspoint.ops.edgeconv import EdgeConv
from crosspoint.ops.fused_max_mean_pool import layer_max_and_mean
from crosspoint.ops.shared_mlp import SLOPE, SharedMLP
from crosspoint.renderers.ranges import CHANNELS, POINTS, all_in_range, in_range


class DGCNN(PointEncoder):
    """Encode clouds (B, N, 3) as features (B, 2 · embedding); 617,856 parameters by default.

    Example:
        >>> import torch
        >>> DGCNN()(torch.rand(2, 128, 3)).shape
        torch.Size([2, 2048])

    Args:
        k: neighbors per point, the point itself included; CrossPoint pre-trains and probes with 15.
        channels: outputs of the EdgeConv layers.
        embedding: outputs of the shared layer before pooling.
        fields: what each point has behind x y z: normals, colors; null for neither. Neighbors are those in space.

    Raises:
        ValueError: if a number is out of range.
    """

    def __init__(
        self,
        *,
        k: int = 15,
        channels: Sequence[int] = (64, 64, 128, 256),
        embedding: int = 1024,
        fields: Sequence[Field] | None = None,
    ) -> None:
        super().__init__()
        in_range("k", k, *POINTS)
        all_in_range("channels", channels, *CHANNELS)
        in_range("embedding", embedding, *CHANNELS)
        self.feature_dim, self.level_dim = 2 * embedding, sum(channels)
        self.fields = checked_fields(fields)
        widths = [channels_of(self.fields), *channels]
        self.edges = nn.ModuleList(EdgeConv(c_in, c_out, k=k, slope=SLOPE) for c_in, c_out in pairwise(widths))
        self.embed = SharedMLP(sum(channels), embedding)

    def weights_by_depth(self) -> list[list[nn.Parameter]]:
        """The EdgeConv layers, then the shared one."""
        return weights_of([], *self.edges, self.embed)

    def forward(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → (B, 2 · embedding); raises ValueError if N < k."""
        return layer_max_and_mean(self.embed, self._levels(points))

    def forward_features(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → features of every point (B, N, embedding), before pooling."""
        return self.embed(self._levels(points))

    def forward_levels(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points (B, N, 3) → pooled (B, 2 · embedding), and the outputs of all EdgeConv layers (B, N, level_dim)."""
        levels = self._levels(points)
        return layer_max_and_mean(self.embed, levels), levels

    def _levels(self, points: Tensor) -> Tensor:
        """Outputs of all EdgeConv layers side by side: points (B, N, 3) → (B, N, sum of channels)."""
        levels: list[Tensor] = []
        x = points
        for edge in self.edges:
            x = edge(x) if levels or not self.fields else edge(x, points[..., :3])
            levels.append(x)
        return torch.cat(levels, dim=-1)
