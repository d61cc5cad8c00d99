"""torch.compile as an option: the same numbers, the same files."""

from __future__ import annotations

import copy
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from crosspoint import CrossPoint, load_encoder
from crosspoint.checkpoints.load import read_checkpoint
from crosspoint.datasets.pairs import stack_pairs
from crosspoint.models.build import EncoderConfig, build_encoder
from crosspoint.models.pointnet import PointNet
from crosspoint.training.compilation import compile_encoders, on_a_copy
from crosspoint.training.config import DataConfig, MethodConfig, PretrainConfig, TrainingConfig
from crosspoint.training.pretrain import pretrain

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="needs a C++ compiler: found no g++ and no CXX"
)


class Pictures(nn.Sequential):
    """An image encoder that compiles in seconds."""

    feature_dim = 8

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 8, 3, stride=4), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("network", ["dgcnn", "pointnet"])
def test_compiled_encoders_give_the_same_losses_and_gradients(network: str, toy_pairs: type) -> None:
    torch.manual_seed(0)
    eager = CrossPoint(build_encoder(EncoderConfig(network, k=5, channels=[8], embedding=16)), Pictures())
    compiled = copy.deepcopy(eager)
    compile_encoders(compiled, "cpu")
    assert list(compiled.state_dict()) == list(eager.state_dict())
    batch = stack_pairs([toy_pairs()[i, 0] for i in range(8)])
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
def test_checkpoints_of_a_compiled_run_are_those_of_any_other(
    tmp_path: Path, toy_pairs: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosspoint.training.pretrain.open_pairs", lambda config: toy_pairs())
    probed: list[nn.Module] = []

    def probe(encoder: nn.Module, data: Any) -> dict[str, float]:
        probed.append(encoder)
        return {"accuracy": 1.0}

    files = []
    for compiled in (False, True):
        config = PretrainConfig(
            out=tmp_path / str(compiled),
            data=DataConfig(holdout=0.25, probe_points=40, workers=0),
            encoder=EncoderConfig("pointnet", embedding=16),
            method=MethodConfig(cross_weight=0.0),
            training=TrainingConfig(epochs=1, batch_size=6, accelerator="cpu", compile=compiled),
        )
        files.append(pretrain(config, probe=probe))
    assert [each._compiled_call_impl for each in probed] == [None, None]
    eager, found = (read_checkpoint(file) for file in files)
    assert list(found["state_dict"]) == list(eager["state_dict"])
    points = torch.rand(2, 30, 3)
    assert torch.allclose(load_encoder(files[1])(points), load_encoder(files[0])(points), atol=0.05)
    changed = replace(config.training, epochs=1, compile=False)
    assert pretrain(replace(config, training=changed), probe=probe, resume=True) == files[1]


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
        compile_encoders(CrossPoint(PointNet(embedding=16), Pictures()), "cpu")
