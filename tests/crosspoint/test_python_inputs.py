"""From Python, encoders and evaluation take what people have, and do what the commands do with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import crosspoint.checkpoints
from crosspoint import DGCNN, Inputs, PointNet, load_encoder, load_pretrained
from crosspoint.checkpoints import save_encoder
from crosspoint.eval import extract_features, few_shot, knn_classify, linear_svm, retrieve_within
from crosspoint.transforms import unit_sphere

CLOUDS = np.random.default_rng(0).normal(size=(2, 32, 3)).astype(np.float32)
KINDS: dict[str, Callable[[np.ndarray], Any]] = {
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "tensor": torch.from_numpy,
    "double": lambda x: torch.from_numpy(x).double(),
    "half": lambda x: torch.from_numpy(x).half(),
    "bfloat16": lambda x: torch.from_numpy(x).bfloat16(),
    "with gradient": lambda x: torch.from_numpy(x).requires_grad_(),
    "list": lambda x: x.tolist(),
}


@pytest.fixture(scope="module")
def encoder() -> DGCNN:
    torch.manual_seed(0)
    return DGCNN(k=4, channels=[8, 8], embedding=8).eval()


@pytest.mark.parametrize("kind", KINDS)
def test_any_kind_of_numbers_gives_the_features_of_float32(kind: str, encoder: DGCNN) -> None:
    given, close = KINDS[kind](CLOUDS), {"half": 5e-3, "float16": 5e-3, "bfloat16": 5e-2}.get(kind, 1e-6)
    with torch.no_grad():
        expected = encoder(torch.from_numpy(CLOUDS))
        torch.testing.assert_close(encoder(given), expected, atol=close, rtol=close)
        torch.testing.assert_close(encoder(given[0]), expected[:1], atol=close, rtol=close)
    np.testing.assert_allclose(extract_features(encoder, given), expected, atol=close, rtol=close)


def test_a_network_in_half_precision_takes_float32(encoder: DGCNN) -> None:
    halved = PointNet(embedding=8).eval().to(torch.bfloat16)
    assert halved(torch.from_numpy(CLOUDS)).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", KINDS)
def test_evaluation_takes_any_kind_of_features(kind: str) -> None:
    x = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    x[:, 0] += 4 * (np.arange(40) % 4)
    y = np.arange(40) % 4
    x = x.astype(np.float16 if kind in ("float16", "half") else np.float32)
    if kind == "bfloat16":
        x = torch.from_numpy(x).bfloat16().float().numpy()
    given, labels = KINDS[kind](x), torch.from_numpy(y) if "float" not in kind else y
    for measure in (
        lambda a, b: linear_svm(a, b, a, b, protocol="paper"),
        lambda a, b: knn_classify(a, b, a, b, k=3),
        lambda a, b: few_shot(a, b, ways=2, shots=2, queries=2, runs=2),
        retrieve_within,
    ):
        assert measure(given, labels).metrics == measure(x, y).metrics


def test_clouds_on_a_map_keep_their_digits(tmp_path: Path, encoder: DGCNN) -> None:
    """Meters of UTM: float32 knows half a meter at 5,400,000."""
    save_encoder(encoder, tmp_path / "e.safetensors", Inputs(points=32, k=4))
    pretrained = load_pretrained(tmp_path / "e.safetensors")
    far = CLOUDS.astype(np.float64) * 0.01 + np.array([500_000.0, 5_400_000.0, 100.0])
    expected = unit_sphere(torch.from_numpy(CLOUDS))
    torch.testing.assert_close(pretrained.transform(far), expected, atol=1e-4, rtol=1e-4)
    with torch.no_grad():
        features = pretrained.encoder(pretrained.transform(far)).numpy()
    np.testing.assert_allclose(extract_features(encoder, far, normalize=True), features, atol=1e-3)


@pytest.mark.parametrize(
    ("cloud", "message"),
    [
        (np.zeros((2, 8, 6)), r"\(2, 8, 6\), expected"),
        (np.zeros((8, 2)), r"\(8, 2\), expected"),
        ([np.zeros((8, 3)), np.zeros((9, 3))], "expected clouds .* of one size|expected one array"),
        (["a", "b"], "expected"),
    ],
)
def test_what_is_no_cloud_is_one_line(cloud: Any, message: str, tmp_path: Path, encoder: DGCNN) -> None:
    save_encoder(encoder, tmp_path / "e.safetensors", Inputs(points=32, k=4))
    pretrained = load_pretrained(tmp_path / "e.safetensors")
    for use in (encoder, pretrained.transform, lambda given: extract_features(encoder, given)):
        with pytest.raises(ValueError, match=message):
            use(cloud)


def test_the_package_of_checkpoints_gives_its_public_names(tmp_path: Path, encoder: DGCNN) -> None:
    from crosspoint.checkpoints import Inputs as Again
    from crosspoint.checkpoints import load_encoder as load_again

    assert (Again, load_again) == (Inputs, load_encoder)
    assert {*crosspoint.checkpoints.__all__} <= {*crosspoint.__all__}
    with pytest.raises(AttributeError, match="no attribute 'save_encodre'"):
        _ = crosspoint.checkpoints.save_encodre
    save_encoder(encoder, tmp_path / "e.safetensors")
    assert load_encoder(tmp_path / "e.safetensors").config == encoder.config
