"""Settings of training that all methods share: optimization, hardware, and the probe that watches a run."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Literal

from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.ranges import POINTS, in_range

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]
Optimizer = Literal["adam", "adamw", "sgd"]


@dataclass(frozen=True)
class TrainingConfig:
    """Optimization of a run; what is null is the method's own, as its authors published it.

    Args:
        epochs: passes over the training samples
        batch_size: number of samples per process and step
        optimizer: optimizer of all weights that are trained
        learning_rate: learning rate at the start of the cosine
        weight_decay: weight decay of all weights
        warmup: number of first epochs in which the learning rate rises
    """

    epochs: int | None = None
    batch_size: int | None = None
    optimizer: Optimizer | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    warmup: int | None = None

    def resolved(self, recipe: JsonObject) -> ResolvedTraining:
        """These settings, with those of a method's recipe in place of what is null.

        Raises:
            ValueError: if a number is out of range.
        """
        given = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return ResolvedTraining(**{**recipe, **{name: value for name, value in given.items() if value is not None}})


@dataclass(frozen=True)
class ResolvedTraining:
    """Optimization of a run, all of it decided; the defaults are CrossPoint's. Arguments as in `TrainingConfig`."""

    epochs: int = 100
    batch_size: int = 20
    optimizer: Optimizer = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    warmup: int = 0

    def __post_init__(self) -> None:
        in_range("training.epochs", self.epochs, 1, 10_000_000)
        in_range("training.batch_size", self.batch_size, 1, 10_000_000)
        in_range("training.learning_rate", self.learning_rate, 1e-12, 1e6)
        in_range("training.weight_decay", self.weight_decay, 0.0, 1e6)
        if not 0 <= self.warmup < self.epochs:
            raise ValueError(
                f"found training.warmup {self.warmup}, expected at least 0 and fewer than the {self.epochs} epochs"
            )


@dataclass(frozen=True)
class Compute:
    """Hardware of a run. It may change when a run is resumed, but for precision, accumulation and sync_batchnorm.

    Args:
        accelerator: hardware of the run: auto, cpu, gpu, …
        devices: number of devices on each node; under torchrun, as many as it starts processes
        nodes: number of machines
        precision: precision of matrix products; losses and normalization stay in float32
        workers: number of processes that load data
        accumulation: number of steps whose gradients are added up before the weights change
        sync_batchnorm: normalize over the batches of all processes
        compile: make the encoders faster by torch.compile; needs a C++ compiler, or Triton
    """

    accelerator: str = "auto"
    devices: int | Literal["auto"] = "auto"
    nodes: int = 1
    precision: Precision = "32-true"
    workers: int = 2
    accumulation: int = 1
    sync_batchnorm: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        for name, least in (("nodes", 1), ("workers", 0), ("accumulation", 1)):
            in_range(f"compute.{name}", getattr(self, name), least, 100_000)

    def on_one_device(self) -> Compute:
        """The same hardware, of which only one device of one machine is used."""
        return replace(self, devices=1, nodes=1)


@dataclass(frozen=True)
class ProbeConfig:
    """The probe that watches pre-training on objects: a linear SVM on a part of the training data.

    Args:
        holdout: share of each class kept out of training, for the probe; 0 probes nothing
        points: points per cloud that the probe sees
        every: number of epochs between two probes
        samples: largest number of clouds that the SVM is fitted on, a share of every class; null takes all, and the
            time grows with their square
    """

    holdout: float = 0.1
    points: int = 1024
    every: int = 10
    samples: int | None = 4000

    def __post_init__(self) -> None:
        if not 0 <= self.holdout < 1:
            raise ValueError(f"found probe.holdout {self.holdout}, expected a share from 0 to below 1")
        in_range("probe.points", self.points, *POINTS)
        in_range("probe.every", self.every, 1, 10_000_000)
        in_range("probe.samples", self.samples, 2, 10_000_000)
