"""CMCR in two gloo processes: the gradients and the codebook that are promised."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

from crosspoint.scene.data.batch import LidarBatch, stack_samples
from crosspoint.scene.methods import CMCR, CmcrWeights
from crosspoint.scene.models.codebook import Codebook
from tests.scene.methods.test_cmcr import NOTHING, made_method
from tests.scene.methods.test_ppkt import VOXELS, made_frame

PROCESSES = 2
STEPS = 4
CASES: dict[str, dict[str, Any]] = {
    "whole": {"orthogonal_pixels": True},
    "clean": {"teacher_sees": "clean"},
    **{
        f"only {name}": {"weights": CmcrWeights(**{**NOTHING, name: 1.0})}
        for name in ("contrast", "reconstruction", "occupancy")
    },
}


class Step(nn.Module):
    """What DistributedDataParallel wraps: the training step as a forward pass."""

    def __init__(self, method: CMCR) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: LidarBatch, generator: torch.Generator) -> Tensor:
        return self.method.training_step(batch, generator)["loss"]


def batch_of(rank: int) -> LidarBatch:
    return stack_samples([made_frame(rank + 1)], VOXELS)


def generator_of(rank: int) -> torch.Generator:
    return torch.Generator().manual_seed(10 + rank)


def made_book(revive: int | None) -> Codebook:
    torch.manual_seed(0)
    return Codebook(60, 4, decay=0.9, revive=revive).double()


def rows(rank: int, step: int) -> tuple[Tensor, Tensor]:
    """Points and pixels of a process in a step, not as many as in the other one; at last the first one has none."""
    generator = torch.Generator().manual_seed(10 * rank + step)
    count = 0 if rank == 0 and step == STEPS - 1 else 8 + 5 * rank
    points, pixels = torch.randn(2, count, 4, generator=generator, dtype=torch.float64)
    return nn.functional.normalize(points, dim=1), nn.functional.normalize(pixels, dim=1)


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    found: dict[str, Any] = {}
    for name, options in CASES.items():
        wrapped = DistributedDataParallel(Step(made_method(**options)), broadcast_buffers=False)
        wrapped(batch_of(rank), generator_of(rank)).backward()  # idle weights would raise at the next step
        trained = {key: w.grad for key, w in wrapped.module.method.named_parameters() if w.requires_grad}
        wrapped(batch_of(rank), generator_of(rank))
        book = wrapped.module.method.codebook
        found[name] = {"gradients": trained, "codes": None if book is None else dict(book.state_dict())}
    books: dict[str, list[dict[str, Tensor]]] = {}
    for revive in (None, 2):
        book, history = made_book(revive), []
        for step in range(STEPS):
            perplexity = book.update(*rows(rank, step), torch.Generator().manual_seed(step + 100 * rank))
            state = {name: value.clone() for name, value in book.state_dict().items()}
            history.append({"perplexity": perplexity, **state})
        books[str(revive)] = history
    torch.save({"cases": found, "books": books}, f"{folder}/{rank}.pt")
    os._exit(0)  # threads of gloo can abort an interpreter that ends (https://github.com/pytorch/pytorch/pull/179291)


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What both processes found: they are started once, which takes longer than what they do."""
    path = tmp_path_factory.mktemp("processes")
    start_processes(worker, (str(path),), nprocs=PROCESSES, start_method="spawn")
    return [torch.load(path / f"{rank}.pt", weights_only=True) for rank in range(PROCESSES)]


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_the_means_over_processes_of_what_each_compares_itself(
    case: str, states: list[dict[str, Any]]
) -> None:
    alone = []
    for rank in range(PROCESSES):
        method = made_method(**CASES[case])
        method.training_step(batch_of(rank), generator_of(rank))["loss"].backward()
        alone.append({key: weight.grad for key, weight in method.named_parameters() if weight.requires_grad})
    for state in states:
        gradients = state["cases"][case]["gradients"]
        assert {*gradients} == {*alone[0]}
        for key, found in gradients.items():
            torch.testing.assert_close(found, (alone[0][key] + alone[1][key]) / 2, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_both_processes_have_one_codebook(case: str, states: list[dict[str, Any]]) -> None:
    first, second = (state["cases"][case]["codes"] for state in states)
    assert (first is None) == (second is None) == (case == "only contrast")
    if first is not None:
        assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_the_codebook_is_that_of_one_process_on_the_joined_batch(states: list[dict[str, Any]]) -> None:
    book = made_book(None)
    for step in range(STEPS):
        joined = [torch.cat(parts) for parts in zip(*(rows(rank, step) for rank in range(PROCESSES)), strict=True)]
        perplexity = book.update(joined[0], joined[1], torch.Generator())
        for state in states:
            found = state["books"]["None"][step]
            torch.testing.assert_close(found["perplexity"], perplexity)
            for name, expected in book.state_dict().items():
                torch.testing.assert_close(found[name], expected)


def test_unused_codes_become_features_of_the_first_process_everywhere(states: list[dict[str, Any]]) -> None:
    first, second = (state["books"]["2"] for state in states)
    kept = [state["idle"] for state in states[0]["books"]["None"]]
    for one, other in zip(first, second, strict=True):
        assert all(torch.equal(value, other[name]) for name, value in one.items())
    replaced = kept[1] == 2  # in neither of the first steps was it chosen
    assert replaced.any() and (first[1]["idle"][replaced] == 0).all()
    near = torch.cdist(first[1]["codes"][replaced], torch.cat(rows(0, 1))).amin(dim=1)
    assert (near < 3 / 1024).all()
