"""A protocol of a user's own, defined here alone: its command, its place in a study, in the table and in the report."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from crosspoint import load_encoder
from crosspoint.cli.main import main
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import LabeledDataset, labeled_clouds
from crosspoint.eval import extract_features
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.named import named_protocols
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol
from crosspoint.eval.report.report_model import Contribution, Curve, Report
from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.study import report_study


@dataclass(frozen=True)
class NearestMean(Protocol):
    """Accuracy of the nearest class mean.

    Args:
        order: of the norm between features
    """

    name = "means"

    order: int = 2

    def feature_splits(self) -> tuple[str, ...]:
        return "train", "test"

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        return super().unsupported(checkpoint) or ("a PointNet" if checkpoint.network.__name__ == "PointNet" else None)

    def check(self, data: EvaluationData) -> None:
        if self.order < 1:
            raise ValueError(f"found the order {self.order}, expected at least 1")

    def run(self, run: EvaluationRun) -> Measured:
        train, test = run.data.clouds("train"), run.data.clouds("test")
        answers = nearest_mean(run.features("train"), train.labels, run.features("test"), self.order)
        accuracy = 100 * float((answers == test.labels).mean())
        return Result("means", {"accuracy": accuracy}, {"order": self.order}), {"answers": answers}

    def columns(self, data: EvaluationData) -> list[Column]:
        return [Column(f"nearest mean, {data.label}", self.name, "accuracy")]

    def facts(self) -> dict[str, str]:
        return {"nearest mean": f"L{self.order} norm"}

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        return Contribution(answers=arrays["answers"], curves=[Curve("accuracy", [1], [result.metrics["accuracy"]])])


class Doubled(LabeledDataset):
    """The toy clouds at twice their size."""

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        stored = labeled_clouds("modelnet40_hdf5", self.root, split, points=points, normalize=False)
        return replace(stored, points=2 * stored.points, name="doubled")


PATH = f"{__name__}.NearestMean"


def nearest_mean(train: np.ndarray, labels: np.ndarray, test: np.ndarray, order: int) -> np.ndarray:
    means = np.stack([train[labels == label].mean(axis=0) for label in np.unique(labels)])
    return np.linalg.norm(test[:, None] - means, ord=order, axis=2).argmin(axis=1)


def expected(place: Path, points: int, order: int) -> float:
    encoder = load_encoder(place / "a0.safetensors")
    splits = [labeled_clouds("modelnet40_hdf5", place / "clouds", split, points=points) for split in ("train", "test")]
    train, test = (extract_features(encoder, clouds.points, batch_size=1) for clouds in splits)
    return 100 * float((nearest_mean(train, splits[0].labels, test, order) == splits[1].labels).mean())


def call(*arguments: object) -> int:
    words = [*map(str, arguments)]
    return main(words)


def data(place: Path) -> tuple[object, ...]:
    return ("--dataset", "modelnet40_hdf5", "--root", place / "clouds", "--points", 40, "--device", "cpu")


def test_its_command(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    shared = ("--checkpoint", place / "a0.safetensors", *data(place))
    assert call("evaluate", PATH, *shared, "--order", 1, "--out", out) == 0
    result = Result.load(out)
    assert result.metrics == {"accuracy": expected(place, 40, order=1)}
    assert (result.constants["order"], result.constants["points"]) == (1, 40)
    capsys.readouterr()
    assert call("evaluate", PATH, *shared, "--order", 0) == 2
    assert "found the order 0, expected at least 1" in capsys.readouterr().err
    assert call("evaluate", PATH, "--checkpoint", place / "b.safetensors", *data(place)) == 2
    assert "found a PointNet" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        call("evaluate", PATH, "--help")
    printed = capsys.readouterr().out
    assert "Accuracy of the nearest class mean." in printed and "of the norm between features" in printed


def test_its_place_in_a_study(place: Path, tmp_path: Path, drawn: list[Report]) -> None:
    checkpoints = [f"--checkpoint={place / name}.safetensors" for name in ("a0", "b")]
    command = ("evaluate", "all", *checkpoints, *data(place), "--protocols", f"{PATH},knn")
    assert call(*command, "--settings.means.order", 1, "--settings.knn.variant", "fixed", "--out", tmp_path / "s") == 0
    found = json.loads((tmp_path / "s" / "results.json").read_text())
    rows = {row["name"]: row["cells"] for row in found["table"]}
    assert list(rows["a0"]) == ["nearest mean, clouds", "kNN, clouds"]
    assert rows["a0"]["nearest mean, clouds"]["mean"] == expected(place, 40, order=1)
    assert found["left_out"] == [{"method": "b", "protocol": "means", "reason": "a PointNet"}]
    assert list(rows["b"]) == ["kNN, clouds"]
    assert (found["settings"]["protocols"], found["settings"]["means"]) == ("means,knn", {"order": 1})
    assert found["settings"]["knn"]["variant"] == "fixed"
    (report,) = drawn
    assert report.facts["nearest mean"] == "L1 norm"
    shown = report.sections[0]
    assert shown.embedding is not None
    accuracy = 100 * np.mean(shown.embedding.labels == shown.embedding.predicted)
    assert accuracy == pytest.approx(expected(place, 40, order=1))
    assert [curve.name for curve in shown.curves] == ["accuracy"]


def test_its_settings_in_yaml(place: Path, tmp_path: Path, drawn: list[Report]) -> None:
    config = tmp_path / "study.yaml"
    config.write_text(json.dumps({"protocols": [PATH], "settings": {"means": {"order": 3}}}))  # JSON is YAML
    shared = ("--checkpoint", place / "a0.safetensors", *data(place), "--out", tmp_path / "study")
    assert call("evaluate", "all", "--config", config, *shared) == 0
    (row, *_) = drawn[0].rows
    assert row.cells["nearest mean, clouds"].mean == expected(place, 40, order=3)


def test_it_runs_from_python(
    study: StudyConfig, place: Path, drawn: list[Report], results: Callable[[StudyConfig], dict[str, Any]]
) -> None:
    assert report_study(replace(study, protocols=[NearestMean(order=1)], random_init=False)) == 0
    cell = results(study)["table"][0]["cells"]["nearest mean, clouds"]
    assert cell["runs"] == 2
    kept = Result.load(study.out / "runs/DGCNN/seed-5/means.json")
    assert kept.metrics["accuracy"] == expected(place, 40, order=1)


@pytest.mark.parametrize("command", [("{}",), ("all", "--protocols", "knn,{}")])
@pytest.mark.parametrize(("path", "told"), [("nowhere.Mine", "nowhere"), (f"{__name__}.Doubled", "extends")])
def test_what_is_no_protocol_is_one_line(
    command: tuple[str, ...], path: str, told: str, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [word.format(path) for word in command]
    shared = ("--checkpoint", place / "a0.safetensors", *data(place), "--out", tmp_path / "out")
    assert call("evaluate", *words, *shared) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and told in lines[0] and "expected" in lines[0]


def test_names_make_protocols_with_settings() -> None:
    made = named_protocols(f"linear, {PATH}", {"means": {"order": 4}})
    assert [protocol.name for protocol in made] == ["linear", "means"]
    assert made[1] == NearestMean(order=4)
    with pytest.raises(ValueError, match="expected one of linear, knn"):
        named_protocols("linear,svm")
    with pytest.raises(ValueError, match="expected some of linear"):
        named_protocols("")


def test_a_dataset_of_a_users_own(place: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    shared = ("--checkpoint", place / "a0.safetensors", "--root", place / "clouds", "--points", 40, "--device", "cpu")
    assert call("evaluate", "knn", *shared, "--dataset", f"{__name__}.Doubled", "--out", out) == 0
    assert call("evaluate", "knn", *shared, "--dataset", "modelnet40_hdf5", "--out", tmp_path / "plain.json") == 0
    doubled, plain = Result.load(out), Result.load(tmp_path / "plain.json")
    assert doubled.metrics == plain.metrics  # in the unit sphere both are the same
    assert (doubled.constants["dataset"], plain.constants["dataset"]) == ("doubled", "modelnet40_hdf5")


def test_the_example_of_the_documentation_runs_from_its_folder(place: Path, tmp_path: Path) -> None:
    """As the installed script runs it, which does not look into the working folder by itself."""
    text = (Path(__file__).parents[3] / "docs" / "extending.md").read_text(encoding="utf-8")
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (tmp_path / "mine.py").write_text("\n".join(["from __future__ import annotations", *examples]))
    words = ["evaluate", "mine.NearestMean", "--checkpoint", place / "a0.safetensors", *data(place)]
    code = "import sys; sys.path.remove(''); from crosspoint.cli.main import main; main()"
    command = [sys.executable, "-c", code, *map(str, words), "--center", "false", "--out", "result.json"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert Result.load(tmp_path / "result.json").metrics == {"accuracy": expected(place, 40, order=2)}
