"""OLIVINE and regression in two gloo processes: the mean of their gradients, and one set of statistics."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.methods.scene_method import SceneMethod
from crosspoint.scene.methods.von_mises_fisher import ClassDistributions
from tests.scene.methods import test_olivine, test_regression

PROCESSES = 2
STEPS = 3
MAKERS = {"olivine": test_olivine.made_method, "regression": test_regression.made_method}


class Step(nn.Module):
    """What DistributedDataParallel wraps: the training step as a forward pass."""

    def __init__(self, method: SceneMethod) -> None:
        super().__init__()
        self.method = method

    def forward(self, batch: LidarBatch, generator: torch.Generator) -> Tensor:
        return self.method.training_step(batch, generator)["loss"]


def batch_of(rank: int) -> LidarBatch:
    return test_olivine.labeled_batch(unlabeled=5 + 1000 * rank)  # nothing is said of the second process's pixels


def features(rank: int, step: int) -> tuple[Tensor, Tensor]:
    """Not as many in both processes; at last the first has none."""
    generator = torch.Generator().manual_seed(10 * rank + step)
    count = 0 if rank == 0 and step == STEPS - 1 else 6 + 5 * rank
    rows = nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1)
    return rows, torch.randint(3, (count,), generator=generator)


def worker(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    found: dict[str, Any] = {}
    for name, made in MAKERS.items():
        wrapped = DistributedDataParallel(Step(made()), broadcast_buffers=False)
        wrapped(batch_of(rank), torch.Generator().manual_seed(rank)).backward()  # idle weights would raise at the next
        wrapped(batch_of(rank), torch.Generator().manual_seed(rank)).backward()
        method = wrapped.module.method
        found[name] = {key: weight.grad for key, weight in method.named_parameters() if weight.requires_grad}
    distributions = ClassDistributions(3, 4, decay=0.3)
    for step in range(STEPS):
        distributions.update(*features(rank, step))
    found["distributions"] = distributions.state_dict()
    torch.save(found, f"{folder}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("processes")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    start_processes(worker, args=(str(folder),), nprocs=PROCESSES, start_method="spawn")
    return [torch.load(folder / f"{rank}.pt") for rank in range(PROCESSES)]


def test_statistics_are_those_of_one_process_that_has_all_features(results: list[dict[str, Any]]) -> None:
    alone = ClassDistributions(3, 4, decay=0.3)
    for step in range(STEPS):
        parts = [features(rank, step) for rank in range(PROCESSES)]
        alone.update(torch.cat([rows for rows, _ in parts]), torch.cat([labels for _, labels in parts]))
    for found in results:
        for name, expected in alone.state_dict().items():
            torch.testing.assert_close(found["distributions"][name], expected)


@pytest.mark.parametrize("name", list(MAKERS))
def test_both_processes_have_the_same_gradients_of_all_weights(name: str, results: list[dict[str, Any]]) -> None:
    first, second = (found[name] for found in results)
    assert first.keys() == second.keys() and first
    for key, gradient in first.items():
        assert gradient is not None and torch.equal(gradient, second[key])


def test_gradients_are_the_mean_of_what_each_process_has_alone(results: list[dict[str, Any]]) -> None:
    alone = []
    for rank in range(PROCESSES):
        method = MAKERS["regression"]()
        for _ in range(2):  # the worker adds up two backward passes
            method.training_step(batch_of(rank), torch.Generator().manual_seed(rank))["loss"].backward()
        alone.append({key: weight.grad for key, weight in method.named_parameters() if weight.requires_grad})
    for key, gradient in results[0]["regression"].items():
        torch.testing.assert_close(gradient, (alone[0][key] + alone[1][key]) / 2, rtol=1e-2, atol=3e-4)
