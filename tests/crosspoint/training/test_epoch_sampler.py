"""Runs on toy pairs: learning, exact resume after a kill, hold-out, schedule, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from lightning.pytorch.utilities import rank_zero_only

from crosspoint import Compute
from crosspoint.training.epoch_sampler import EpochSampler, batches_of_each, epoch_loader, step_seed
from tests.crosspoint.toys import ToyPairs, toy_run

ROOT = Path(__file__).parents[3]


def test_sampler_shares_a_permutation_out() -> None:
    indices = np.arange(100, 111)
    whole = EpochSampler(indices, seed=3)
    first = list(whole)
    assert sorted(index for index, _ in first) == indices.tolist()
    whole.set_epoch(1)
    assert list(whole) != first
    whole.set_epoch(0)
    assert list(whole) == first
    shares = [list(EpochSampler(indices, seed=3, rank=rank, processes=2)) for rank in range(2)]
    assert [len(share) for share in shares] == [5, 5]
    assert [pair for both in zip(*shares, strict=True) for pair in both] == first[:10]
    assert len({step_seed(0, rank, step) for rank in range(4) for step in range(100)}) == 400


@pytest.mark.parametrize(
    ("samples", "batch_size", "processes", "least", "batches"),
    [(32, 16, 2, 2, 1), (33, 16, 2, 2, 1), (32, 16, 1, 2, 2), (7, 2, 3, 2, 1), (5, 1, 5, 1, 1)],
)
def test_batches_are_counted_in_the_share_of_a_process(
    samples: int, batch_size: int, processes: int, least: int, batches: int
) -> None:
    indices = np.arange(samples)
    assert batches_of_each(samples, batch_size, processes, least=least) == batches
    for rank in range(processes):
        progress = SimpleNamespace(current=SimpleNamespace(processed=3))
        fit_loop = SimpleNamespace(epoch_progress=progress)
        trainer = SimpleNamespace(global_rank=rank, world_size=processes, fit_loop=fit_loop)
        loader = epoch_loader(indices, indices, batch_size=batch_size, seed=0, workers=0, trainer=trainer)
        assert len(loader) == batches
        assert isinstance(loader.sampler, EpochSampler)
        assert loader.sampler.epoch == 3  # of the run that goes on


@pytest.mark.parametrize(
    ("samples", "batch_size", "processes", "message"),
    [
        (32, 20, 2, "found 32 samples for training, 16 for each of 2 processes, and a batch size of 20, expected a"),
        (32, 17, 2, "expected a batch size from 2 to 16: change it, or take more data, or fewer devices"),
        (32, 1, 1, "found 32 samples for training and a batch size of 1, expected a batch size from 2 to 32"),
        (7, 2, 4, "expected 2 or more for each process"),
    ],
)
def test_a_process_without_a_batch_is_refused(samples: int, batch_size: int, processes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        batches_of_each(samples, batch_size, processes, least=2)
    trainer = SimpleNamespace(global_rank=0, world_size=processes)
    with pytest.raises(ValueError, match=message):
        epoch_loader(ToyPairs(), np.arange(samples), batch_size=batch_size, seed=0, workers=0, trainer=trainer, least=2)


def test_a_batch_above_the_share_of_a_declared_process_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchrun declares two processes, before they meet: 24 pairs, 12 for each."""
    declared = {"RANK": 1, "LOCAL_RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 2, "GROUP_RANK": 0}
    for name, value in declared.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    monkeypatch.setenv("MASTER_ADDR", "localhost")
    monkeypatch.setenv("MASTER_PORT", "1")
    monkeypatch.setattr(rank_zero_only, "rank", 0, raising=False)  # the trainer sets it, for good
    compute = Compute(accelerator="cpu", devices=2, workers=0)
    with pytest.raises(ValueError, match="found 24 samples for training, 12 for each of 2 processes"):
        toy_run(tmp_path / "run", training={"batch_size": 13}, compute=compute)
    assert not (tmp_path / "run").exists()
