"""torch.compile as an option: the same numbers, the same files."""

from __future__ import annotations

import copy
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosspoint import DGCNN, Compute, CrossPoint, ImageBackbone, PointNet, ProbeConfig, load_encoder
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.datasets.pairs import stack_pairs
from crosspoint.training.compilation import compile_networks, on_a_copy
from tests.crosspoint.toys import ToyPairs, toy_run

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler: found no g++ and no CXX"
)


class Pictures(ImageBackbone):
    """An image encoder that compiles in seconds."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim = 8
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("network", ["dgcnn", "pointnet"])
def test_compiled_encoders_give_the_same_losses_and_gradients(network: str) -> None:
    torch.manual_seed(0)
    encoder = DGCNN(k=5, channels=[8], embedding=16) if network == "dgcnn" else PointNet(embedding=16)
    eager = CrossPoint(encoder, Pictures())
    compiled = copy.deepcopy(eager)
    compile_networks(compiled, "cpu")
    assert list(compiled.state_dict()) == list(eager.state_dict())
    batch = stack_pairs([ToyPairs()[i, 0] for i in range(8)])
    losses = [each.training_step(batch, torch.Generator().manual_seed(0))["loss"] for each in (eager, compiled)]
    for loss in losses:
        loss.backward()
    assert torch.allclose(losses[0], losses[1], rtol=1e-5)
    largest = max(float(weight.grad.abs().max()) for weight in eager.parameters())
    for (name, expected), found in zip(eager.named_parameters(), compiled.parameters(), strict=True):
        difference = found.grad - expected.grad  # sums in another order; a bias before BatchNorm has only rounding
        assert difference.norm() < 1e-3 * expected.grad.norm() + 1e-4 * largest, name
    for (name, expected), found in zip(eager.named_buffers(), compiled.buffers(), strict=True):
        assert torch.allclose(found, expected, atol=1e-5), name


@needs_compiler
@pytest.mark.slow
def test_checkpoints_of_a_compiled_run_are_those_of_any_other(tmp_path: Path) -> None:
    probed: list[nn.Module] = []

    def measure(encoder: nn.Module, data: Any) -> dict[str, float]:
        probed.append(encoder)
        return {"accuracy": 1.0}

    def run(folder: str, compiled: bool, resume: bool = False) -> Path:
        torch.manual_seed(0)
        return toy_run(
            tmp_path / folder,
            method=CrossPoint(PointNet(embedding=16), None, cross_weight=0.0),
            training={"epochs": 1},
            compute=Compute(accelerator="cpu", workers=0, compile=compiled),
            probe=ProbeConfig(holdout=0.25, points=40),
            measure=measure,
            resume=resume,
        )

    files = [run("eager", False), run("compiled", True)]
    assert [each._compiled_call_impl for each in probed] == [None, None]
    eager, found = (read_checkpoint(file) for file in files)
    assert list(found["state_dict"]) == list(eager["state_dict"])
    points = torch.rand(2, 30, 3)
    assert torch.allclose(load_encoder(files[1])(points), load_encoder(files[0])(points), atol=0.05)
    assert run("compiled", False, resume=True) == files[1]


class Layer(nn.Linear):
    """A layer of ours: early releases of torch 2 do not compile one of their own that is called alone."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def test_probes_see_a_copy_that_is_not_compiled() -> None:
    graphs: list[Any] = []

    def backend(graph: Any, inputs: list[Tensor]) -> Any:
        graphs.append(graph)
        return graph.forward

    encoder = Layer(3, 2)
    encoder.compile(backend=backend)
    x = torch.rand(4, 3)
    found = on_a_copy(lambda network, data: network(data))(encoder, x)
    assert not graphs
    assert torch.equal(encoder(x), found)
    assert len(graphs) == 1


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ImportError, match=r"found no C\+\+ compiler 'no-such-compiler', expected one"):
        compile_networks(CrossPoint(PointNet(embedding=16), Pictures()), "cpu")


def test_a_method_whose_networks_cannot_be_compiled_says_so(tmp_path: Path) -> None:
    class Odd(CrossPoint):
        def networks_to_compile(self) -> list[nn.Module]:
            return []

    with pytest.raises(ValueError, match=r"found compute.compile true for Odd, expected false"):
        toy_run(
            tmp_path / "run",
            method=Odd(PointNet(embedding=16), None, cross_weight=0.0),
            compute=Compute(accelerator="cpu", workers=0, compile=True),
        )
    assert not (tmp_path / "run").exists()
