"""The configuration of a pre-training run. Defaults are CrossPoint's published recipe; YAML and flags override them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from crosspoint.models.build import EncoderConfig
from crosspoint.models.projection_heads import PROJECTION
from crosspoint.transforms import CloudAugmentation, ImageAugmentation

ImageNetwork = Literal["resnet18", "resnet50"]
Precision = Literal["32-true", "bf16-mixed", "16-mixed"]


@dataclass(frozen=True)
class DataConfig:
    """Which pairs are read, and how.

    Args:
        dataset: a set of `crosspoint render`, or CrossPoint's own data
        root: folder of the dataset
        split: of a rendered set that has splits; null takes everything
        views: images per cloud; their features are averaged
        image_size: images are resized to this when read; null leaves them
        cache: keep decoded pairs in memory (small rendered sets)
        holdout: share of each class kept out of training, for the probe
        probe_points: points per cloud that the probe sees
        workers: loader processes
    """

    dataset: Literal["rendered", "shapenet"] = "rendered"
    root: Path = Path("data/rendered")
    split: str | None = None
    views: int = 1
    image_size: int | None = None
    cache: bool = False
    holdout: float = 0.1
    probe_points: int = 1024
    workers: int = 2


@dataclass(frozen=True)
class ImageEncoderConfig:
    """Which network encodes images.

    Args:
        network: torchvision network
        weights: a name of torchvision's; the original starts from random weights
    """

    network: ImageNetwork = "resnet50"
    weights: str | None = None


@dataclass(frozen=True)
class MethodConfig:
    """CrossPoint's losses and augmentations.

    Args:
        temperature: divides the cosines in both losses
        intra_weight: between two augmentations of a cloud
        cross_weight: between clouds and images; 0 leaves the images out
        projection: dimensions in which the losses compare
        clouds: augmentation of clouds
        images: augmentation of images
    """

    temperature: float = 0.1
    intra_weight: float = 1.0
    cross_weight: float = 1.0
    projection: int = PROJECTION
    clouds: CloudAugmentation = field(default_factory=CloudAugmentation)
    images: ImageAugmentation = field(default_factory=ImageAugmentation)


@dataclass(frozen=True)
class TrainingConfig:
    """How long and on what.

    Args:
        epochs: passes over the training pairs
        batch_size: pairs per process and step
        optimizer: of all weights that are trained
        learning_rate: at the start of the cosine
        weight_decay: of the weights
        warmup: epochs of linearly rising learning rate
        probe_every: epochs between probes on the hold-out
        precision: of matrix products; losses and normalization stay in float32
        compile: torch.compile the encoders; needs a C++ compiler, or Triton
        accelerator: auto, cpu, gpu, …
        devices: how many on each node
        nodes: how many machines
        sync_batchnorm: normalize over the batches of all processes
    """

    epochs: int = 100
    batch_size: int = 20
    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-6
    warmup: int = 0
    probe_every: int = 10
    precision: Precision = "32-true"
    compile: bool = False
    accelerator: str = "auto"
    devices: int | Literal["auto"] = "auto"
    nodes: int = 1
    sync_batchnorm: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "probe_every", "nodes"):
            if getattr(self, name) < 1:
                raise ValueError(f"found training.{name} {getattr(self, name)}, expected at min_batch 1")
        if self.learning_rate <= 0 or self.weight_decay < 0 or not 0 <= self.warmup < self.epochs:
            raise ValueError(
                f"found learning_rate {self.learning_rate}, weight_decay {self.weight_decay} and warmup {self.warmup}, "
                "expected a positive rate, no negative decay, and a warm-up shorter than the epochs"
            )


@dataclass(frozen=True)
class PretrainConfig:
    """Everything that decides a run.

    Args:
        out: new folder for checkpoints, logs and this configuration
        seed: decides weights, order, hold-out and augmentations
        data: the pairs
        encoder: the point encoder
        image_encoder: the image encoder
        method: losses and augmentations
        training: optimization
    """

    out: Path = Path("runs/crosspoint")
    seed: int = 0
    data: DataConfig = field(default_factory=DataConfig)
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    image_encoder: ImageEncoderConfig = field(default_factory=ImageEncoderConfig)
    method: MethodConfig = field(default_factory=MethodConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
