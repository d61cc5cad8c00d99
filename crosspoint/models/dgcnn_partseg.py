"""The DGCNN of part segmentation, as CrossPoint pre-trains and fine-tunes it.

It differs from the classification network: a transform net aligns the cloud, the first two EdgeConv layers have two
linear maps each, only the maximum is pooled. Layer sizes follow https://github.com/MohamedAfham/CrossPoint.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from crosspoint.fields import Field, channels_of, checked_fields
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.ops.edge_mlp import EdgeMLP
from crosspoint.ops.edgeconv import EdgeConv
from crosspoint.ops.fused_max_pool import layer_max
from crosspoint.ops.knn import knn
from crosspoint.ops.shared_mlp import SharedMLP
from crosspoint.renderers.ranges import POINTS, in_range

EMBEDDING = 1024
LEVELS = 3 * 64  # channels of the three EdgeConv outputs side by side


class TransformNet(nn.Module):
    """Predict a 3×3 matrix per cloud, the identity at initialization."""

    def __init__(self) -> None:
        super().__init__()
        self.edge = EdgeMLP(3, 64, 128)
        self.embed = SharedMLP(128, 1024)
        self.hidden = nn.Sequential(SharedMLP(1024, 512), SharedMLP(512, 256))
        self.matrix = nn.Linear(256, 9)
        nn.init.zeros_(self.matrix.weight)
        nn.init.eye_(self.matrix.bias.view(3, 3))

    def forward(self, points: Tensor, neighbors: Tensor) -> Tensor:
        """points (B, N, 3), neighbors (B, N, K) → (B, 3, 3), to be multiplied from the right."""
        pooled = layer_max(self.embed, self.edge(points, neighbors))
        return self.matrix(self.hidden(pooled)).view(-1, 3, 3)


class PartSegDGCNN(PointEncoder):
    """Encode clouds (B, N, 3) as features (B, 1024), keeping per-point features for a decoder.

    Args:
        k: neighbors per point; CrossPoint pre-trains with 15 and fine-tunes with 40.
        fields: what each point has behind x y z: normals, colors; null for neither. Neighbors are those in space, and
            the transform net sees and moves x y z alone.

    Raises:
        ValueError: if it is out of range.
    """

    def __init__(self, *, k: int = 15, fields: Sequence[Field] | None = None) -> None:
        super().__init__()
        in_range("k", k, *POINTS)
        self.feature_dim, self.level_dim = EMBEDDING, LEVELS
        self.k = k
        self.fields = checked_fields(fields)
        self.transform = TransformNet()
        self.edge1 = EdgeMLP(channels_of(self.fields), 64, 64)
        self.edge2 = EdgeMLP(64, 64, 64)
        self.edge3 = EdgeConv(64, 64, k=k)
        self.embed = SharedMLP(LEVELS, EMBEDDING)

    def forward(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → (B, 1024); raises ValueError if N < k."""
        return self.forward_levels(points)[0]

    def forward_features(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → features of every point (B, N, 192), what a decoder reads."""
        return self.forward_levels(points)[1]

    def forward_levels(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points (B, N, 3) → pooled feature (B, 1024) and per-point features (B, N, 192)."""
        points, values = points[..., :3], points[..., 3:]
        matrix = self.transform(points, knn(points, self.k))
        aligned = points @ matrix
        whole = torch.cat([aligned, values], dim=-1) if self.fields else aligned
        x1 = self.edge1(whole, knn(aligned, self.k))
        x2 = self.edge2(x1, knn(x1, self.k))
        levels = torch.cat([x1, x2, self.edge3(x2)], dim=-1)
        return layer_max(self.embed, levels), levels
