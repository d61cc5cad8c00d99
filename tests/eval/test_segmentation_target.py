"""`crosspoint evaluate semseg` as a user gives it: a checkpoint, a folder of labeled frames, a result."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.checkpoints.first_format import SCENES
from crosspoint.checkpoints.first_format import VOXELS as VOXELS_KEY
from crosspoint.cli.main import build_parser
from crosspoint.cli.parser import run
from crosspoint.eval.results import Result
from crosspoint.eval.segmentation_target import SegmentationTarget
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.segmenter import SegmentationConfig
from crosspoint.eval.supervised.semantic_segmentation import semantic_segmentation
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.folder_writing import write_frame
from crosspoint.scene.datasets.rig import write_rig
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.frames import made_frame

VOXELS = VoxelConfig(kind="cartesian", size=0.5)
TINY = {"stem": 4, "encoder": [4, 8], "encoder_blocks": [1, 1], "decoder": [8, 8], "decoder_blocks": [1, 1]}
SPLITS = {"train": "0\n1\n2\n", "val": "3\n4\n", "held": "5\n"}
SHORT = ("--recipe.epochs", 2, "--recipe.batch_size", 1, "--resources.accelerator", "cpu")


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ground with walls upon it, before one camera, in three splits."""
    root = tmp_path_factory.mktemp("streets")
    K = torch.tensor([[[20.0, 0, 16], [0, 20, 12], [0, 0, 1]]])
    R = torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]])  # x forward, y left, z up → x right, y down, z forward
    cameras = Cameras(K, R, torch.zeros(1, 3), (24, 32))
    write_rig(root, cameras, ["ground", "wall"])
    for number in range(6):
        rng = np.random.default_rng(number)
        ground = np.column_stack([rng.uniform(-6, 6, (400, 2)), np.full(400, -1.7)])
        wall = np.column_stack([np.full(200, rng.uniform(2, 5)), rng.uniform(-6, 6, 200), rng.uniform(-1.2, 2, 200)])
        points = np.column_stack([np.concatenate([ground, wall]), rng.random(600)]).astype(np.float32)
        images = torch.from_numpy(rng.integers(0, 256, (1, 3, 24, 32), dtype=np.uint8))
        write_frame(root, made_frame(f"{number}", points, images, cameras, np.repeat([0, 1], [400, 200])))
    (root / "splits").mkdir()
    for name, frames in SPLITS.items():
        (root / "splits" / f"{name}.txt").write_text(frames)
    return root


@pytest.fixture(scope="module")
def network() -> MinkUNet:
    torch.manual_seed(3)
    return MinkUNet(**TINY).eval()


@pytest.fixture(scope="module")
def checkpoint(network: MinkUNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `crosspoint pretrain` writes it."""
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    weights = {f"method.encoder.{name}": weight for name, weight in network.state_dict().items()}
    torch.save({"state_dict": weights, SCENES: TINY, VOXELS_KEY: asdict(VOXELS)}, path)
    return path


def semseg(checkpoint: Path, root: Path, *arguments: object) -> int:
    given = ("--checkpoint", checkpoint, "--dataset", "folder", "--root", root, *SHORT, *arguments)
    words = ["evaluate", "semseg", *map(str, given)]
    parser, dispatch = build_parser(words)
    return run(parser, dispatch, words)


@pytest.mark.parametrize("mode", ["linear", "finetuned", "scratch"])
def test_the_command_is_the_protocol_on_the_checkpoints_network(
    mode: str,
    checkpoint: Path,
    network: MinkUNet,
    streets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "result.json"
    folder = tmp_path / "network"
    assert semseg(checkpoint, streets, "--mode", mode, "--seed", 4, "--out", out, "--network", folder) == 0
    result = Result.load(out)
    expected = semantic_segmentation(
        network,
        FolderScenes(streets, "train"),
        FolderScenes(streets, "val"),
        voxels=VOXELS,
        mode=mode,
        recipe=SegmentationConfig(epochs=2, batch_size=1),
        seed=4,
        resources=Resources(accelerator="cpu"),
    )
    assert (result.metrics, result.records) == (expected.metrics, expected.records)
    assert f"{result.metrics['miou']:.1f}" in capsys.readouterr().out
    assert result.constants["checkpoint"] == str(checkpoint) and result.constants["mode"] == mode
    assert sorted(path.name for path in folder.iterdir()) == ["network.safetensors", "predictions.npz"]


def test_splits_choose_what_is_learned_chosen_by_and_measured(checkpoint: Path, streets: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    splits = ("--train_split", "val", "--test_split", "train", "--validation_split", "held", "--skip", 2)
    assert semseg(checkpoint, streets, *splits, "--out", out) == 0
    constants = Result.load(out).constants
    assert [constants[name] for name in ("train", "validation", "test", "skip")] == [1, 1, 3, 2]
    assert constants["chosen_by"] == "validation_miou"


def test_random_weights_are_those_of_the_seed_and_not_the_checkpoints(checkpoint: Path, streets: Path) -> None:
    given = SegmentationTarget(checkpoint, "folder", root=streets)
    random = [replace(given, random_init=True, seed=seed).encoder.stem[0].kernel for seed in (0, 0, 1)]
    assert torch.equal(random[0], random[1])
    assert not torch.equal(random[0], random[2]) and not torch.equal(random[0], given.encoder.stem[0].kernel)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--checkpoint", "nowhere.ckpt"), "found no checkpoint at nowhere.ckpt"),
        (("--test_split", "later"), "later.txt"),
        (("--dataset", "kitty"), "kitty"),
        (("--fraction", 0), "fraction"),
        (("--dataset", "kitti_raw"), "kitti_raw"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: tuple[object, ...], told: str, checkpoint: Path, streets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert semseg(checkpoint, streets, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and told in lines[0] and "expected" in lines[0]


def test_a_result_is_not_overwritten(
    checkpoint: Path, streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    out.write_text("kept")
    assert semseg(checkpoint, streets, "--out", out) == 2
    assert "already there" in capsys.readouterr().err and out.read_text() == "kept"
