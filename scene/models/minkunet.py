"""MinkUNet: a residual U-Net of sparse convolutions, the 3D network of PPKT, SLidR and OLIVINE.

Choy et al., 2019, https://arxiv.org/abs/1904.08755, in the form Res16UNet34C of Xie et al., 2020
(https://arxiv.org/abs/2007.10985) that SLidR trains: a stem at stride 1, per encoder stage a convolution to the next
stride and residual blocks, per decoder stage a transposed convolution, the encoder's features of that stride beside
its own, and residual blocks. Every voxel keeps its own output.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.models.point_encoder import PointEncoder, weights_of
from crosspoint.models.raw_cloud import read_cloud
from crosspoint.renderers.ranges import CHANNELS, all_in_range
from crosspoint.scene.ops.sparse_conv import (
    Backend,
    SparseBatchNorm,
    SparseConv3d,
    SparseTensor,
    SparseTransposedConv3d,
    SubmanifoldConv3d,
    use_backend,
)
from crosspoint.scene.ops.voxels import VoxelConfig, collate, voxelize


class MinkUNet(PointEncoder):
    """Describe every voxel by the voxels around it.

    The defaults are Res16UNet34C with 37,842,976 parameters; `small()` suits a CPU. There is no head: a method puts its
    own on the features, e.g. `nn.Linear(network.feature_dim, 64)`, which for the default network makes the 37,849,184
    parameters of SLidR's.

    Args:
        in_channels: features of a voxel, `VoxelConfig.channels`.
        stem: width at stride 1.
        stem_kernel: edge of the stem's kernel, odd.
        encoder: widths of the encoder's stages; each halves the resolution.
        encoder_blocks: residual blocks of each of them.
        decoder: widths of the decoder's stages, as many as the encoder's; the last is the width of the output.
        decoder_blocks: residual blocks of each of them.
        momentum: momentum of the BatchNorms between blocks. SLidR pre-trains with 0.05 and fine-tunes with 0.02.
        block_momentum: momentum of the BatchNorms within blocks, which SLidR leaves at PyTorch's default.
        sparse_backend: what computes the convolutions; spconv is for GPUs. It is no part of `config`, so that a
            checkpoint can be read where spconv is not installed.

    Raises:
        ImportError: if the backend is not installed.
        ValueError: if encoder and decoder have other numbers of stages.

    Example:
        >>> import torch
        >>> from crosspoint.scene.ops.kernel_maps import Grid
        >>> voxels = torch.tensor([[0, 0, 0, 0], [0, 0, 1, 0], [0, 40, 0, 9]])
        >>> network = MinkUNet.small()
        >>> network(SparseTensor(torch.rand(3, 1), Grid(voxels))).shape
        torch.Size([3, 32])
    """

    inputs = "voxels"

    def __init__(
        self,
        *,
        in_channels: int = 1,
        stem: int = 32,
        stem_kernel: int = 3,
        encoder: Sequence[int] = (32, 64, 128, 256),
        encoder_blocks: Sequence[int] = (2, 3, 4, 6),
        decoder: Sequence[int] = (256, 128, 96, 96),
        decoder_blocks: Sequence[int] = (2, 2, 2, 2),
        momentum: float = 0.05,
        block_momentum: float = 0.1,
        sparse_backend: Backend = "torch",
    ) -> None:
        super().__init__()
        for name, widths in (("stem", [stem]), ("encoder", encoder), ("decoder", decoder)):
            all_in_range(name, widths, *CHANNELS)
        stages = [len(s) for s in (encoder, encoder_blocks, decoder, decoder_blocks)]
        if min(stages) == 0 or len(set(stages)) > 1:
            raise ValueError(
                f"found stages {stages} in encoder and decoder, expected equal numbers above 0: match them"
            )
        self.arguments = {name: value for name, value in self.arguments.items() if name != "sparse_backend"}
        self.in_channels = in_channels
        self.feature_dim = decoder[-1]
        self.stem = _stage(SubmanifoldConv3d(in_channels, stem, stem_kernel), momentum)
        self.down, self.encoder = nn.ModuleList(), nn.ModuleList()
        widths = [stem]
        for width, count in zip(encoder, encoder_blocks, strict=True):
            self.down.append(_stage(SparseConv3d(widths[-1], widths[-1]), momentum))
            self.encoder.append(_blocks(widths[-1], width, count, block_momentum))
            widths.append(width)
        self.up, self.decoder = nn.ModuleList(), nn.ModuleList()
        below = widths.pop()
        for width, count in zip(decoder, decoder_blocks, strict=True):
            self.up.append(_stage(SparseTransposedConv3d(below, width), momentum))
            self.decoder.append(_blocks(width + widths.pop(), width, count, block_momentum))
            below = width
        use_backend(self, sparse_backend)

    @classmethod
    def small(cls, in_channels: int = 1) -> MinkUNet:
        """A network of the same shape that two cores can train: 1.4 million parameters, 32 features."""
        return cls(
            in_channels=in_channels,
            stem=16,
            encoder=(16, 32, 64, 96),
            encoder_blocks=(1, 1, 1, 1),
            decoder=(64, 48, 32, 32),
            decoder_blocks=(1, 1, 1, 1),
        )

    @property
    def backend(self) -> Backend:
        """What computes the convolutions; `crosspoint.scene.ops.sparse_conv.use_backend` changes it."""
        layer = self.stem[0]
        assert isinstance(layer, SubmanifoldConv3d)
        return layer.backend

    def weights_by_depth(self) -> list[list[nn.Parameter]]:
        """The stem, then every residual block; the convolution to a stage's stride stands with its first block."""
        layers: list[nn.Module | Sequence[nn.Module]] = [self.stem]
        for change, blocks in [*zip(self.down, self.encoder, strict=True), *zip(self.up, self.decoder, strict=True)]:
            first, *others = blocks.children()
            layers += [[change, first], *others]
        return weights_of([], *layers)

    def prepare(self, cloud: np.ndarray | Tensor, inputs: Inputs, *, up_axis: str | None = None) -> SparseTensor:
        """A raw sweep → the voxels that `forward` takes, cut as in training, on the device of the weights.

        Args:
            cloud: (N, 4) or (B, N, 4): x y z in meters, intensity from 0 to 1.
            inputs: what the network was trained on.
            up_axis: of the cloud, "x", "y" or "z"; None where it is that of training.

        Raises:
            ValueError: if the cloud has another shape, or a number that is not finite.
        """
        points = read_cloud(cloud, self, inputs, columns=4, up_axis=up_axis)
        config = VoxelConfig(**(inputs.voxels or {}))
        return SparseTensor.of(collate([voxelize(one, config) for one in points]))

    def forward(self, voxels: SparseTensor) -> Tensor:
        """Features of the voxels: (M, in_channels) at stride 1 → (M, feature_dim), rows in the same order."""
        x = self.stem(voxels)
        levels = []
        for down, blocks in zip(self.down, self.encoder, strict=True):
            levels.append(x)
            x = blocks(down(x))
        for up, blocks in zip(self.up, self.decoder, strict=True):
            x = up(x)
            x = blocks(x.with_features(torch.cat((x.features, levels.pop().features), dim=1)))
        return x.features


class ResidualBlock(nn.Module):
    """Two convolutions and what went into them; a linear shortcut where the width changes."""

    def __init__(self, in_channels: int, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.conv1 = SubmanifoldConv3d(in_channels, channels)
        self.norm1 = SparseBatchNorm(channels, momentum)
        self.conv2 = SubmanifoldConv3d(channels, channels)
        self.norm2 = SparseBatchNorm(channels, momentum)
        self.shortcut: nn.Module = nn.Identity()
        if in_channels != channels:
            self.shortcut = nn.Sequential(
                SubmanifoldConv3d(in_channels, channels, 1), SparseBatchNorm(channels, momentum)
            )

    def forward(self, x: SparseTensor) -> SparseTensor:
        """(M, in_channels) → (M, channels) at the same stride."""
        inner = self.norm2(self.conv2(_relu(self.norm1(self.conv1(x)))))
        return x.with_features(F.relu(inner.features + self.shortcut(x).features))


class Rectifier(nn.Module):
    """ReLU of the features of all voxels."""

    def forward(self, x: SparseTensor) -> SparseTensor:
        """(M, C) → (M, C)."""
        return _relu(x)


def _relu(x: SparseTensor) -> SparseTensor:
    return x.with_features(F.relu(x.features))


def _stage(conv: SubmanifoldConv3d | SparseConv3d | SparseTransposedConv3d, momentum: float) -> nn.Sequential:
    """A convolution between blocks, normalized and rectified."""
    return nn.Sequential(conv, SparseBatchNorm(conv.kernel.shape[2], momentum), Rectifier())


def _blocks(in_channels: int, channels: int, count: int, momentum: float) -> nn.Sequential:
    widths = [in_channels, *[channels] * count]
    return nn.Sequential(*(ResidualBlock(*pair, momentum) for pair in pairwise(widths)))
