"""The whole toolkit on embedded data: procedural shapes → views → CrossPoint → linear SVM and few-shot.

It compares a network with random weights and the same network after pre-training, on shapes that neither has seen, in
headings that neither knows. Everything is small enough for two CPU cores.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from crosspoint import (
    DGCNN,
    CloudAugmentation,
    Compute,
    CrossPoint,
    ImageAugmentation,
    ImageEncoder,
    TrainingConfig,
    load_pretrained,
)
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.procedural.shapes import FAMILIES, shapes_clouds, write_shapes
from crosspoint.datasets.rendered import RenderedPairs
from crosspoint.eval.features import extract_features
from crosspoint.eval.protocols.few_shot import few_shot
from crosspoint.eval.protocols.linear_svm import linear_svm
from crosspoint.eval.results import Result
from crosspoint.installation import installed_versions, machine
from crosspoint.renderers import render_folder
from crosspoint.renderers.atomic import atomic_write
from crosspoint.training.pretrain import pretrain

log = logging.getLogger(__name__)

SHAPES = 24  # per family, for pre-training
PROBED = (16, 100)  # per family, for the SVM's training and testing; few-shot tasks need 10 + 20
TASKS = 50  # few-shot, of a seed
POINTS = 256
VIEWS, SIZE = 8, 48
NETWORKS = ("random initialization", "pre-trained")
PROTOCOLS = ("linear SVM", "few-shot 5-way 10-shot")


def quickstart(out: Path, *, seeds: int = 3, epochs: int = 12, jobs: int = -1) -> dict[str, dict[str, list[Result]]]:
    """Run everything that is not there yet, print the table, and save what made it.

    `out/results.json` has every result with its constants, `out/figures.json` the table's accuracies with the versions
    and the machine that made them.

    Args:
        out: folder for meshes, views, runs and results.
        seeds: independent runs of pre-training.
        epochs: of each.
        jobs: processes for rendering, -1 for one per core.

    Returns:
        Results by network and protocol, one for each seed.

    Raises:
        ValueError: if a number is below one, or the folder holds something else.
    """
    if min(seeds, epochs) < 1:
        raise ValueError(f"found {seeds} seeds and {epochs} epochs, expected at least one of each")
    log.info("1/4 procedural shapes → %s", out / "shapes")
    write_shapes(out / "shapes", train=SHAPES, test=1)
    log.info("2/4 rendered views → %s", out / "views")
    summary = render_folder(
        out / "shapes", out / "views", views=VIEWS, size=SIZE, points=1024, up_axis="y", jobs=jobs,
        progress=sys.stderr.isatty(),
    )  # fmt: skip
    log.info("    %s", summary)
    train, test = (
        shapes_clouds(split, count, POINTS, families=FAMILIES)
        for split, count in zip(("train", "test"), PROBED, strict=True)
    )
    results: dict[str, dict[str, list[Result]]] = {name: {each: [] for each in PROTOCOLS} for name in NETWORKS}
    for seed in range(seeds):
        log.info("3/4 pre-training, seed %d", seed)
        checkpoint = pretrain(
            build_method(seed),
            RenderedPairs(out / "views", "train", cache=True),
            out=out / f"seed{seed}",
            seed=seed,
            training=TrainingConfig(epochs=epochs, batch_size=32),
            compute=Compute(workers=0),
            resume=True,
            progress=sys.stderr.isatty(),
        )
        log.info("4/4 probing, seed %d", seed)
        encoders = (build_method(seed).encoder, load_pretrained(checkpoint).encoder)
        for name, encoder in zip(NETWORKS, encoders, strict=True):
            for protocol, result in zip(PROTOCOLS, measure(encoder, train, test, seed), strict=True):
                results[name][protocol].append(result)
    with atomic_write(out / "results.json") as file:
        plain = {name: {p: [asdict(r) for r in rs] for p, rs in row.items()} for name, row in results.items()}
        file.write(json.dumps(plain, indent=1).encode())
    with atomic_write(out / "figures.json") as file:
        made_by = {"versions": installed_versions(), "machine": machine()}
        file.write(json.dumps({"accuracy": accuracies(results), **made_by}, indent=1).encode() + b"\n")
    Console().print(table(results))
    return results


def build_method(seed: int) -> CrossPoint:
    """CrossPoint's recipe at the size of a demonstration, with the random weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder, images = DGCNN(channels=[32, 32, 64, 128], embedding=256), ImageEncoder("resnet18")
        # Milder than the published recipe, whose clouds have eight times as many points.
        clouds = CloudAugmentation(
            points=POINTS, scale=(0.8, 1.25), stretch=(0.75, 1.33), translation=0.1, dropout=0.25
        )
        return CrossPoint(encoder, images, temperature=0.2, clouds=clouds, images=ImageAugmentation(size=SIZE))


def measure(encoder: nn.Module, train: Clouds, test: Clouds, seed: int) -> tuple[Result, Result]:
    """Both protocols of `PROTOCOLS` on frozen features."""
    train_x, test_x = (extract_features(encoder, clouds.points) for clouds in (train, test))
    return (
        linear_svm(train_x, train.labels, test_x, test.labels, seed=seed),
        few_shot(test_x, test.labels, ways=5, shots=10, runs=TASKS, seed=seed),
    )


def accuracies(results: dict[str, dict[str, list[Result]]]) -> dict[str, dict[str, list[float]]]:
    """By network and protocol, in percent, one for each seed."""
    return {
        name: {protocol: [result.metrics["accuracy"] for result in row[protocol]] for protocol in PROTOCOLS}
        for name, row in results.items()
    }


def gains(scores: dict[str, dict[str, list[float]]], protocol: str) -> list[float]:
    """What pre-training adds to the accuracy of each seed, of `accuracies`."""
    random, trained = (scores[name][protocol] for name in NETWORKS)
    return [after - before for before, after in zip(random, trained, strict=True)]


def mean_and_deviation(scores: list[float]) -> str:
    """As the table shows them: mean ± standard deviation."""
    return f"{np.mean(scores):.1f} ± {np.std(scores):.1f}"


def table(results: dict[str, dict[str, list[Result]]]) -> Table:
    """Rows: networks and the gain; columns: protocols; accuracy in percent, mean ± standard deviation over seeds.

    The gain is that of each seed: the tests and tasks of a seed are the same for both networks.
    """
    seeds = len(next(iter(next(iter(results.values())).values())))
    made = Table(title=f"accuracy on held-out shapes, %, mean ± std over {seeds} seeds", title_justify="left")
    made.add_column("network")
    for protocol in PROTOCOLS:
        made.add_column(protocol, justify="right")
    scores = accuracies(results)
    for name, row in scores.items():
        made.add_row(name, *(mean_and_deviation(row[protocol]) for protocol in PROTOCOLS))
    made.add_row("gain", *(mean_and_deviation(gains(scores, protocol)) for protocol in PROTOCOLS))
    return made
