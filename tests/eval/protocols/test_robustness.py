from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint import PointNet, load_encoder, save_encoder
from crosspoint.cli.main import main
from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.eval import Result, extract_features
from crosspoint.eval.corruptions import SUITES, corrupt
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.protocols.linear_svm import answer_linear_svm
from crosspoint.eval.protocols.robustness import WORD, Robustness


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory, write_clouds: Callable[..., None]) -> tuple[Path, Path, Result]:
    root = tmp_path_factory.mktemp("robustness")
    write_clouds(root / "clouds", train=6, test=2, points=700)
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
    figures = Robustness()._figures([92.6] + [50.0] * 35, data)
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
