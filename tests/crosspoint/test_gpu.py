"""The same results on a GPU; skipped where there is none."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from crosspoint import DGCNN, Compute, PartSegDGCNN, PointNet, knn
from crosspoint.datasets.pairs import ObjectPair, stack_pairs
from crosspoint.ops import fused_max_mean_pool, fused_max_pool
from crosspoint.ops.edgeconv import EdgeConv, edge_conv
from crosspoint.training.config import ResolvedTraining
from crosspoint.training.lightning_module import build_optimizer
from tests.crosspoint.toys import toy_method, toy_run

NETWORKS = {"dgcnn": DGCNN, "pointnet": PointNet, "dgcnn_partseg": PartSegDGCNN}

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none"),
]


def test_edge_conv_equals_the_formula_on_the_device() -> None:
    torch.manual_seed(0)
    layer = EdgeConv(8, 16, k=6).double().cuda()
    norm = copy.deepcopy(layer.norm)
    x = torch.randn(3, 50, 8, dtype=torch.float64, device="cuda")
    fast, slow = x.clone().requires_grad_(), x.clone().requires_grad_()
    found = layer(fast)
    expected = edge_conv(slow, knn(slow, 6), layer.weight, norm, layer.slope)
    assert torch.allclose(found, expected, atol=1e-10)
    found.square().sum().backward()
    expected.square().sum().backward()
    assert torch.allclose(fast.grad, slow.grad, atol=1e-8)


def test_features_equal_those_of_the_cpu() -> None:
    torch.manual_seed(0)
    encoder = DGCNN().eval()
    points = torch.randn(4, 512, 3)
    expected = encoder(points)
    found = encoder.cuda()(points.cuda()).cpu()
    assert float(((found - expected).abs().max() / expected.abs().max()).detach()) < 1e-3


@pytest.mark.parametrize("compiled", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_run_on_the_device(precision: str, compiled: bool, tmp_path: Path) -> None:
    compute = Compute(accelerator="gpu", devices=1, workers=0, precision=precision, compile=compiled)
    last = toy_run(tmp_path / "run", training={"epochs": 1}, compute=compute)
    weights = torch.load(last, weights_only=True, map_location="cpu")["state_dict"]
    assert all(tensor.isfinite().all() for tensor in weights.values())


@pytest.mark.parametrize("by_blocks", [False, True])
@pytest.mark.parametrize("network", ["dgcnn", "pointnet", "dgcnn_partseg"])
def test_a_step_does_not_wait_for_the_device(
    network: str, by_blocks: bool, toy_pairs: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    if by_blocks:
        for module in (fused_max_pool, fused_max_mean_pool):
            monkeypatch.setattr(module, "LEAST_VALUES", 0)
        monkeypatch.setattr(fused_max_pool, "LEAST_POINTS", 0)
    method = toy_method(encoder=NETWORKS[network]).cuda()
    batch = ObjectPair(*(each.cuda() for each in stack_pairs([toy_pairs()[i, 0] for i in range(6)])))
    optimizer = torch.optim.Adam(method.parameters(), fused=True)
    generator = torch.Generator("cuda").manual_seed(0)
    for mode in ("default", "error"):  # the first step sets libraries up
        torch.cuda.set_sync_debug_mode(mode)
        try:
            with torch.autocast("cuda", torch.bfloat16):
                loss = method.training_step(batch, generator)["loss"]
            loss.backward()
            optimizer.step()
        finally:
            torch.cuda.set_sync_debug_mode("default")


def test_sgd_begins_anew_after_a_first_step_that_overflowed() -> None:
    weight = torch.nn.Parameter(torch.ones(1000, device="cuda"))
    written = torch.full((1000,), 7.0, device="cuda")
    del written  # its memory is what an unwritten momentum would be made of
    training = ResolvedTraining(optimizer="sgd", learning_rate=0.1, weight_decay=0.0)
    optimizer = build_optimizer([weight], training, scaled=True)
    scaler = torch.amp.GradScaler("cuda")
    for factor in (float("inf"), 1.0):
        optimizer.zero_grad()
        scaler.scale((weight * factor).sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    assert torch.allclose(weight, torch.full_like(weight, 0.9))
