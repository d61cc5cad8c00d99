"""Datasets of sweeps alone in the commands that read frames: `evaluate semseg` and `show`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.checkpoints.record import RECORD_KEY, Inputs, Record
from crosspoint.cli.main import main
from crosspoint.plugins import describe
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig

TINY = dict(stem=4, encoder=[4, 8], encoder_blocks=[1, 1], decoder=[8, 8], decoder_blocks=[1, 1])
SHORT = ("--recipe.epochs", 1, "--recipe.batch_size", 1, "--resources.accelerator", "cpu")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network, voxels = MinkUNet(**TINY), VoxelConfig(kind="cartesian", size=0.5)
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(voxels))
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    weights = {f"method.encoder.{name}": weight for name, weight in network.state_dict().items()}
    torch.save({"state_dict": weights, RECORD_KEY: Record(describe(network), inputs).as_dict()}, path)
    return path


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SemanticPOSS with ground, buildings and people, and with nothing of its other classes."""
    root = tmp_path_factory.mktemp("poss")
    for sequence in ("00", "01", "03"):
        for number in range(3):
            rng = np.random.default_rng([int(sequence), number])
            points = rng.uniform([-6, -6, -2, 0], [6, 6, 2, 255], (300, 4)).astype(np.float32)
            labels = np.select([points[:, 2] < -1, points[:, 2] > 1], [22, 15], 4).astype(np.uint32)
            for kind, suffix, values in (("velodyne", "bin", points), ("labels", "label", labels | 9 << 16)):
                path = root / "sequences" / sequence / kind / f"{number:06}.{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                values.tofile(path)
    return root


def test_a_probe_on_half_of_the_sweeps(checkpoint: Path, campus: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    words = ["--checkpoint", checkpoint, "--dataset", "semanticposs", "--root", campus, "--fraction", 0.5, *SHORT]
    assert main(["evaluate", "semseg", *map(str, words), "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    constants, metrics = result["constants"], result["metrics"]
    assert (constants["train"], constants["test"], constants["classes"]) == (3, 3, 13)
    assert constants["test_data"] == "semanticposs (val)"
    ious = {row["class"]: row["iou"] for row in result["records"] if "points_given" in row}
    there = [iou for iou in ious.values() if iou is not None]
    assert 3 <= len(there) <= 13 and metrics["miou"] == pytest.approx(np.mean(there))
    # the two means, by name: of the classes that occur, and with those that do not as found
    assert metrics["miou_absent_as_100"] == pytest.approx((sum(there) + 100 * (13 - len(there))) / 13)


def test_a_picture(campus: Path, tmp_path: Path) -> None:
    words = ["semanticposs", "--root", campus, "--split", "val", "--val_sequence", "01", "--out", tmp_path / "out"]
    assert main(["show", *map(str, words)]) == 0
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".png", ".html"}
