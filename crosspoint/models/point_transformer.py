"""The standard point transformer: patches as tokens, plain attention between them.

Point-BERT (Yu et al., CVPR 2022, https://arxiv.org/abs/2111.14819) and Point-MAE (Pang et al., ECCV 2022,
https://arxiv.org/abs/2203.06604) brought it; Point-JEPA, CrossJEPA and most newer methods keep it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.fields import Field, channels_of, checked_fields
from crosspoint.models.patches import PatchEmbedding, cut_patches
from crosspoint.models.point_encoder import PointEncoder, weights_of
from crosspoint.ops.interpolation import interpolate_nearest
from crosspoint.renderers.ranges import CHANNELS, POINTS, in_range

LEVELS = 3  # depths whose tokens a decoder of parts reads: a third, two thirds and all of the blocks, as Point-MAE's


class PointTransformer(PointEncoder):
    """Encode clouds (B, N, 3) as features (B, 2 · width): one of all tokens, and the maximum over them.

    The defaults are the usual S size: 21,825,024 parameters, 21,825,792 with a class token. Its classifiers of public
    codes bring that to the 22.1 M that papers print.

    Example:
        >>> import torch
        >>> PointTransformer(groups=8, size=4, width=24, depth=2, heads=3)(torch.rand(2, 64, 3)).shape
        torch.Size([2, 48])

    Args:
        groups: patches of a cloud.
        size: points of a patch.
        width: number of features of a token.
        depth: blocks.
        heads: number of heads of attention, which divides the width.
        class_token: a learned token stands for the whole cloud, as where Point-MAE's weights are fine-tuned; else the
            mean of all tokens does.
        fields: what each point has behind x y z: normals, colors; null for neither. Patches are cut in space.

    Raises:
        ValueError: if a number is out of range, or the heads do not divide the width.
    """

    neighborhood: ClassVar[str] = "size"

    def __init__(
        self,
        *,
        groups: int = 64,
        size: int = 32,
        width: int = 384,
        depth: int = 12,
        heads: int = 6,
        class_token: bool = False,
        fields: Sequence[Field] | None = None,
    ) -> None:
        super().__init__()
        in_range("groups", groups, *POINTS)
        in_range("size", size, *POINTS)
        in_range("width", width, *CHANNELS)
        in_range("depth", depth, 1, 1000)
        in_range("heads", heads, *CHANNELS)
        if width % heads:
            raise ValueError(f"found {heads} heads for a width of {width}, expected heads that divide the width")
        self.feature_dim, self.level_dim = 2 * width, LEVELS * width
        self.groups, self.size = groups, size
        self.fields = checked_fields(fields)
        self.embed = PatchEmbedding(width, channels_of(self.fields))
        self.position = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        # Two parameters, as in public codes: what the token is, and where it is.
        self.class_token = nn.Parameter(torch.zeros(2, width)) if class_token else None
        # As public codes, but for positions: with 0.02 there, too, a token hardly says where it is, and short trainings
        # learn little more than what patches hold, wherever they are.
        for layer in [*self.embed.modules(), *self.blocks.modules()]:
            if isinstance(layer, nn.Linear):
                nn.init.trunc_normal_(layer.weight, std=0.02)
                if layer.bias is not None:
                    nn.init.zeros_(layer.bias)
        if self.class_token is not None:
            nn.init.trunc_normal_(self.class_token, std=0.02)

    def weights_by_depth(self) -> list[list[nn.Parameter]]:
        """The embedding with positions and class token, then each block; the last norm stands with the last block."""
        first = [] if self.class_token is None else [self.class_token]
        *blocks, last = self.blocks
        return weights_of(first, [self.embed, self.position], *blocks, [last, self.norm])

    def forward(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → (B, 2 · width); raises ValueError if N is below `groups` or `size`."""
        return self._pooled(self._tokens(points)[0][-1])

    def forward_features(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → features of every point (B, N, width): of the three nearest patches, by distance.

        As Point-MAE's part segmentation carries tokens to points (PointNet++'s interpolation).
        """
        levels, centers = self._tokens(points)
        return interpolate_nearest(points[..., :3], centers, self._patches(levels[-1]))

    def forward_levels(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """points (B, N, 3) → pooled (B, 2 · width), and tokens of three depths at every point (B, N, 3 · width)."""
        levels, centers = self._tokens(points)
        tokens = torch.cat([self._patches(level) for level in levels], dim=-1)
        return self._pooled(levels[-1]), interpolate_nearest(points[..., :3], centers, tokens)

    def _tokens(self, points: Tensor) -> tuple[list[Tensor], Tensor]:
        """Normalized tokens (B, T, width) of three depths, the last ones last, and the patches' centers (B, G, 3)."""
        patches = cut_patches(points, self.groups, self.size)
        x, where = self.embed(patches.points), self.position(patches.centers)
        if self.class_token is not None:
            token, place = self.class_token[:, None, None].expand(-1, x.shape[0], -1, -1)
            x, where = torch.cat([token, x], dim=1), torch.cat([place, where], dim=1)
        levels, depth = [], len(self.blocks)
        ends = {-(-depth * level // LEVELS) for level in range(1, LEVELS + 1)}
        for number, block in enumerate(self.blocks, start=1):
            x = block(x + where)
            if number in ends:
                levels.append(self.norm(x))
        return [levels[0]] * (LEVELS - len(levels)) + levels, patches.centers

    def _patches(self, tokens: Tensor) -> Tensor:
        """Tokens of patches alone: (B, T, width) → (B, G, width)."""
        return tokens if self.class_token is None else tokens[:, 1:]

    def _pooled(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, width) → the feature of the cloud (B, 2 · width)."""
        patches = self._patches(tokens)
        first = patches.mean(dim=1) if self.class_token is None else tokens[:, 0]
        return torch.cat([first, patches.amax(dim=1)], dim=1)


class Block(nn.Module):
    """Attention and a perceptron of two layers, each behind a LayerNorm and beside a shortcut; (B, T, width)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, T, width) → (B, T, width)."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))
