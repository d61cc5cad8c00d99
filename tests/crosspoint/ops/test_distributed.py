"""Two gloo processes against one process on the joined batch."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import start_processes
from torch.nn.parallel import DistributedDataParallel

from crosspoint.losses import info_nce, nt_xent
from crosspoint.ops.distributed import gather_rows
from crosspoint.ops.edgeconv import EdgeConv
from crosspoint.ops.fused_max_mean_pool import layer_max_and_mean_by_blocks
from crosspoint.ops.fused_max_pool import layer_max_by_blocks
from crosspoint.ops.shared_mlp import SharedMLP

PROCESSES = 2


class Projections(nn.Module):
    """A small network of two inputs, so that gradients of weights can be compared."""

    batch = 6  # in each process

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(5, 4).double()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return nt_xent(self.linear(a), self.linear(b))


class ManyProjections(Projections):
    """Enough of them to be compared in tiles."""

    batch = 200


class Queries(Projections):
    """The loss that looks one way."""

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return info_nce(self.linear(a), self.linear(b), gather=True)


class ManyQueries(Queries):
    """Enough of them to be compared in tiles."""

    batch = 400


class EdgeLayer(nn.Module):
    """EdgeConv with BatchNorm over all processes, and a loss that is a mean over clouds."""

    batch = 6

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = EdgeConv(3, 4, k=5).double()
        nn.init.normal_(self.layer.norm.weight)

    def forward(self, a: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
        clouds = a.view(len(a), 1, 5).expand(-1, 12, -1)[..., :3] * torch.arange(1, 13).view(12, 1) ** 0.5
        return self.layer(clouds + a.view(len(a), -1)[:, :3].unsqueeze(1).sin()).square().mean()


class PooledLayers(Projections):
    """Layers that are pooled in blocks, their BatchNorms over all processes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = SharedMLP(5, 4).double(), SharedMLP(5, 4).double()

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        clouds = torch.stack([a, b, a * b], dim=1)
        pooled = torch.cat(
            [layer_max_by_blocks(self.first, clouds), layer_max_and_mean_by_blocks(self.second, clouds)], 1
        )
        return pooled.square().mean() + self.linear(a).square().mean()


def inputs(batch: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    a, b = (torch.randn(PROCESSES * batch, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    return a, b


KINDS = (Projections, ManyProjections, Queries, ManyQueries, EdgeLayer, PooledLayers)


def worker(rank: int, folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=PROCESSES)
    for kind in KINDS:
        torch.save(outcome(kind, rank), f"{folder}/{kind.__name__}-{rank}.pt")
    os._exit(0)  # threads of gloo can abort an interpreter that ends (https://github.com/pytorch/pytorch/pull/179291)


def outcome(kind: type[nn.Module], rank: int) -> dict[str, Any]:
    """What one process finds with its share of the batch."""
    model = kind()
    a, b = (x.chunk(PROCESSES)[rank] for x in inputs(model.batch))
    if kind in (EdgeLayer, PooledLayers):
        # DistributedDataParallel refuses nn.SyncBatchNorm on CPUs; ours pool the moments themselves.
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        loss = model(a, b)
        loss.backward()
        for parameter in model.parameters():
            dist.all_reduce(parameter.grad)
            parameter.grad /= PROCESSES
    else:
        wrapped = DistributedDataParallel(model)
        loss = wrapped(a, b)
        loss.backward()
    return {
        "loss": loss.detach(),
        "gradients": [p.grad for p in model.parameters()],
        "buffers": dict(model.named_buffers()),
        "gathered": gather_rows(torch.full((2, 1), float(rank))),
        "apart": info_nce(a, b),
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What all processes found: they are started once, which takes longer than what they do."""
    path = tmp_path_factory.mktemp("processes")
    start_processes(worker, (str(path),), nprocs=PROCESSES, start_method="spawn")
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_two_processes_equal_one_on_the_joined_batch(kind: type[nn.Module], folder: Path) -> None:
    states = [torch.load(folder / f"{kind.__name__}-{rank}.pt", weights_only=True) for rank in range(PROCESSES)]
    model = kind()
    loss = model(*inputs(model.batch))
    loss.backward()
    assert torch.allclose(sum(state["loss"] for state in states) / PROCESSES, loss, rtol=1e-10)
    for state in states:
        for found, parameter in zip(state["gradients"], model.parameters(), strict=True):
            assert torch.allclose(found, parameter.grad, rtol=1e-8, atol=1e-12)
        for name, expected in model.named_buffers():
            assert torch.allclose(state["buffers"][name], expected, rtol=1e-10), name
        assert state["gathered"].flatten().tolist() == [0, 0, 1, 1]


def test_info_nce_stays_within_a_process_unless_asked(folder: Path) -> None:
    shares = zip(*(x.chunk(PROCESSES) for x in inputs(Queries.batch)), strict=True)
    for rank, (a, b) in enumerate(shares):
        found = torch.load(folder / f"Queries-{rank}.pt", weights_only=True)["apart"]
        assert torch.allclose(found, info_nce(a, b), rtol=1e-12)
