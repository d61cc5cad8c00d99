"""Trains the encoders that the wheel ships, from nothing to the file: `python -m tools.shipped_encoders NAME`.

Their data are drawn by this package, so nothing is downloaded. On one machine, with the same versions, one thread gives
the same bytes each time; elsewhere sums are added in another order. The script says whether the file is the shipped one
byte for byte, how far its features are from it, and what both are worth; `--only_measure true` says the last alone.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from crosspoint import PointEncoder, load_pretrained
from crosspoint.checkpoints.pretrained import Pretrained
from crosspoint.cli.main import main as crosspoint
from crosspoint.datasets.procedural.shapes import shapes_clouds, write_shapes
from crosspoint.eval.features import extract_features
from crosspoint.eval.protocols.few_shot import few_shot
from crosspoint.eval.protocols.linear_svm import linear_svm
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.segmenter import SegmentationConfig
from crosspoint.eval.supervised.semantic_segmentation import semantic_segmentation
from crosspoint.hub.table import SHIPPED
from crosspoint.scene.models.frame_features import frame_features
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.scene.synthetic.dataset import SyntheticScenes

CONFIGS = Path(__file__).parents[1] / "configs"
UNSEEN = 1  # seed of the streets that are measured on; those of training are drawn from 0


def train_shapes(out: Path, epochs: int | None = None, shapes: int = 48) -> Path:
    """DGCNN: procedural shapes → views → CrossPoint; 48 shapes of each of 22 families."""
    write_shapes(out / "shapes", train=shapes, test=0)
    views = ["--views", 8, "--size", 48, "--points", 1024, "--up_axis", "y", "--jobs", 1]
    _run(["render", out / "shapes", out / "shapes_views", *views])
    run = out / "shipped_dgcnn_shapes"
    data = ["--data.dataset.root", out / "shapes_views", "--out", run, "--resume", "true"]
    _run(["pretrain", CONFIGS / "shipped_dgcnn_shapes.yaml", *data, *_epochs(epochs)])
    return run / "last.ckpt"


def train_streets(out: Path, epochs: int | None = None, streets: int = 24) -> Path:
    """MinkUNet: streets with six cameras → SimIPU, whose image network teaches → PPKT; 24 streets of three frames."""
    frames = out / "streets6"
    _run(["synthesize", frames, "--train", streets, "--val", 0, "--frames", 3, "--views", 6, "--jobs", 1])
    data = ["--data.dataset.root", frames, "--compute.accelerator", "cpu", "--compute.workers", 0, "--resume", "true"]
    teacher, run = out / "simipu", out / "shipped_minkunet_streets"
    small = ["--method.augmentation.size", "[96,320]", "--method.views_per_step", 1]
    _run(["pretrain", CONFIGS / "scene_simipu_synthetic.yaml", *data, *small, "--out", teacher, *_epochs(epochs or 2)])
    taught = ["--image_encoder.weights", teacher / "last.ckpt"]
    _run(["pretrain", CONFIGS / "shipped_minkunet_streets.yaml", *data, *taught, "--out", run, *_epochs(epochs)])
    return run / "last.ckpt"


def measure_shapes(encoder: PointEncoder) -> dict[str, float]:
    """Linear SVM and few-shot on shapes of which training saw none, as `crosspoint quickstart` measures."""
    train, test = (shapes_clouds(split, count, 256) for split, count in (("train", 16), ("test", 30)))
    x, y = (extract_features(encoder, clouds.points) for clouds in (train, test))
    results = {
        "linear SVM, procedural shapes": linear_svm(x, train.labels, y, test.labels, seed=0),
        "few-shot 5-way 10-shot, procedural shapes": few_shot(y, test.labels, ways=5, shots=10, runs=10, seed=0),
    }
    return {name: round(result.metrics["accuracy"], 1) for name, result in results.items()}


def measure_streets(encoder: PointEncoder, voxels: VoxelConfig) -> dict[str, float]:
    """A linear probe on 20 frames of ten streets, measured on 10 frames of five others, all unseen in training."""
    train, test = (SyntheticScenes(split, sequences=count, frames=2, seed=UNSEEN) for split, count in SPLITS.items())
    recipe = SegmentationConfig(epochs=20, batch_size=4, standardize=True, augment=False)
    resources = Resources(accelerator="cpu", evaluation_batch=4)
    result = semantic_segmentation(
        encoder, train, test, voxels=voxels, mode="linear", recipe=recipe, resources=resources
    )
    return {"linear probe mIoU, embedded world": round(result.metrics["miou"], 1)}


def measure(name: str, pretrained: Pretrained, *, random: bool = False) -> dict[str, float]:
    """What an encoder is worth, or one of its kind with the random weights of seed 0."""
    encoder = pretrained.encoder
    if random:
        torch.manual_seed(0)
        encoder = encoder.fresh().eval()
    if name == "dgcnn-shapes":
        return measure_shapes(encoder)
    return measure_streets(encoder, VoxelConfig(**(pretrained.inputs.voxels or {})))


def features(name: str, pretrained: Pretrained) -> np.ndarray:
    """What an encoder says of one shape of each family, or of the points of a street."""
    if name == "dgcnn-shapes":
        return extract_features(pretrained.encoder, shapes_clouds("test", 1, 256).points)
    return frame_features(pretrained, SyntheticScenes(sequences=1, frames=1, seed=UNSEEN)[0])


def distance(name: str, first: Pretrained, second: Pretrained) -> float:
    """The largest difference of a feature, as a share of the largest feature."""
    a, b = (features(name, each) for each in (first, second))
    return float(np.abs(a - b).max() / np.abs(b).max())


SPLITS = {"train": 10, "val": 5}  # streets
RECIPES: dict[str, Callable[..., Path]] = {"dgcnn-shapes": train_shapes, "minkunet-streets": train_streets}


def file_of(name: str) -> Path:
    """Where the package keeps an encoder."""
    return SHIPPED / f"{name}.safetensors"


def _epochs(epochs: int | None) -> list[object]:
    return [] if epochs is None else ["--training.epochs", epochs]


def _run(words: list[object]) -> None:
    code = crosspoint([str(word) for word in words])
    if code:
        sys.exit(code)


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """What was typed."""
    parser = argparse.ArgumentParser(prog="python -m tools.shipped_encoders", description=__doc__)
    parser.add_argument("name", choices=RECIPES)
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    parser.add_argument("--only_measure", choices=["true", "false"], default="false", help="the shipped file")
    return parser.parse_args(words)


def main() -> None:
    """The command."""
    given, shipped = arguments(), None
    torch.set_num_threads(1)
    if file_of(given.name).is_file():
        shipped = load_pretrained(file_of(given.name))
    file = file_of(given.name)
    if given.only_measure == "false":
        file = given.out / file.name
        if not file.is_file():
            _run(["export", RECIPES[given.name](given.out), file])
    made, content = load_pretrained(file), file.read_bytes()
    told = {"file": str(file), "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    told["figures"], told["random"] = measure(given.name, made), measure(given.name, made, random=True)
    if shipped is not None:
        told["same bytes as shipped"] = content == file_of(given.name).read_bytes()
        told["largest difference of a feature, relative"] = distance(given.name, made, shipped)
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
