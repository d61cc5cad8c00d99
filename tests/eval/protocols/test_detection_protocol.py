"""`crosspoint evaluate detection` as a user gives it: a checkpoint, a folder of frames with boxes, a result."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint import save_encoder
from crosspoint.checkpoints.record import Inputs
from crosspoint.cli.main import main
from crosspoint.eval.cli import read_study
from crosspoint.eval.protocols.detection import Detection
from crosspoint.eval.report.report_model import Report
from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.study import report_study
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.detection import detection
from crosspoint.eval.supervised.detector_training import DetectionConfig
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.detection.box_augmentation import BoxAugmentation
from crosspoint.scene.detection.detector import DetectorConfig
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.voxelnet import VoxelNet
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.eval.toy_traffic import VOXELS, write_traffic

CONFIGS = sorted((Path(__file__).parents[3] / "configs" / "evaluate").glob("detection_*.yaml"))
DETECTOR = DetectorConfig(widths=[8, 8], layers=[0, 0], up=8, center_width=8)
SIZES = (
    *("--detector.widths", "[8,8]", "--detector.layers", "[0,0]", "--detector.up", 8, "--detector.center_width", 8),
    *("--recipe.epochs", 1, "--recipe.batch_size", 2, "--resources.accelerator", "cpu"),
)


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_traffic(tmp_path_factory.mktemp("data") / "traffic")


@pytest.fixture(scope="module")
def network() -> VoxelNet:
    torch.manual_seed(2)
    return VoxelNet(widths=(4, 8, 8, 8), out_channels=8, grid=(64, 64, 40)).eval()


def exported(network: PointEncoder, path: Path, voxels: VoxelConfig = VOXELS) -> Path:
    save_encoder(network, path, Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(voxels)))
    return path


@pytest.fixture(scope="module")
def checkpoint(network: VoxelNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(network, tmp_path_factory.mktemp("run") / "encoder.safetensors")


def evaluate(checkpoint: Path, root: Path, *arguments: object) -> int:
    given = ("--checkpoint", checkpoint, "--dataset", "folder", "--root", root, *SIZES, *arguments)
    return main(["evaluate", "detection", *map(str, given)])


def test_the_command_is_the_protocol_on_the_checkpoints_network(
    checkpoint: Path, network: VoxelNet, traffic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    assert evaluate(checkpoint, traffic, "--seed", 3, "--out", out, "--save_dir", tmp_path / "network") == 0
    result = Result.load(out)
    expected = detection(
        network,
        FolderScenes(traffic, "train"),
        FolderScenes(traffic, "val"),
        voxels=VOXELS,
        detector=DETECTOR,
        recipe=DetectionConfig(epochs=1, batch_size=2),
        seed=3,
        resources=Resources(accelerator="cpu"),
    )
    assert (result.metrics, result.records) == (expected.metrics, expected.records)
    assert result.constants["dataset"] == "traffic" and "ap_3d" in capsys.readouterr().out
    assert sorted(path.name for path in (tmp_path / "network").iterdir()) == ["network.safetensors", "predictions.npz"]


def test_another_extent_may_be_asked_for(checkpoint: Path, traffic: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    assert evaluate(checkpoint, traffic, "--voxels", "{extent: [0, -6.4, -4, 9.6, 6.4, 4]}", "--out", out) == 0
    assert Result.load(out).constants["voxels"]["extent"] == [0, -6.4, -4, 9.6, 6.4, 4]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: (MinkUNet.small(), VoxelConfig()), "found a MinkUNet, which gives no map from above"),
        (
            lambda: (VoxelNet.small(), VoxelConfig("cartesian", features="xyz_intensity")),
            "found voxels without an extent",
        ),
    ],
)
def test_encoders_that_cannot_be_measured_are_one_line(
    made: object, message: str, traffic: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder, voxels = made()
    assert evaluate(exported(encoder, tmp_path / "other.safetensors", voxels), traffic) == 2
    assert message in (said := capsys.readouterr().err) and said.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--boxes", "false"), "found no boxes in traffic, expected a dataset that has them"),
        (("--detector.groups", "[[car]]"), "found detector.groups of car, expected each of car, person once"),
        (("--recipe.sampling.counts", "{bus: 3}"), "found sampling of the class bus, expected some of car, person"),
        (("--recipe.epochs", "0"), "found 0 epochs of batches"),
    ],
)
def test_bad_settings_are_one_line(
    arguments: tuple[str, ...], message: str, checkpoint: Path, traffic: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(checkpoint, traffic, *arguments) == 2
    assert message in capsys.readouterr().err


def test_a_broken_file_of_boxes_is_one_line(
    checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_traffic(tmp_path / "traffic")
    (root / "boxes" / "0.txt").write_text("car 1 2 nan 4 2 1 0\n")
    assert evaluate(checkpoint, root) == 2
    assert "expected a name and 7 finite numbers" in capsys.readouterr().err


def test_a_study_has_its_column_classes_curves_and_pictures(
    checkpoint: Path, traffic: Path, tmp_path: Path, drawn: list[Report]
) -> None:
    protocol = Detection(
        detector=DETECTOR, recipe=DetectionConfig(epochs=1, batch_size=2), resources=Resources(accelerator="cpu")
    )
    study = StudyConfig(
        checkpoint=[f"VoxelNet={checkpoint}"],
        dataset="folder",
        root=traffic,
        out=tmp_path / "study",
        protocols=[protocol],
        random_init=True,
        device="cpu",
    )
    assert report_study(study) == 0
    found = json.loads((tmp_path / "study" / "results.json").read_text())
    assert [*found["table"][0]["cells"]] == ["detection AP, traffic", "detection mAP by centers, traffic"]
    shown = drawn[0].sections[0]
    assert [curve.name for curve in shown.curves] == ["detection: train loss"]
    (table,) = shown.tables
    frames = FolderScenes(traffic, "val")
    labels = np.concatenate([frames[index].boxes.labels.numpy() for index in range(len(frames))])
    assert (table.title, list(table.columns)) == ("Classes: detection", ["objects", "AP", "AP from above"])
    assert [name for name, _ in table.rows] == list(frames.box_classes)
    assert [values[0] for _, values in table.rows] == np.bincount(labels, minlength=len(table.rows)).tolist()
    aps = [values[1] for _, values in table.rows if values[1] is not None]
    assert np.mean(aps) == pytest.approx(found["runs"][0]["metrics"]["ap_3d"])
    assert [picture.caption for picture in shown.pictures] == [frames[0].name]
    assert shown.pictures[0].data.startswith(b"\x89PNG")
    before = (tmp_path / "study" / "results.json").read_bytes()
    assert report_study(study) == 0  # nothing is measured twice
    assert (tmp_path / "study" / "results.json").read_bytes() == before and len(drawn) == 2


def test_settings_in_a_study_leave_others_at_their_defaults(checkpoint: Path, tmp_path: Path) -> None:
    """The default of the augmentation is an object, and of fine-tuning one of several kinds."""
    words = ["--checkpoint", str(checkpoint), "--dataset", "folder", "--out", "study", "--protocols"]
    study, _ = read_study([*words, "detection", "--settings.detection.recipe.batch_size", "2"])
    assert study.protocols[0].recipe == DetectionConfig(batch_size=2)
    study, _ = read_study([*words, "finetune", "--settings.finetune.recipe.epochs", "3"])
    assert study.protocols[0].recipe == FinetuneConfig(epochs=3)
    (tmp_path / "study.yaml").write_text("settings: {detection: {recipe: {augmentation: {rotation: 10}}}}")
    study, _ = read_study([*words, "detection", "--config", str(tmp_path / "study.yaml")])
    assert study.protocols[0].recipe == DetectionConfig(augmentation=BoxAugmentation(rotation=10))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_the_full_recipes_are_read(path: Path, checkpoint: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They come as far as the data, which are not there."""
    words = ["evaluate", "detection", "--config", str(path), "--checkpoint", str(checkpoint), "--root", "/nowhere"]
    assert main(words) == 2
    assert "/nowhere" in capsys.readouterr().err


def test_there_is_a_recipe_for_each_benchmark() -> None:
    assert [path.stem for path in CONFIGS] == ["detection_kitti", "detection_nuscenes"]
