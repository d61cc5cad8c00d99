"""A dataset of your own: clouds in a file format that the package does not know, to learn from and to measure on.

    python examples/own_dataset.py --out runs/own_dataset

Here the files are two archives, train.npz and test.npz, with `clouds` (n, N, 3), `labels` (n,) and `names`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jsonargparse import auto_cli

from crosspoint import CloudAugmentation, Compute, CrossPoint, PointNet, TrainingConfig, pretrain
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.datasets.pairs import ObjectPair, PairDataset
from crosspoint.datasets.procedural.shapes import shapes_clouds
from crosspoint.eval import CloudTarget, Result, evaluate
from crosspoint.eval.protocols.linear_svm import Linear


class ArchivePairs(PairDataset):
    """Clouds of train.npz in a folder, to learn from; without images."""

    has_views = False

    def __init__(self, root: Path) -> None:
        with np.load(Path(root, "train.npz")) as file:
            self.clouds, self.labels, self.classes = file["clouds"], file["labels"], file["names"].tolist()

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        """A cloud."""
        index, _ = item  # the seed beside it decides what is drawn, such as one of several images; here nothing is
        no_images = torch.zeros(0, 3, 1, 1, dtype=torch.uint8)
        return ObjectPair(torch.from_numpy(self.clouds[index]), no_images, torch.tensor(self.labels[index]))


class ArchiveClouds(LabeledDataset):
    """Clouds of both archives, to measure on; the base class keeps the folder as `root`."""

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """A split, the first points of each cloud; y up, unless the class sets `up_axis`."""
        with np.load(self.root / f"{split}.npz") as file:
            return Clouds(file["clouds"][:, :points], file["labels"], file["names"].tolist(), "archives", split)


def main(out: Path, train: int = 8, test: int = 8, epochs: int = 10, points: int = 256) -> Result:
    """Write archives, train on one of them, and measure on both.

    Args:
        out: folder for archives and the run
        train: number of shapes of each class to learn from
        test: number of shapes of each class to measure on
        epochs: passes over the shapes
        points: points of each cloud
    """
    out.mkdir(parents=True, exist_ok=True)
    for split, count in (("train", train), ("test", test)):
        made = shapes_clouds(split, count, points)
        np.savez(out / f"{split}.npz", clouds=made.points, labels=made.labels, names=made.classes)

    torch.manual_seed(0)
    method = CrossPoint(PointNet(embedding=128), None, cross_weight=0.0, clouds=CloudAugmentation(points=points))
    training, compute = TrainingConfig(epochs=epochs, batch_size=32), Compute(accelerator="cpu", workers=0)
    checkpoint = pretrain(method, ArchivePairs(out), out=out / "run", training=training, compute=compute, resume=True)

    # A dataset to measure on is named by its import path, as `crosspoint evaluate linear --dataset …` does.
    result = evaluate(Linear(), CloudTarget(checkpoint, "own_dataset.ArchiveClouds", out, device="cpu"))
    print(result)
    return result


if __name__ == "__main__":
    from own_dataset import main as run  # so that the checkpoint does not name the class `__main__.ArchivePairs`

    auto_cli(run, as_positional=False)
