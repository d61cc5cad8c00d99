"""Loggers by name: what each writes, that nothing leaves the machine unasked, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import lightning.pytorch.loggers
import pytest

from crosspoint.cli.main import main
from crosspoint.datasets.clouds import Clouds
from crosspoint.eval.supervised.classification import fine_tune
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.models.pointnet import PointNet
from crosspoint.training.loggers import STANDARD, check_loggers, logger_names, make_loggers
from tests.crosspoint.toys import ToyPairs, toy_run
from tests.refusals import command_refuses


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (None, STANDARD),
        ("none", ()),
        ("csv", ("csv",)),
        ("csv, tensorboard,csv", ("csv", "tensorboard")),
        (["tensorboard"], ("tensorboard",)),
        ([], ()),
    ],
)
def test_names(given: Any, names: tuple[str, ...]) -> None:
    assert logger_names(given, STANDARD) == names


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            "wandbb",
            "found the logger 'wandbb', expected some of csv, tensorboard, wandb, mlflow, or none: did",
        ),
        (["none", "csv"], "found the loggers none, csv, expected none alone"),
    ],
)
def test_names_that_are_none(given: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        logger_names(given)


@pytest.mark.parametrize("name", ["wandb", "mlflow", "tensorboard"])
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ImportError, match=f"found no package {name}, expected it .*: pip install {name}"):
        logger_names(["csv", name])


def spied(monkeypatch: pytest.MonkeyPatch, name: str) -> dict[str, Any]:
    """The arguments that a logger of Lightning is made with, whether its package is installed or not."""
    given: dict[str, Any] = {}
    monkeypatch.setattr(lightning.pytorch.loggers, name, lambda **named: given.update(named))
    return given


def test_wandb_stays_on_the_machine_until_the_environment_says_online(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = spied(monkeypatch, "WandbLogger")
    for mode, offline in ((None, True), ("offline", True), ("online", False)):
        if mode is None:
            monkeypatch.delenv("WANDB_MODE", raising=False)
        else:
            monkeypatch.setenv("WANDB_MODE", mode)
        make_loggers(["wandb"], tmp_path / "run")
        assert given["offline"] is offline
        assert (given["name"], given["save_dir"]) == ("run", tmp_path / "run")


def test_mlflow_stays_on_the_machine_until_the_environment_names_a_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = spied(monkeypatch, "MLFlowLogger")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    make_loggers(["mlflow"], tmp_path / "run")
    assert given["tracking_uri"] == f"sqlite:///{tmp_path}/run/mlflow.db"
    assert given["artifact_location"] == f"{tmp_path}/run/mlflow"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    make_loggers(["mlflow"], tmp_path / "run")
    assert given["tracking_uri"] == "http://server:5000"


def test_pretraining_writes_to_the_loggers_that_are_named_and_changes_nothing_else(tmp_path: Path) -> None:
    toy_run(tmp_path / "run", training={"epochs": 1}, logger="csv")
    assert (tmp_path / "run/csv/version_0/metrics.csv").is_file() and not (tmp_path / "run/tensorboard").exists()
    toy_run(tmp_path / "run", training={"epochs": 1}, logger="none", resume=True)
    assert "logger" not in (tmp_path / "run/config.yaml").read_text()


def test_training_with_labels_writes_the_figures_of_each_epoch(tmp_path: Path) -> None:
    pairs = ToyPairs(per_class=4)
    clouds = Clouds(pairs.points, pairs.labels, pairs.classes, "toys", "train")
    recipe = FinetuneConfig(epochs=2, batch_size=8)
    shared: dict[str, Any] = {"recipe": recipe, "validation": 0.25, "resources": Resources(accelerator="cpu")}
    result = fine_tune(PointNet(embedding=16), clouds, clouds, out=tmp_path / "net", logger=["csv"], **shared)
    lines = (tmp_path / "net/csv/version_0/metrics.csv").read_text().splitlines()
    rows = [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]
    for row, record in zip(rows, result.records, strict=True):
        assert float(row["train/loss"]) == pytest.approx(record["train_loss"], abs=1e-5)
        assert float(row["validation_accuracy"]) == pytest.approx(record["validation_accuracy"], abs=1e-3)


def test_training_with_labels_needs_a_folder_for_a_logger() -> None:
    check_loggers(None, None)
    with pytest.raises(ValueError, match="found the logger csv for a training without a folder"):
        check_loggers("csv", None)


def test_the_flag_of_pretrain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["pretrain", "--data.dataset.root", tmp_path, "--training.epochs", 1, "--out", tmp_path / "run"]
    command_refuses(capsys, [*words, "--logger", "[csv, tensorbord]"], "found the logger 'tensorbord'")
    assert main(["pretrain", "--logger", "csv,wandb", "--print_config"]) == 0
    assert "logger: csv,wandb" in capsys.readouterr().out
