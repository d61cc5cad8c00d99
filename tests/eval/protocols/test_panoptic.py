from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.checkpoints.record import RECORD_KEY, Inputs, Record
from crosspoint.cli.main import main
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.panoptic.panoptic_segmentation import panoptic_segmentation
from crosspoint.eval.protocols.panoptic import PanopticSegmentation
from crosspoint.eval.report.report_model import Report
from crosspoint.eval.results import Result
from crosspoint.plugins import describe
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.folder_writing import write_frame, write_split
from tests.eval.panoptic.yards import BRANCH, CLASSES, CPU, RECIPE, VOXELS, CrateYard, tiny

SHORT = (
    *("--recipe.epochs", 2, "--recipe.batch_size", 2, "--recipe.milestones", "[1]", "--recipe.sigma", 1),
    *("--recipe.norm_momentum", 0.2, "--branch.grid.reach", 8, "--branch.grid.cells", "[16,24]"),
    *("--branch.widths", "[8,12,16]", "--branch.drop", 0.1, "--resources.accelerator", "cpu"),
)


@pytest.fixture(scope="module")
def yard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LiDAR alone, in three splits."""
    root = tmp_path_factory.mktemp("data") / "yard"
    root.mkdir()
    (root / "calibration.yaml").write_text(f"cameras: []\nclasses: [{', '.join(CLASSES)}]\nbox_classes: [crate]\n")
    made = CrateYard(5)
    for number in range(5):
        write_frame(root, replace(made[number], name=str(number)))
    for split, names in {"train": "012", "val": "3", "held": "4"}.items():
        write_split(root, split, names)
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, network = tmp_path_factory.mktemp("run") / "last.ckpt", tiny(3)
    weights = {f"method.encoder.{name}": weight for name, weight in network.state_dict().items()}
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(VOXELS))
    torch.save({"state_dict": weights, RECORD_KEY: Record(describe(network), inputs).as_dict()}, path)
    return path


def panoptic(checkpoint: Path, root: Path, *arguments: object) -> int:
    given = ("--checkpoint", checkpoint, "--dataset", "folder", "--root", root, *SHORT, *arguments)
    return main(["evaluate", "panoptic", *map(str, given)])


def test_the_command_is_the_function_on_the_checkpoints_network(
    checkpoint: Path, yard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, folder = tmp_path / "result.json", tmp_path / "network"
    assert panoptic(checkpoint, yard, "--validation_split", "held", "--out", out, "--save_dir", folder) == 0
    result = Result.load(out)
    train, test, held = (FolderScenes(yard, split) for split in ("train", "val", "held"))
    expected = panoptic_segmentation(
        tiny(3), train, test, voxels=VOXELS, recipe=RECIPE, branch=BRANCH, validation=held, resources=CPU
    )
    assert (result.metrics, result.records) == (expected.metrics, expected.records)
    assert f"pq {result.metrics['pq']:.2f}" in capsys.readouterr().out
    assert result.constants["checkpoint"] == str(checkpoint) and result.constants["least_points"] == 30
    assert result.constants["things"] == ["crate"] and result.constants["branch"]["grid"]["cells"] == [16, 24]
    assert sorted(path.name for path in folder.iterdir()) == ["network.safetensors", "predictions.npz"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--things", "[lorry]"), "found the class 'lorry' among things, expected some of"),
        (("--things", "[]"), "found no class of yard that has objects"),
        (("--test_split", "later"), "later.txt"),
        (("--fraction", 0.3), "found a label fraction of 0.3"),
        (("--branch.grid.cells", "[2,24]"), "found cells [2, 24] for 3 widths"),
        (("--grouping.neighborhood", 2), "found a neighborhood of 2 cells"),
        (("--recipe.masking", "both"), "masking"),
        (("--voxels", "{features: xyz_intensity}"), "expected one that panoptic can be run on"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: tuple[object, ...], told: str, checkpoint: Path, yard: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert panoptic(checkpoint, yard, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and told in lines[0] and "expected" in lines[0]


def test_broken_labels_are_one_line(
    checkpoint: Path, yard: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of another length, of a class that is not there, and without any object."""
    root = tmp_path / "broken"
    shutil.copytree(yard, root)
    file = root / "labels" / "0.label"
    whole = np.fromfile(file, dtype="<u4")
    for stored, told in (
        (whole[:-1], "0.label"),
        ((whole & 0xFFFF0000) | 9, "found the label 9"),
    ):
        stored.tofile(file)
        assert panoptic(checkpoint, root) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1 and told in lines[0] and "expected" in lines[0]
    for path in (root / "labels").iterdir():
        (np.fromfile(yard / "labels" / path.name, dtype="<u4") & 0xFFFF).tofile(path)
    assert panoptic(checkpoint, root) == 2
    assert "found no object of crate in 3 frames of broken, expected at least one" in capsys.readouterr().err


def test_a_study_has_its_columns_curves_and_confusion(
    checkpoint: Path, yard: Path, tmp_path: Path, drawn: list[Report]
) -> None:
    words = ["evaluate", "all", "--checkpoint", f"A={checkpoint}", "--dataset", "folder", "--root", str(yard)]
    words += ["--protocols", "panoptic", "--device", "cpu", "--out", str(tmp_path / "study"), "--epochs", "2"]
    words += [
        word.replace("--", "--settings.panoptic.") if word.startswith("--") else word for word in map(str, SHORT[2:])
    ]
    assert main([*words, "--validation_split", "held"]) == 0
    (report,) = drawn
    (result,) = json.loads((tmp_path / "study" / "results.json").read_text())["runs"]
    shown = report.sections[0]
    assert [curve.name for curve in shown.curves] == [
        f"panoptic segmentation: {name}" for name in ("train loss", "validation pq", "validation miou")
    ]
    assert [picture.caption for picture in shown.pictures] == ["3"]
    assert shown.pictures[0].data.startswith(b"\x89PNG")
    assert shown.matrix is not None and list(shown.matrix.classes) == CLASSES
    (classes,) = shown.tables
    assert list(classes.columns[:5]) == ["kind", "PQ", "SQ", "RQ", "IoU"]
    assert [name for name, _ in classes.rows] == CLASSES
    qualities = [values[1] for _, values in classes.rows if values[1] is not None]
    assert sum(qualities) / len(CLASSES) == pytest.approx(result["metrics"]["pq"])
    table = (tmp_path / "study" / "table.md").read_text()
    assert "fine-tuned PQ, yard" in table and "fine-tuned PQ of things, yard" in table


def test_columns_name_the_share_of_the_labels(yard: Path) -> None:
    data = EvaluationData("folder", yard, inputs="voxels")
    titles = [column.title for column in PanopticSegmentation(fraction=0.01, mode="scratch").columns(data)]
    assert titles == [f"from scratch {name}, 1 % of labels, yard" for name in ("PQ", "PQ of things")]
