"""Time that a training step waits for its batch, with 0, 1 and 2 loader processes.

Networks and batches are those of two files in `configs/`; a pause of 60 ms stands for the step of a GPU, which the
published recipe would otherwise hide behind seconds of arithmetic on a CPU. The data are `data/objects40` where it has
been rendered, procedural shapes otherwise. Files are in the page cache, as they are from the second epoch on.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.optim import Adam

from benchmarks.measure import options, report
from crosspoint.cli.pretrain import PretrainConfig, read_config
from crosspoint.datasets.pairs import ObjectPair
from crosspoint.datasets.procedural.shapes import write_shapes
from crosspoint.datasets.rendered import RenderedPairs
from crosspoint.methods.method import Method
from crosspoint.renderers import render_folder
from crosspoint.training.config import ResolvedTraining
from crosspoint.training.lightning_module import SampleDataModule

RENDERED = Path("data/objects40")
PAUSE = 0.06  # seconds
SETUPS = [  # configuration, kept in memory, what a step is
    ("objects40_cpu", True, "training"),
    ("objects40_cpu", False, "training"),
    ("crosspoint_shapenet", False, "training"),
    ("crosspoint_shapenet", False, "60 ms pause"),
]


def configuration(name: str) -> PretrainConfig:
    """A file of `configs/`."""
    return read_config(["--config", f"configs/{name}.yaml"])


def optimization(config: PretrainConfig, method: Method) -> ResolvedTraining:
    """What the file and the method say."""
    resolved: ResolvedTraining = config.parser.instantiate(config.rest).training.resolved(method.recipe)
    return resolved


def training(method: Method, rate: float, device: str) -> Callable[[ObjectPair], None]:
    """One step of optimization on a batch, to its end."""
    method.to(device)
    optimizer = Adam(method.parameters(), lr=rate, fused=True)
    generator = torch.Generator(device)

    def step(batch: ObjectPair) -> None:
        moved = ObjectPair(*(part.to(device, non_blocking=True) for part in batch))
        optimizer.zero_grad()
        method.training_step(moved, generator)["loss"].backward()
        optimizer.step()
        if device == "cuda":
            torch.cuda.synchronize()

    return step


def pause(batch: ObjectPair) -> None:
    """What a CPU sees of a GPU's step."""
    time.sleep(PAUSE)


def measure(data: SampleDataModule, step: Callable[[ObjectPair], None], steps: int) -> dict[str, float]:
    """Means over the steps after the first, whose wait is for the start of the processes."""
    batches, waited, worked = iter(data.train_dataloader()), [], []
    for _ in range(steps + 1):
        asked = time.perf_counter()
        batch = next(batches)
        given = time.perf_counter()
        step(batch)
        waited.append(given - asked)
        worked.append(time.perf_counter() - given)
    wait, work = statistics.mean(waited[1:]), statistics.mean(worked[1:])
    return {
        "first_batch_seconds": waited[0],
        "step_ms": 1e3 * work,
        "wait_ms": 1e3 * wait,
        "wait_percent_of_step": 100 * wait / work,
    }


def render_shapes(folder: Path, per_family: int, size: int, points: int) -> Path:
    """A small rendered set of procedural shapes."""
    write_shapes(folder / "shapes", train=per_family, test=1)
    render_folder(folder / "shapes", folder / "views", views=2, size=size, points=points, up_axis="y", progress=False)
    return folder / "views"


def main() -> None:
    """Run it."""
    parser = options("waiting for data")
    parser.add_argument("--steps", type=int, default=None, help="steps after the first (default 8, quick 2)")
    args = parser.parse_args()
    steps = args.steps or (2 if args.quick else 8)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        root = RENDERED
        if args.quick or not root.exists():
            root = render_shapes(Path(folder), 4 if args.quick else 40, 48 if args.quick else 224, 2048)
        for name, cache, kind in SETUPS[:2] if args.quick else SETUPS:
            config = configuration(name)
            method = config.build_method()
            recipe = optimization(config, method)
            pairs = RenderedPairs(root, "train", image_size=config.dataset.arguments["image_size"], cache=cache)
            step = training(method, recipe.learning_rate, args.device) if kind == "training" else pause
            for workers in (0, 1, 2):
                batch, indices = min(recipe.batch_size, len(pairs) // (steps + 1)), np.arange(len(pairs))
                data = SampleDataModule(
                    pairs, indices, batch_size=batch, workers=workers, seed=0, collate=method.collate
                )
                about = {"config": name, "step": kind, "in_memory": cache, "workers": workers, "batch": batch}
                rows.append(about | measure(data, step, steps))
    report("loading", rows, args)


if __name__ == "__main__":
    main()
