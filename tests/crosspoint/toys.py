"""Toy pairs, and runs of CrossPoint on them that take a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from crosspoint import (
    DGCNN,
    CloudAugmentation,
    Compute,
    CrossPoint,
    ImageAugmentation,
    ImageEncoder,
    PairDataset,
    PartSegDGCNN,
    PointEncoder,
    PointNet,
    TrainingConfig,
    pretrain,
)
from crosspoint.datasets.pairs import ObjectPair, draw_views


class ToyPairs(PairDataset):
    """Boxes of four proportions with pictures of their color: pairs that cost nothing to make."""

    def __init__(self, per_class: int = 6, points: int = 64, size: int = 24, views: int = 1) -> None:
        self.classes = ["cube", "plate", "rod", "ramp"]
        self.labels = np.repeat(np.arange(4), per_class)
        generator = np.random.default_rng(0)
        shapes = np.array([[1, 1, 1], [1, 0.1, 1], [0.1, 1, 0.1], [1, 0.5, 0.2]])
        self.points = (generator.uniform(-1, 1, (len(self.labels), points, 3)) * shapes[self.labels][:, None]).astype(
            np.float32
        )
        self.images = generator.integers(0, 256, (len(self.labels), 3, 3, size, size), dtype=np.uint8)
        self.images[:, :, 0] = (self.labels * 60)[:, None, None, None]
        self.views = views

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        index, seed = item
        chosen = draw_views(3, self.views, seed)
        return ObjectPair(
            torch.from_numpy(self.points[index]),
            torch.from_numpy(self.images[index][chosen]),
            torch.tensor(self.labels[index]),
        )

    def read_points(self, index: int) -> np.ndarray:
        return self.points[index]


SIZES: dict[type[PointEncoder], dict[str, Any]] = {
    DGCNN: {"k": 5, "channels": [8, 8], "embedding": 16},
    PointNet: {"embedding": 16},
    PartSegDGCNN: {"k": 5},
}


def toy_method(seed: int = 0, encoder: type[PointEncoder] = DGCNN, **settings: Any) -> CrossPoint:
    """A small CrossPoint with the random weights of a seed; torch's global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = encoder(**SIZES[encoder])
        images = ImageEncoder("resnet18") if settings.get("cross_weight", 1.0) > 0 else None
        augmentation = {"clouds": CloudAugmentation(points=48), "images": ImageAugmentation(size=24)}
        return CrossPoint(network, images, **{**augmentation, **settings})


def toy_run(
    out: Path,
    *,
    method: CrossPoint | None = None,
    dataset: PairDataset | None = None,
    seed: int = 0,
    compute: Compute | None = None,
    training: dict[str, Any] | None = None,
    **options: Any,
) -> Path:
    """`pretrain` on toy pairs."""
    return pretrain(
        method or toy_method(seed),
        dataset or ToyPairs(),
        out=out,
        seed=seed,
        training=TrainingConfig(**{"epochs": 2, "batch_size": 6, **(training or {})}),
        compute=compute or Compute(accelerator="cpu", workers=0),
        **options,
    )
