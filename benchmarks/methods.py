"""Cost of a training step of every method for scenes, by the configurations for the embedded world.

    python -m benchmarks.methods --frames data/streets6 --weights WEIGHTS

A step is the forward and the backward pass of a batch that is already collated; frames have six cameras. Methods take
turns on the same batches. Seconds are of the process on one thread, so that other work on the machine counts little.
`make bench` leaves it out: it needs weights.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from benchmarks.measure import options, report, rounds
from crosspoint.cli.pretrain import read_config
from crosspoint.methods.method import Method

CONFIGS = Path(__file__).parents[1] / "configs"
METHODS = ["ppkt", "slidr", "olivine", "cmcr", "scalr"]
TEACHER = ["--image_encoder.network", "tf_efficientnet_lite0", "--image_encoder.layers", "[1,2,3,4]"]


def main() -> None:
    parser = options(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=Path, required=True, help="folder of the embedded world, with class images")
    parser.add_argument("--weights", required=True, help="of tf_efficientnet_lite0")
    args = parser.parse_args()
    torch.set_num_threads(1)
    steps = {name: training_step(name, args.frames, args.weights) for name in METHODS}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    for number in range(rounds(args) + 1):
        for name, step in steps.items():
            started = time.process_time()
            step(number)
            if number > 0:  # the first step makes what later ones find
                seconds[name].append(time.process_time() - started)
    rows = [{"method": name, "cpu_seconds_a_step": round(statistics.median(seconds[name]), 3)} for name in METHODS]
    report("methods", rows, args)


def training_step(name: str, frames: Path, weights: str) -> Callable[[int], None]:
    """One step of a method on the batch of a number."""
    words = ["--config", str(CONFIGS / f"scene_{name}_synthetic.yaml"), "--data.dataset.root", str(frames)]
    words += ["--image_encoder.weights", weights, *TEACHER, "--image_encoder.precision", "bf16"]
    words += ["--image_encoder.dilated", "false"]
    if name == "olivine":
        words += ["--data.dataset.weak_labels", str(frames / "imperfect_labels")]
    config = read_config(words)
    method: Method = config.build_method().train()
    samples: Any = method.training_samples(config.dataset.build(), prepare=False)
    batches = [method.collate([samples[2 * n, n], samples[2 * n + 1, n]]) for n in range(3)]

    def step(number: int) -> None:
        method.zero_grad()
        generator = Generator().manual_seed(number)
        method.training_step(batches[number % len(batches)], generator)["loss"].backward()

    return step


if __name__ == "__main__":
    main()
