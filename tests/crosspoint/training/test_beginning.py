"""Runs that begin with the weights of a file, and finished runs that get more epochs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from crosspoint import DGCNN, Inputs, ProbeConfig, load_pretrained, save_encoder
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.cli.pretrain import read_config
from crosspoint.training import lightning_module, pretrain
from crosspoint.training.lightning_module import Pretraining, cosine_schedule
from tests.crosspoint.toys import SIZES, toy_method, toy_run
from tests.refusals import command_refuses

CLOUDS = {"cross_weight": 0.0}  # no image branch, which takes most of the time


def run(out: Path, epochs: int, seed: int = 0, **options: Any) -> Path:
    return toy_run(out, method=toy_method(seed, **CLOUDS), training={"epochs": epochs}, **options)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(path)["state_dict"]


def begun(monkeypatch: pytest.MonkeyPatch, out: Path, **options: Any) -> dict[str, torch.Tensor]:
    """The weights that a run has before its first step."""
    seen: list[Pretraining] = []
    with monkeypatch.context() as patch:
        patch.setattr(pretrain, "fit", lambda trainer, module, data, resume_from: seen.append(module))
        run(out, 1, seed=5, **options)
    return seen[0].state_dict()


def test_a_run_begins_with_all_weights_of_its_method(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    last = run(tmp_path / "first", 1)
    found, expected = begun(monkeypatch, tmp_path / "second", weights=last), weights(last)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], weight) for name, weight in expected.items())
    assert yaml.safe_load((tmp_path / "second/config.yaml").read_text())["weights"] == str(last)


def test_a_run_begins_with_an_encoder_and_random_heads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    encoder, file = DGCNN(**SIZES[DGCNN]), tmp_path / "encoder.safetensors"
    save_encoder(encoder, file, Inputs(points=48))
    found, plain = (begun(monkeypatch, tmp_path / name, **given) for name, given in _runs(file))
    own = {f"method.encoder.{name}": weight for name, weight in encoder.state_dict().items()}
    assert all(torch.equal(found[name], own.get(name, weight)) for name, weight in plain.items())
    assert any(name not in own for name in plain)


def _runs(file: Path) -> list[tuple[str, dict[str, Any]]]:
    return [("with", {"weights": file}), ("without", {})]


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_encoder(DGCNN(k=5, channels=[8, 4], embedding=16), tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"found weights in .*other.safetensors that do not fit DGCNN"):
        run(tmp_path / "run", 1, weights=tmp_path / "other.safetensors")
    with pytest.raises(FileNotFoundError, match=r"none\.ckpt"):
        run(tmp_path / "run", 1, weights=tmp_path / "none.ckpt")


def test_a_longer_run_goes_on_exactly_but_for_the_rate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a rate that is always the same, one epoch and two more are three, bit for bit."""
    monkeypatch.setattr(lightning_module, "cosine_schedule", lambda steps, warmup=0: lambda step: 1.0)
    whole = weights(run(tmp_path / "whole", 3))
    run(tmp_path / "short", 1)
    found = weights(run(tmp_path / "long", 3, extend=tmp_path / "short"))
    assert all(torch.equal(found[name], weight) for name, weight in whole.items())
    assert read_checkpoint(tmp_path / "short/last.ckpt")["epoch"] == 0  # as it was
    assert load_pretrained(tmp_path / "long/last.ckpt").config["extend"] == str(tmp_path / "short")


def test_the_rate_of_a_longer_run_is_that_of_its_cosine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rates: list[float] = []
    step = Pretraining.training_step

    def noted(self: Pretraining, batch: Any, batch_idx: int) -> torch.Tensor:
        rates.append(self.trainer.optimizers[0].param_groups[0]["lr"])
        return step(self, batch, batch_idx)

    monkeypatch.setattr(Pretraining, "training_step", noted)
    run(tmp_path / "short", 1)
    with caplog.at_level(logging.INFO, logger="crosspoint"):
        run(tmp_path / "long", 2, extend=tmp_path / "short")
    steps = len(rates) // 2
    expected = [1e-3 * cosine_schedule(steps)(each) for each in range(steps)]
    expected += [1e-3 * cosine_schedule(2 * steps)(each) for each in range(steps, 2 * steps)]
    assert rates == pytest.approx(expected, rel=1e-6)
    assert "goes on after epoch 1: the learning rate had fallen to 0.0e+00, rises to 5.0e-04" in caplog.text


def test_the_best_checkpoint_of_the_shorter_run_stays_until_one_is_better(tmp_path: Path) -> None:
    figures = iter([80.0, 70.0])
    probed = {
        "probe": ProbeConfig(holdout=0.25, points=40, every=1),
        "measure": lambda encoder, data: {"accuracy": next(figures)},
    }
    best = run(tmp_path / "short", 1, **probed)
    found = run(tmp_path / "long", 2, extend=tmp_path / "short", **probed)
    assert found == tmp_path / "long/best.ckpt" and found.read_bytes() == best.read_bytes()


def test_what_cannot_be_extended(tmp_path: Path) -> None:
    short = tmp_path / "short"
    run(short, 2)
    with pytest.raises(ValueError, match=r"found 2 epochs for a run of 2 .*expected more: give --training.epochs"):
        run(tmp_path / "long", 2, extend=short)
    with pytest.raises(ValueError, match=r"found other settings .*\(seed: 0 then, 1 now\)"):
        toy_run(tmp_path / "long", method=toy_method(0, **CLOUDS), seed=1, training={"epochs": 3}, extend=short)
    with pytest.raises(FileNotFoundError, match=r"found no config.yaml in .*gone"):
        run(tmp_path / "long", 3, extend=tmp_path / "gone")
    content = read_checkpoint(short / "last.ckpt")
    torch.save({**content, "epoch": 0}, short / "last.ckpt")
    with pytest.raises(ValueError, match="stopped after epoch 1 of 2, expected a finished one"):
        run(tmp_path / "long", 3, extend=short)


def test_the_flags_of_pretrain(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finished = tmp_path / "mine"
    finished.mkdir()
    first = read_config(
        ["--out", str(finished), "--training.epochs", "2", "--seed", "7", "--data.dataset.root", "views"]
    )
    (finished / "config.yaml").write_text(first.as_yaml())
    longer = read_config(["--extend", str(finished), "--training.epochs", "5", "--weights", "a.ckpt"])
    assert str(longer.rest.out) == f"{finished}-extended" and longer.rest.extend == finished
    assert (longer.rest.training.epochs, longer.rest.seed, str(longer.rest.weights)) == (5, 7, "a.ckpt")
    assert str(read_config(["--extend", str(finished), "--out", "other"]).rest.out) == "other"
    again = yaml.safe_load(longer.as_yaml())
    assert (again["extend"], again["weights"]) == (str(finished), "a.ckpt")
    command_refuses(capsys, ["pretrain", "--extend", tmp_path / "gone"], "found no config.yaml in")
