"""Training on stored folds: each fold is `fine_tune` on its clouds, and what is finished is known again."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint import PointNet, save_encoder
from crosspoint.cli.main import main
from crosspoint.datasets.clouds import Clouds
from crosspoint.eval.protocols.pointbert_folds import read_fold
from crosspoint.eval.results import Result
from crosspoint.eval.supervised import pointbert_folds as module
from crosspoint.eval.supervised.classification import fine_tune
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.pointbert_folds import folds_finetune

RECIPE = FinetuneConfig(epochs=6, batch_size=4, learning_rate=0.05)
CPU = Resources(accelerator="cpu")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folds of two ways and three shots: long boxes against flat ones."""
    root = tmp_path_factory.mktemp("folds")
    for number in range(2):
        rng = np.random.default_rng(number)

        def part(count: int, rng: np.random.Generator = rng) -> list[tuple[np.ndarray, int, int]]:
            extent = np.array([[2.0, 0.3, 0.3], [1.0, 1.0, 0.1]])
            clouds = [((rng.uniform(-1, 1, (40, 3)) * extent[way]), way) for way in range(2) for _ in range(count)]
            return [(np.concatenate([c, c], axis=1).astype(np.float32), way, way + 5) for c, way in clouds]

        path = root / "2way_3shot" / f"{number}.pkl"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(pickle.dumps({"train": part(3), "test": part(4)}))
    return root


@pytest.fixture
def encoder() -> PointNet:
    torch.manual_seed(0)
    return PointNet(embedding=16).eval()


def finetuned(archive: Path, encoder: PointNet, **changes: object) -> Result:
    given = {"settings": [(2, 3)], "folds": 2, "points": 32, "recipe": RECIPE, "resources": CPU, "seed": 3}
    return folds_finetune(archive, encoder, **{**given, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["finetuned", "scratch", "frozen"])
def test_each_fold_is_fine_tuned_by_itself(mode: str, archive: Path, encoder: PointNet) -> None:
    result = finetuned(archive, encoder, mode=mode)
    assert result.protocol == f"folds/{mode}"
    rows = {"accuracy": [], "accuracy_best_on_test": []}
    for number, row in enumerate(result.records):
        fold = read_fold(archive / f"2way_3shot/{number}.pkl", 2, 3, points=32)
        expected = fine_tune(
            encoder,
            Clouds(fold.train_points, fold.train_labels, ["long", "flat"], "boxes", "train"),
            Clouds(fold.test_points, fold.test_labels, ["long", "flat"], "boxes", "test"),
            mode=mode,
            recipe=RECIPE,
            validation=0.0,
            seed=row["seed"],
            resources=CPU,
        )
        assert expected.records[-1]["test_accuracy"] == row["accuracy"]
        assert max(epoch["test_accuracy"] for epoch in expected.records) == row["accuracy_best_on_test"]
        for name, values in rows.items():
            values.append(row[name])
    for name, values in rows.items():
        figure = "2way_3shot" + name.removeprefix("accuracy")
        assert result.metrics[figure] == pytest.approx(np.mean(values))
        assert result.metrics[f"{figure}_std"] == pytest.approx(np.std(values))


def test_it_learns(archive: Path, encoder: PointNet) -> None:
    result = finetuned(
        archive, encoder, recipe=FinetuneConfig(epochs=40, batch_size=6, learning_rate=0.05, augmentation=None)
    )
    assert result.metrics["2way_3shot"] > 80


def test_interrupted_it_goes_on_from_the_last_whole_fold(
    archive: Path, encoder: PointNet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = finetuned(archive, encoder)
    trained = []

    def interrupted(*args: object, **settings: object) -> Result:
        if len(trained) == 1:
            raise KeyboardInterrupt
        trained.append(settings["seed"])
        return fine_tune(*args, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "fine_tune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        finetuned(archive, encoder, cache=tmp_path)
    monkeypatch.setattr(module, "fine_tune", lambda *a, **s: (trained.append(s["seed"]), fine_tune(*a, **s))[1])
    assert finetuned(archive, encoder, cache=tmp_path) == expected
    assert trained == [row["seed"] for row in expected.records]
    assert finetuned(archive, encoder, cache=tmp_path) == expected and len(trained) == 2
    finetuned(archive, encoder, cache=tmp_path, seed=4)  # what decides otherwise is another training
    with torch.no_grad():
        next(encoder.parameters()).add_(1)
    finetuned(archive, encoder, cache=tmp_path)
    assert len(trained) == 6


def test_the_command_trains(archive: Path, encoder: PointNet, tmp_path: Path) -> None:
    save_encoder(encoder, tmp_path / "encoder.safetensors")
    words = ["evaluate", "folds", "--checkpoint", tmp_path / "encoder.safetensors", "--folds", archive, "--count", 2]
    words += ["--mode", "finetuned", "--points", 32, "--seed", 3, "--recipe.epochs", 6, "--recipe.batch_size", 4]
    words += ["--recipe.learning_rate", 0.05, "--resources.accelerator", "cpu", "--out", tmp_path / "result.json"]
    arguments = [str(word) for word in words]
    assert main(arguments) == 0
    result, expected = Result.load(tmp_path / "result.json"), finetuned(archive, encoder)
    assert (result.metrics, result.records) == (expected.metrics, expected.records)
