"""Settings of training on labeled clouds, and the hardware that it runs on.

The defaults are those of DGCNN (Wang et al., 2019, https://arxiv.org/abs/1801.07829, code at
https://github.com/WangYueFt/dgcnn), which CrossPoint fine-tunes with.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from crosspoint.eval.supervised.layer_decay import DECAYS
from crosspoint.fields import Field, check_channels, stretch_fields
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.ranges import in_range
from crosspoint.training.config import Compute
from crosspoint.transforms import CloudAugmentation

Optimizer = Literal["sgd", "adam"]
RATES: dict[Optimizer, float] = {"sgd": 0.1, "adam": 1e-3}  # where the recipe names none: CrossPoint's and DGCNN's


@dataclass(frozen=True)
class ScaleAndShift:
    """A factor for each axis and a shift along it, drawn for each cloud, as DGCNN trains.

    Args:
        scale: limits of the factors
        shift: largest shift, in the unit of the clouds
    """

    scale: tuple[float, float] = (2 / 3, 3 / 2)
    shift: float = 0.2

    def __post_init__(self) -> None:
        if not (0 < self.scale[0] <= self.scale[1] and self.shift >= 0):
            raise ValueError(
                f"found scale {list(self.scale)} and shift {self.shift}, expected two positive factors, the smaller "
                "first, and no negative shift"
            )

    def __call__(self, points: Tensor, generator: Generator, fields: Sequence[Field] = ()) -> Tensor:
        """points (B, N, 3 + 3 F) → (B, N, 3 + 3 F): normals are bent as the axes are stretched, colors stay."""
        check_channels(points, fields)
        drawn = torch.rand(2, len(points), 1, 3, generator=generator, device=points.device, dtype=points.dtype)
        low, high = self.scale
        factors = low + (high - low) * drawn[0]
        moved = points[..., :3] * factors + self.shift * (2 * drawn[1] - 1)
        return torch.cat([moved, stretch_fields(points[..., 3:], factors, fields)], dim=-1) if fields else moved


Augmentation = ScaleAndShift | CloudAugmentation


@dataclass(frozen=True)
class FinetuneConfig:
    """How a network is trained on labeled clouds; the defaults are DGCNN's for classification.

    Args:
        epochs: passes over the training clouds
        batch_size: clouds per process and step; the rest of an epoch is dropped, and small splits are one batch
        optimizer: sgd or adam
        learning_rate: learning rate at the start of the cosine; by default 0.1 for sgd and 0.001 for adam
        final_rate: share of the learning rate that is left at the end of the cosine
        momentum: momentum of sgd
        weight_decay: weight decay, added to the gradient
        layer_decay: share of its learning rate that an encoder's layer leaves to the one before
        smoothing: probability that the target gives to all wrong labels together
        dropout: share of features that dropout sets to zero in the head or decoder
        augmentation: how training clouds are changed; null leaves them as they are
    """

    epochs: int = 250
    batch_size: int = 32
    optimizer: Optimizer = "sgd"
    learning_rate: float | None = None
    final_rate: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 1e-4
    layer_decay: float = 1.0
    smoothing: float = 0.2
    dropout: float = 0.5
    augmentation: Augmentation | None = ScaleAndShift()

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch_size < 2:
            raise ValueError(
                f"found {self.epochs} epochs of batches of {self.batch_size}, expected at least 1 epoch, and 2 clouds "
                "for BatchNorm"
            )
        if self.optimizer not in RATES:
            raise ValueError(f"found the optimizer {self.optimizer!r}, expected one of: {', '.join(RATES)}")
        if not (math.isfinite(self.rate) and self.rate > 0 and self.weight_decay >= 0):
            raise ValueError(
                f"found learning_rate {self.rate} and weight_decay {self.weight_decay}, expected a positive rate and "
                "no negative decay"
            )
        for name, limit in {"final_rate": 1.0, "momentum": 0.999, "smoothing": 0.5, "dropout": 0.999}.items():
            if not 0 <= getattr(self, name) <= limit:
                raise ValueError(f"found {name} {getattr(self, name)}, expected a share from 0 to {limit:g}")
        in_range("layer_decay", self.layer_decay, *DECAYS)

    @property
    def rate(self) -> float:
        """The learning rate at the start."""
        return RATES[self.optimizer] if self.learning_rate is None else self.learning_rate

    def constants(self) -> JsonObject:
        """All settings, as JSON holds them."""
        augmentation: JsonObject | None = None
        if self.augmentation is not None:
            settings = asdict(self.augmentation).items()
            augmentation = {name: list(value) if isinstance(value, tuple) else value for name, value in settings}
            augmentation["kind"] = type(self.augmentation).__name__
        return {**asdict(self), "learning_rate": self.rate, "augmentation": augmentation}


@dataclass(frozen=True)
class Resources(Compute):
    """Hardware of training with labels, and of its evaluation.

    Loader processes and the batch of evaluation change no figure; the rest does: a GPU has random numbers of its own
    and adds in varying order, and every device has a batch of its own.

    Args:
        accelerator: hardware of training: auto, cpu, gpu, …; auto takes what --device names, where that is the CPU
        devices: number of devices; under torchrun, as many as it starts processes on each node
        nodes: number of machines
        precision: precision of matrix products in training; evaluation is in float32
        workers: processes that load data; clouds are in memory already
        accumulation: steps whose gradients are added up before the weights change
        sync_batchnorm: normalize over the batches of all processes
        compile: not available here
        evaluation_batch: clouds per forward pass of an evaluation
        kept_features: GB of a linear probe's features of frames that memory keeps
    """

    devices: int | Literal["auto"] = 1
    workers: int = 0
    evaluation_batch: int = 32
    kept_features: float = 8.0

    def __post_init__(self) -> None:
        super().__post_init__()
        in_range("evaluation_batch", self.evaluation_batch, 1, 100_000)
        in_range("kept_features", self.kept_features, 0.0, 1e6)
        if self.compile:
            raise ValueError("found compile true for training with labels, expected false: leave it out")

    @property
    def device(self) -> torch.device:
        """Where this process evaluates outside of training."""
        on_gpu = self.accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available()
        return torch.device("cuda" if on_gpu else "cpu")
