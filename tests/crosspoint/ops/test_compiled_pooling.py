"""Pools over points in a compiled network under autocast, where values are computed anew for the backward pass."""

from __future__ import annotations

import copy
import os
import shutil

import pytest
import torch
from torch import Tensor, nn

from crosspoint.ops.fused_max_mean_pool import layer_max_and_mean, layer_max_and_mean_by_blocks
from crosspoint.ops.fused_max_pool import layer_max, layer_max_by_blocks
from crosspoint.ops.shared_mlp import SharedMLP

POOLS = {
    "maximum": layer_max,
    "maximum and mean": layer_max_and_mean,
    "maximum by blocks": layer_max_by_blocks,
    "maximum and mean by blocks": layer_max_and_mean_by_blocks,
}


class Pooled(nn.Module):
    def __init__(self, pool: str) -> None:
        super().__init__()
        self.layer, self.pool = SharedMLP(3, 16), POOLS[pool]

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.layer, x)


@pytest.mark.slow
@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize(
    "device",
    [
        pytest.param(
            "cpu",
            marks=pytest.mark.skipif(
                shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler: found no g++"
            ),
        ),
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none"),
            ],
        ),
    ],
)
def test_gradients_in_half_precision_are_those_without_the_compiler(pool: str, device: str) -> None:
    torch.manual_seed(0)
    eager = Pooled(pool).to(device)
    compiled = copy.deepcopy(eager)
    compiled.compile()
    points = (torch.rand(12, 48, 3) * 2 - 1).to(device)
    for network in (eager, compiled):
        with torch.autocast(device, torch.bfloat16):
            network(points).float().square().sum().backward()
    for (name, weight), other in zip(eager.named_parameters(), compiled.parameters(), strict=True):
        assert weight.grad is not None and other.grad is not None, name
        assert float((weight.grad - other.grad).norm() / weight.grad.norm()) < 0.05, name
