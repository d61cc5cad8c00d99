"""Trains the encoders that the wheel ships, from nothing to the file: `python -m tools.shipped_encoders NAME --out DIR`.

Their data are drawn by this package, so nothing is downloaded. One thread on one machine gives the same bytes each time;
another processor or other versions add in another order, and `--compare` says how far the features then are.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from crosspoint.cli.main import main as crosspoint
from crosspoint.datasets.procedural.shapes import write_shapes

CONFIGS = Path(__file__).parents[1] / "configs"


def train_shapes(out: Path, epochs: int | None = None, shapes: int = 48) -> Path:
    """DGCNN: procedural shapes → views → CrossPoint; 48 shapes of each of 22 families."""
    write_shapes(out / "shapes", train=shapes, test=0)
    views = ["--views", "8", "--size", "48", "--points", "1024", "--up_axis", "y", "--jobs", "1"]
    _run(["render", out / "shapes", out / "shapes_views", *views])
    run = out / "shipped_dgcnn_shapes"
    _run(["pretrain", CONFIGS / "shipped_dgcnn_shapes.yaml", "--data.dataset.root", out / "shapes_views", "--out", run,
          "--resume", "true", *_epochs(epochs)])  # fmt: skip
    return run / "last.ckpt"


def train_streets(out: Path, epochs: int | None = None, streets: int = 40) -> Path:
    """MinkUNet: streets with six cameras → SimIPU, whose image network teaches → PPKT; 40 streets of three frames."""
    frames = out / "streets6"
    _run(["synthesize", frames, "--train", streets, "--val", 0, "--frames", 3, "--views", 6, "--jobs", 1])
    data = ["--data.dataset.root", frames, "--compute.accelerator", "cpu", "--compute.workers", 0, "--resume", "true"]
    teacher, run = out / "simipu", out / "shipped_minkunet_streets"
    _run(["pretrain", CONFIGS / "scene_simipu_synthetic.yaml", *data, "--out", teacher, "--training.epochs", epochs or 2,
          "--method.augmentation.size", "[96,320]", "--method.views_per_step", 1])  # fmt: skip
    _run(["pretrain", CONFIGS / "shipped_minkunet_streets.yaml", *data, "--out", run, *_epochs(epochs),
          "--image_encoder.weights", teacher / "last.ckpt"])  # fmt: skip
    return run / "last.ckpt"


RECIPES: dict[str, Callable[..., Path]] = {"dgcnn-shapes": train_shapes, "minkunet-streets": train_streets}


def _epochs(epochs: int | None) -> list[object]:
    return [] if epochs is None else ["--training.epochs", epochs]


def _run(words: list[object]) -> None:
    code = crosspoint([str(word) for word in words])
    if code:
        sys.exit(code)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    last = RECIPES[given.name](given.out)
    file = given.out / f"{given.name}.safetensors"
    _run(["export", last, file])


if __name__ == "__main__":
    main()
