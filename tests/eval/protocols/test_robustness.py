from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from scipy.spatial import cKDTree

from crosspoint import PointNet, load_encoder, save_encoder
from crosspoint.cli.main import main
from crosspoint.datasets.labeled import labeled_clouds, labeled_dataset
from crosspoint.datasets.modelnet import ModelNet
from crosspoint.eval import Result, extract_features
from crosspoint.eval.corruptions import SUITES, corrupt
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.protocols.linear_svm import answer_linear_svm
from crosspoint.eval.protocols.robustness import WORD, Robustness


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, write_clouds: Callable[..., None]) -> tuple[Path, Path, Result]:
    root = tmp_path_factory.mktemp("robustness")
    write_clouds(root / "clouds", train=6, test=2, points=700)
    write_clouds(root / "wide", train=3, test=1, points=1400)
    torch.manual_seed(0)
    checkpoint = root / "encoder.safetensors"
    save_encoder(PointNet(embedding=16), checkpoint)
    words = ["--dataset", "modelnet40_hdf5", "--root", str(root / "clouds"), "--points", "700", "--device", "cpu"]
    out = root / "result.json"
    assert main(["evaluate", "robustness", "--checkpoint", str(checkpoint), *words, "--out", str(out)]) == 0
    return root, checkpoint, Result.load(out)


def test_figures_are_those_of_one_svm_on_corrupted_clouds(measured: tuple[Path, Path, Result]) -> None:
    root, checkpoint, result = measured
    train, test = (labeled_clouds("modelnet40_hdf5", root / "clouds", split, points=700) for split in ("train", "test"))
    encoder = load_encoder(checkpoint)
    learned = extract_features(encoder, train.points, batch_size=1)
    by_name = {}
    for kind, name in enumerate(SUITES["modelnet_c"].corruptions):
        right = []
        for severity in range(1, 6):
            clouds = [
                corrupt(cloud, "modelnet_c", name, severity, np.random.default_rng([0, WORD, kind, severity, row]))
                for row, cloud in enumerate(test.points)
            ]
            features = extract_features(encoder, np.stack(clouds), batch_size=1)
            right.append(answer_linear_svm(learned, train.labels, features, test.labels)[0].metrics["accuracy"])
        by_name[name] = np.mean(right)
    for name, expected in by_name.items():
        assert result.metrics[f"accuracy_{name}"] == pytest.approx(expected), name
    assert result.metrics["accuracy_corrupted"] == pytest.approx(np.mean(list(by_name.values())))
    clean = answer_linear_svm(learned, train.labels, extract_features(encoder, test.points, batch_size=1), test.labels)[
        0
    ]
    assert result.metrics["accuracy"] == pytest.approx(clean.metrics["accuracy"])
    assert result.metrics["retained"] == pytest.approx(
        100 * result.metrics["accuracy_corrupted"] / result.metrics["accuracy"]
    )
    assert "mce" not in result.metrics  # toys are not ModelNet40
    assert len(result.records) == 36 and result.records[0]["corruption"] == "clean"


def test_errors_against_the_baseline_are_of_modelnet40_alone(
    measured: tuple[Path, Path, Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosspoint.eval.protocols.robustness.known_data", lambda clouds: "modelnet40")
    data = EvaluationData("modelnet40_hdf5", measured[0] / "clouds", points=700)
    figures = Robustness()._figures([92.6] + [50.0] * 35, data, [*SUITES["modelnet_c"].corruptions])
    assert figures["mce"] == pytest.approx(
        100 / 7 * sum(0.5 / (1 - value) for value in (0.906, 0.684, 0.785, 0.752, 0.793, 0.705, 0.725))
    )


def test_clouds_of_too_few_points_are_refused(
    measured: tuple[Path, Path, Result], capsys: pytest.CaptureFixture[str]
) -> None:
    root, checkpoint, _ = measured
    words = ["--dataset", "modelnet40_hdf5", "--root", str(root / "clouds"), "--points", "400", "--device", "cpu"]
    assert main(["evaluate", "robustness", "--checkpoint", str(checkpoint), *words]) == 2
    assert "found a cloud of 400 points, expected at least 600" in capsys.readouterr().err


def write_meshes(root: Path) -> None:
    """Boxes and balls in ModelNet's tree, z up."""
    generator = np.random.default_rng(0)
    for name in ("box", "ball"):
        for split, count in (("train", 3), ("test", 2)):
            (root / name / split).mkdir(parents=True)
            for number in range(count):
                mesh = trimesh.creation.box() if name == "box" else trimesh.creation.icosphere(2)
                mesh.vertices *= generator.uniform(1, 2, 3) * [1, 1, 3]
                mesh.export(root / name / split / f"{name}_{number}.off")


def test_meshes_are_seen_as_they_stand(tmp_path: Path) -> None:
    write_meshes(tmp_path)
    data = EvaluationData("clouds", tmp_path, points=1024)
    assert ModelNet(tmp_path).meshes("test") == labeled_dataset("clouds")(tmp_path).meshes("test")
    found = Robustness("modelnet40_c").seen(data)
    assert [*found] == [(name, severity) for name in ("occlusion", "lidar") for severity in range(1, 6)]
    clean = data.clouds("test").points
    for (name, _), clouds in found.items():
        assert clouds.shape == (4, {"occlusion": 1024, "lidar": 768}[name], 3)
        for cloud, whole in zip(clouds, clean, strict=True):
            tall = np.ptp(whole, axis=0)
            assert tall.argmax() == 1  # turned from z up to y up
            assert np.ptp(cloud, axis=0).argmax() == 1
            if name == "lidar":  # what is seen lies on the whole, but for the move to a row's middle
                assert cKDTree(whole).query(cloud)[0].mean() < 0.08


def test_all_fifteen_kinds_count_where_there_are_meshes(
    tmp_path: Path, measured: tuple[Path, Path, Result], caplog: pytest.LogCaptureFixture
) -> None:
    write_meshes(tmp_path / "meshes")
    root, checkpoint, _ = measured
    out = [tmp_path / "all.json", tmp_path / "some.json"]
    words = ["--checkpoint", str(checkpoint), "--device", "cpu", "--corruptions", "modelnet40_c", "--points", "700"]
    for dataset, place, file in (
        ("clouds", tmp_path / "meshes", out[0]),
        ("modelnet40_hdf5", root / "wide", out[1]),
    ):
        data = ["--dataset", dataset, "--root", str(place), "--out", str(file), "--jobs", "1"]
        assert main(["evaluate", "robustness", *words, *data]) == 0
    whole, part = (Result.load(file) for file in out)
    assert whole.constants["kinds"] == 15 and part.constants["kinds"] == 13
    kinds = [
        value for name, value in whole.metrics.items() if name.startswith("accuracy_") and name != "accuracy_corrupted"
    ]
    assert len(kinds) == 15 and whole.metrics["accuracy_corrupted"] == pytest.approx(np.mean(kinds))
    assert "accuracy_lidar" in whole.metrics and "accuracy_lidar" not in part.metrics
    assert "has clouds alone: occlusion and lidar, which look at meshes, are left out of modelnet40_c" in caplog.text
