"""PointNet++ for LiDAR frames, in the form that 3DSSD gave it and SimIPU pre-trains with.

Qi et al., 2017, https://arxiv.org/abs/1706.02413; Yang et al., 3DSSD, 2020, https://arxiv.org/abs/2002.10187; Li et
al., SimIPU, 2022, https://arxiv.org/abs/2112.04680, whose sizes are the defaults: three stages of set abstraction
that leave 1,024 points with 1,024 features each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.models.point_encoder import PointEncoder, weights_of
from crosspoint.models.raw_cloud import read_cloud
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


# A quarter of all points and widths; such points lie twice as far apart, so balls are twice as large.
SMALL = tuple(
    AbstractionConfig(
        by_feature=stage.by_feature // 4,
        by_distance=stage.by_distance // 4,
        leading=stage.leading // 4,
        radii=tuple(2 * radius for radius in stage.radii),
        neighbors=tuple(count // 2 for count in stage.neighbors),
        widths=tuple(tuple(width // 4 for width in widths) for widths in stage.widths),
        width=stage.width // 4,
    )
    for stage in PUBLISHED
)
SIZES = {"published": PUBLISHED, "small": SMALL}


class SampledPoints(NamedTuple):
    """The points that the last stage leaves."""

    positions: Tensor  # (B, S, 3) meters
    features: Tensor  # (B, S, C)
    rows: Tensor  # (B, S) int64: which points of the input they are


class PointNet2(PointEncoder):
    """Describe some points of each cloud by what lies around them.

    The result depends on the order of a cloud: sampling starts with its first point, and a ball that holds more
    points than are taken gives its first ones. Shuffle clouds while training.

    Args:
        features: number of features of a point beside its position: 1, the intensity.
        stages: sizes of the stages of set abstraction: "published" are SimIPU's, "small" ones suit a CPU.
        rings: leave out of each ball what the next smaller one holds, as 3DSSD.
        relative_positions: show the network where in a ball its neighbors lie. SimIPU does not: it describes a place
            by the intensities in the rings around it, which turning and shifting the frame leaves as they are. Clouds
            without intensity need this.

    Raises:
        ValueError: if there is no stage, nothing describes points, or a stage needs more points than the one before
            it leaves.

    Example:
        >>> import torch
        >>> network = PointNet2.small()
        >>> points = torch.rand(2, 2048, 4) * torch.tensor([40.0, 40.0, 3.0, 1.0])
        >>> network(points).features.shape
        torch.Size([2, 256, 256])
    """

    inputs = "sweeps"

    def __init__(
        self,
        *,
        features: int = 1,
        stages: Literal["published", "small"] | Sequence[AbstractionConfig] = "published",
        rings: bool = True,
        relative_positions: bool = False,
    ) -> None:
        super().__init__()
        sizes = _stages(stages)
        _check(features, sizes, relative_positions)
        self.features = features
        self.relative_positions = relative_positions
        self.min_points = sizes[0].needs
        self.feature_dim = sizes[-1].width
        widths = [features, *(stage.width for stage in sizes)]
        self.stages = nn.ModuleList(
            SetAbstraction(width, stage, rings=rings, relative_positions=relative_positions)
            for width, stage in zip(widths, sizes, strict=False)
        )

    @classmethod
    def small(cls) -> PointNet2:
        """A network with a quarter of all points and widths."""
        return cls(stages="small")

    def weights_by_depth(self) -> list[list[nn.Parameter]]:
        """The stages."""
        return weights_of([], *self.stages)

    def prepare(self, cloud: np.ndarray | Tensor, inputs: Inputs, *, up_axis: str | None = None) -> Tensor:
        """A raw sweep → what `forward` takes, on the device of the weights.

        Of a sweep with more points than training drew, as many are drawn, always the same ones; in meters, as it is.

        Args:
            cloud: (N, 3 + features) or (B, N, 3 + features): x y z in meters, intensity from 0 to 1.
            inputs: what the network was trained on.
            up_axis: of the cloud, "x", "y" or "z"; None where it is that of training.

        Raises:
            ValueError: if the cloud has another shape, or a number that is not finite.
        """
        points = read_cloud(cloud, self, inputs, columns=3 + self.features, up_axis=up_axis)
        order = torch.randperm(points.shape[1], generator=torch.Generator().manual_seed(0))[: inputs.points]
        return points[:, order.to(points.device)]

    def forward(self, points: Tensor) -> SampledPoints:
        """Points (B, N, 3 + features) → S points of each cloud and their features.

        Raises:
            ValueError: if the channels are others than the network's, or clouds have fewer points than stage 1 needs.
        """
        channels, needed = 3 + self.features, self.min_points
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


def _stages(given: Literal["published", "small"] | Sequence[AbstractionConfig]) -> Sequence[AbstractionConfig]:
    """The stages that are named or given; checkpoints and YAML hold them as dicts."""
    if isinstance(given, str):
        if given not in SIZES:
            raise ValueError(f"found the stages {given!r}, expected {' or '.join(SIZES)}, or a list of stages")
        return SIZES[given]
    return [AbstractionConfig(**stage) if isinstance(stage, Mapping) else stage for stage in given]


def _check(features: int, stages: Sequence[AbstractionConfig], relative_positions: bool) -> None:
    if features + relative_positions < 1 or not stages:
        raise ValueError(
            f"found {features} features and {len(stages)} stages, expected one stage or more and something to describe "
            "points by: set features or relative_positions"
        )
    for number, (before, stage) in enumerate(pairwise(stages), start=2):
        if stage.needs > before.samples:
            raise ValueError(
                f"found a stage {number} that needs {stage.needs} points, expected at most the {before.samples} that "
                "the stage before it leaves: choose fewer"
            )
