"""The same results on a GPU; skipped where there is none."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch

from crosspoint.dgcnn import DGCNN
from crosspoint.edgeconv import EdgeConv, edge_conv
from crosspoint.neighbors import knn
from crosspoint.pretraining import pretrain

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
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-3


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
def test_a_run_on_the_device(precision: str, tmp_path: Path, toy_pairs: type, monkeypatch: pytest.MonkeyPatch) -> None:
    from crosspoint.augment import CloudAugmentation, ImageAugmentation
    from crosspoint.configuration import DataConfig, ImageEncoderConfig, MethodConfig, PretrainConfig, TrainingConfig
    from crosspoint.encoders import EncoderConfig

    monkeypatch.setattr("crosspoint.pretraining.open_pairs", lambda config: toy_pairs())
    config = PretrainConfig(
        out=tmp_path / "run",
        data=DataConfig(holdout=0.0, workers=0),
        encoder=EncoderConfig(k=5, channels=[8, 8], embedding=16),
        image_encoder=ImageEncoderConfig("resnet18"),
        method=MethodConfig(images=ImageAugmentation(size=24), clouds=CloudAugmentation(points=48)),
        training=TrainingConfig(epochs=1, batch_size=6, accelerator="gpu", devices=1, precision=precision),
    )
    weights = torch.load(pretrain(config), weights_only=True, map_location="cpu")["state_dict"]
    assert all(tensor.isfinite().all() for tensor in weights.values())
