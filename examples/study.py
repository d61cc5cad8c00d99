"""A study: pre-train by two methods, measure both by several protocols, and open one page with tables and pictures.

    python examples/study.py --out runs/study

Your own method (own_method.py) is compared with CrossPoint on clouds alone. The last part is also a command,
`crosspoint evaluate all`.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from jsonargparse import auto_cli
from own_method import TwoHalves

from crosspoint import CloudAugmentation, Compute, CrossPoint, Method, PointNet, TrainingConfig, pretrain
from crosspoint.datasets.cloud_folder import CloudFolder
from crosspoint.datasets.procedural.shapes import write_shapes
from crosspoint.eval import StudyConfig, named_protocols, report_study


def make_method(name: str, points: int) -> Method:
    """The methods that are compared, each with an encoder of its own."""
    encoder = PointNet(embedding=128)
    if name == "TwoHalves":
        return TwoHalves(encoder, None)
    return CrossPoint(encoder, None, cross_weight=0.0, clouds=CloudAugmentation(points=points))


def main(
    out: Path, train: int = 12, test: int = 8, epochs: int = 10, seeds: int = 2, points: int = 256
) -> list[dict[str, object]]:
    """Compare the methods, and write a report; returns the rows of its table.

    Args:
        out: folder for shapes, runs and the study
        train: number of shapes of each class to learn from
        test: number of shapes of each class to measure on
        epochs: passes over the shapes
        seeds: number of runs of each method
        points: points of each cloud
    """
    write_shapes(out / "shapes", train=train, test=test)
    clouds = CloudFolder(out / "shapes", "train", points=points, cache=True)
    training, compute = TrainingConfig(epochs=epochs, batch_size=32), Compute(accelerator="cpu", workers=0)
    checkpoints = []
    for name in ("CrossPoint", "TwoHalves"):
        for seed in range(seeds):
            torch.manual_seed(seed)
            method, run = make_method(name, points), out / f"{name}-{seed}"
            checkpoint = pretrain(method, clouds, out=run, seed=seed, training=training, compute=compute, resume=True)
            checkpoints.append(f"{name}={checkpoint}")  # those of one name are the seeds of one row

    # Interrupted, the same call goes on: each figure is measured once.
    study = StudyConfig(
        checkpoint=checkpoints,
        dataset="clouds",
        root=out / "shapes",
        out=out / "study",
        protocols=named_protocols("linear,knn,retrieval"),
        random_init=True,  # a row of random networks, as the figure to beat
        device="cpu",
        jobs=1,
    )
    report_study(study)
    print(f"open {out / 'study' / 'report.html'} in a browser")
    return json.loads((out / "study" / "results.json").read_text(encoding="utf-8"))["table"]


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
