"""Cost of a training step of CrossPoint, whose ResNet-18 sees views, and of CrossJEPA, which reads their embeddings.

Both have the same clouds, drawn at random: what is in them changes no time. A step is the forward and the backward pass
of a batch that is already collated, and the optimizer's. Seconds are of the process on one thread, so that other work
on the machine counts little.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from benchmarks.measure import medians, options, report, rounds
from crosspoint.cli.pretrain import read_config
from crosspoint.datasets.embedded.pairs import EmbeddedPair
from crosspoint.datasets.embedded.view_facts import CAMERA, COLORS
from crosspoint.datasets.pairs import ObjectPair
from crosspoint.methods.method import Method

CONFIGS = Path(__file__).parents[1] / "configs"
VIEWS, STORED = 4, 2048  # embeddings of each cloud; points of each cloud, of which a method takes its own number
# Name, flags of the encoder, points that it sees, clouds, and the side of the images that ResNet-18 sees.
SETTINGS: list[tuple[str, list[str], int, int, int]] = [
    ("DGCNN of objects40, 48-pixel views", [], 256, 32, 48),
    ("DGCNN of objects40, 160-pixel views", [], 256, 32, 160),
    ("DGCNN of the paper, 224-pixel views", ["--encoder", "dgcnn", "--encoder.k", "20"], 1024, 8, 224),
]


def main() -> None:
    args = options(__doc__.splitlines()[0] if __doc__ else "").parse_args()
    torch.set_num_threads(1)
    rows: list[dict[str, Any]] = []
    for name, flags, points, clouds, side in SETTINGS[:1] if args.quick else SETTINGS:
        encoder = [*flags, "--method.clouds.points", str(points)]
        steps = {
            "crosspoint": _crosspoint([*encoder, "--method.images.size", str(side)], clouds, side),
            "crossjepa": _crossjepa(encoder, clouds),
        }
        seconds = medians(steps, rounds(args), clock=time.process_time)
        rows.append(
            {
                "encoder": name,
                "clouds": clouds,
                "points": points,
                "crosspoint_cpu_s": round(seconds["crosspoint"], 3),
                "crossjepa_cpu_s": round(seconds["crossjepa"], 3),
                "ratio": round(seconds["crosspoint"] / seconds["crossjepa"], 2),
            }
        )
    report("objects", rows, args)


def _crosspoint(flags: list[str], clouds: int, side: int) -> Callable[[], None]:
    method = _method("objects40_cpu", flags)
    images = torch.randint(0, 256, (clouds, 1, 3, side, side), dtype=torch.uint8)
    return _step(method, ObjectPair(_clouds(clouds), images, torch.zeros(clouds, dtype=torch.int64)))


def _crossjepa(flags: list[str], clouds: int) -> Callable[[], None]:
    method = _method("objects40_crossjepa_cpu", flags)
    facts = [torch.randn(clouds, VIEWS, width) for width in (1280, CAMERA, COLORS)]
    embeddings, cameras, colors = facts
    label = torch.zeros(clouds, dtype=torch.int64)
    return _step(method, EmbeddedPair(_clouds(clouds), embeddings, cameras, colors, label))


def _clouds(clouds: int) -> torch.Tensor:
    return torch.rand(clouds, STORED, 3) * 2 - 1


def _method(config: str, flags: list[str]) -> Method:
    return read_config(["--config", str(CONFIGS / f"{config}.yaml"), *flags]).build_method().train()


def _step(method: Method, batch: Any) -> Callable[[], None]:
    optimizer = torch.optim.AdamW(method.parameters())
    generator = Generator().manual_seed(0)

    def step() -> None:
        optimizer.zero_grad()
        method.training_step(batch, generator)["loss"].backward()
        optimizer.step()

    return step


if __name__ == "__main__":
    main()
