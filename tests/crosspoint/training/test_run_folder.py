from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Generator, Tensor

from crosspoint import Compute, CrossPoint
from crosspoint.checkpoints.files import read_checkpoint
from tests.crosspoint.toys import toy_run


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("stopped", [6, 11])  # of four steps an epoch: in the second, in the third
def test_a_resumed_run_reads_the_samples_of_its_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, stopped: int
) -> None:
    """Loader processes ask for samples early: before a trainer has told them which epoch it goes on with."""
    settings: dict[str, Any] = {
        "training": {"epochs": 3},
        "compute": Compute(accelerator="cpu", workers=workers),
    }
    toy_run(tmp_path / "whole", **settings)
    plain, steps = CrossPoint.training_step, itertools.count(1)

    def interrupted(self: CrossPoint, batch: Any, generator: Generator) -> dict[str, Tensor]:
        if next(steps) == stopped:
            raise KeyboardInterrupt
        return plain(self, batch, generator)

    monkeypatch.setattr(CrossPoint, "training_step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        toy_run(tmp_path / "cut", **settings)
    monkeypatch.setattr(CrossPoint, "training_step", plain)
    toy_run(tmp_path / "cut", **settings, resume=True)
    expected, found = (read_checkpoint(tmp_path / run / "last.ckpt") for run in ("whole", "cut"))
    assert all(torch.equal(weight, found["state_dict"][name]) for name, weight in expected["state_dict"].items())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epoch": 10**9}, "found the epoch 1000000000 in .*last.ckpt, expected one from 0 to 1"),
        ({"epoch": "x"}, "found the epoch x"),
        ({"epoch": -1}, "found the epoch -1"),
        ({"loops": None}, "found no progress of the training"),
    ],
)
def test_a_checkpoint_with_an_impossible_progress_is_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    last = tmp_path / "run" / "last.ckpt"
    toy_run(tmp_path / "run", training={"epochs": 2})
    torch.save({**read_checkpoint(last), "epoch": 0, **change}, last)
    with pytest.raises(ValueError, match=message):
        toy_run(tmp_path / "run", training={"epochs": 2}, resume=True)
