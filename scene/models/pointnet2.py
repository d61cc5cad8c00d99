"""PointNet++ for LiDAR frames, in the form that 3DSSD gave it and SimIPU pre-trains with.

Qi et al., 2017, https://arxiv.org/abs/1706.02413; Yang et al., 3DSSD, 2020, https://arxiv.org/abs/2002.10187; Li et
al., SimIPU, 2022, https://arxiv.org/abs/2112.04680, whose sizes are the defaults: three stages of set abstraction
that leave 1,024 points with 1,024 features each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from crosspoint.scene.ops.set_abstraction import AbstractionConfig, SetAbstraction

PUBLISHED = (
    AbstractionConfig(
        by_feature=0,
        by_distance=4096,
        leading=0,
        radii=(0.2, 0.4, 0.8),
        neighbors=(32, 32, 64),
        widths=((32, 32, 64), (32, 32, 64), (64, 64, 128)),
        width=128,
    ),
    AbstractionConfig(
        by_feature=1024,
        by_distance=1024,
        leading=0,
        radii=(0.4, 0.8, 1.6),
        neighbors=(32, 32, 64),
        widths=((64, 64, 128), (64, 64, 128), (128, 128, 256)),
        width=256,
    ),
    AbstractionConfig(
        by_feature=512,
        by_distance=512,
        leading=512,
        radii=(1.6, 3.2, 4.8),
        neighbors=(16, 16, 16),
        widths=((128, 128, 256), (128, 128, 256), (256, 256, 512)),
        width=1024,
    ),
)


@dataclass(frozen=True)
class PointNet2Config:
    """Sizes; the defaults are SimIPU's, `small()` suits a CPU.

    Args:
        features: of a point beside its position: intensity.
        stages: of set abstraction.
        rings: leave out of each ball what the next smaller one holds, as 3DSSD.
        relative_positions: show the network where in a ball its neighbors lie. SimIPU does not: it describes a place
            by the intensities in the rings around it, which turning and shifting the frame leaves as they are. Clouds
            without intensity need this.
    """

    features: int = 1
    stages: Sequence[AbstractionConfig] = PUBLISHED
    rings: bool = True
    relative_positions: bool = False

    def __post_init__(self) -> None:
        if self.features + self.relative_positions < 1 or not self.stages:
            raise ValueError(
                f"found {self.features} features and {len(self.stages)} stages, expected one stage or more and "
                "something to describe points by: set features or relative_positions"
            )
        for number, (before, stage) in enumerate(zip(self.stages, self.stages[1:], strict=False), start=2):
            if stage.needs > before.samples:
                raise ValueError(
                    f"found a stage {number} that needs {stage.needs} points, expected at most the "
                    f"{before.samples} that the stage before it leaves: choose fewer"
                )

    @classmethod
    def small(cls) -> PointNet2Config:
        """A quarter of all points and widths; such points lie twice as far apart, so balls are twice as large."""
        return cls(
            stages=[
                AbstractionConfig(
                    by_feature=stage.by_feature // 4,
                    by_distance=stage.by_distance // 4,
                    leading=stage.leading // 4,
                    radii=[2 * radius for radius in stage.radii],
                    neighbors=[count // 2 for count in stage.neighbors],
                    widths=[[width // 4 for width in widths] for widths in stage.widths],
                    width=stage.width // 4,
                )
                for stage in PUBLISHED
            ]
        )


class SampledPoints(NamedTuple):
    """The points that the last stage leaves."""

    positions: Tensor  # (B, S, 3) meters
    features: Tensor  # (B, S, C)
    rows: Tensor  # (B, S) int64: which points of the input they are


class PointNet2(nn.Module):
    """Describe some points of each cloud by what lies around them.

    The result depends on the order of a cloud: sampling starts with its first point, and a ball that holds more
    points than are taken gives its first ones. Shuffle clouds while training.

    Example:
        >>> import torch
        >>> network = PointNet2(PointNet2Config.small())
        >>> points = torch.rand(2, 2048, 4) * torch.tensor([40.0, 40.0, 3.0, 1.0])
        >>> network(points).features.shape
        torch.Size([2, 256, 256])
    """

    def __init__(self, config: PointNet2Config) -> None:
        super().__init__()
        self.config = config
        self.feature_dim = config.stages[-1].width
        widths = [config.features, *(stage.width for stage in config.stages)]
        self.stages = nn.ModuleList(
            SetAbstraction(width, stage, rings=config.rings, relative_positions=config.relative_positions)
            for width, stage in zip(widths, config.stages, strict=False)
        )

    def forward(self, points: Tensor) -> SampledPoints:
        """Points (B, N, 3 + features) → S points of each cloud and their features.

        Raises:
            ValueError: if the channels differ from the configuration's, or clouds have fewer points than stage 1 needs.
        """
        channels, needed = 3 + self.config.features, self.config.stages[0].needs
        if points.ndim != 3 or points.shape[2] != channels or points.shape[1] < needed:
            raise ValueError(
                f"found points {tuple(points.shape)}, expected (B, N, {channels}) with N of {needed} or more: "
                "draw more points, or choose fewer in stage 1"
            )
        positions, features = points[..., :3], points[..., 3:]
        rows = torch.arange(points.shape[1], device=points.device).expand(len(points), -1)
        for stage in self.stages:
            positions, features, chosen = stage(positions, features)
            rows = rows.gather(1, chosen)
        return SampledPoints(positions, features, rows)
