"""The guard against losses that are not finite, and the replay of the step that it stopped at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crosspoint import CrossPoint, PointNet
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.datasets.pairs import ObjectPair
from crosspoint.training.replay import replay
from tests.crosspoint.toys import ToyPairs, toy_run


class Breaks(CrossPoint):
    """Its loss is not finite from the third step on: a weight of its encoder breaks, as after too long a stride."""

    steps = 0

    def training_step(self, batch: Any, generator: torch.Generator) -> dict[str, torch.Tensor]:
        if self.training and self.steps == 2:
            with torch.no_grad():
                self.encoder.layers[2].linear.weight[0, 0] = float("inf")
        self.steps += 1
        return super().training_step(batch, generator)


def method() -> Breaks:
    torch.manual_seed(0)
    return Breaks(PointNet(embedding=8), None, cross_weight=0.0)


def test_a_run_stops_at_the_first_step_and_keeps_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found a loss of nan in epoch 1, .*crosspoint replay .*rank-0.pt replays"):
        toy_run(tmp_path / "run", method=method(), training={"epochs": 3})
    file = tmp_path / "run" / "diverged" / "rank-0.pt"
    content = read_checkpoint(file)  # tensors and plain containers: anybody can look
    assert (content["epoch"], content["batch_idx"], content["step"], content["rank"]) == (0, 2, 2, 0)
    assert content["batch"]["points"].shape == (6, 64, 3)
    assert content["state_dict"]["method.encoder.layers.2.linear.weight"].isinf().sum() == 1
    assert content["command"].endswith(str(file))


def test_a_replay_sees_the_same_step_and_names_the_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="found a loss of nan"):
        toy_run(tmp_path / "run", method=method(), training={"epochs": 3})
    file = tmp_path / "run" / "diverged" / "rank-0.pt"
    again, pairs = method(), ToyPairs()
    batches: list[ObjectPair] = []
    plain = again.collate

    def noted(samples: Sequence[ObjectPair]) -> ObjectPair:
        batches.append(plain(samples))
        return batches[-1]

    monkeypatch.setattr(again, "collate", noted)
    told = replay(again, pairs, file, indices=np.arange(len(pairs)), batch_size=6, seed=0)
    assert torch.equal(batches[0].points, read_checkpoint(file)["batch"]["points"])
    assert told[0] == "loss nan"
    assert told[2].startswith("not finite: output of encoder.layers.2")


def test_another_file_is_named(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="expected a step that a diverged run left"):
        replay(method(), ToyPairs(), tmp_path / "other.pt", indices=np.arange(24), batch_size=6, seed=0)
