import numpy as np
import pytest
import torch
from rich.console import Console
from torch import nn

from crosspoint.eval import extract_features
from crosspoint.eval.features import feature_key


class Network(nn.Module):
    """Enough to have weights, buffers, a mode that matters, and a setting outside of the weights."""

    def __init__(self, power=1.0):
        super().__init__()
        self.power = power
        self.linear = nn.Linear(3, 8)
        self.norm = nn.BatchNorm1d(8)
        self.drop = nn.Dropout(0.5)
        self.calls = []

    def forward(self, points):
        self.calls.append(len(points))
        return self.drop(self.norm(self.linear(points).amax(dim=1))) * self.power


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network()


@pytest.fixture
def points():
    return np.random.default_rng(0).normal(size=(10, 16, 3)).astype(np.float32)


def formula(network, points):
    """The features by numpy: running statistics, no dropout."""
    weight, bias = network.linear.weight.detach().numpy(), network.linear.bias.detach().numpy()
    norm = network.norm
    x = (points.astype(np.float64) @ weight.T + bias).max(axis=1)
    x = (x - norm.running_mean.numpy()) / np.sqrt(norm.running_var.numpy() + norm.eps)
    return (x * norm.weight.detach().numpy() + norm.bias.detach().numpy()) * network.power


def test_features_are_those_of_evaluation_mode_for_any_batch_size(network, points):
    network.norm.running_mean.uniform_()
    for size in (1, 3, 64):
        features = extract_features(network, points, batch_size=size)
        assert features.dtype == np.float32 and features.shape == (10, 8)
        np.testing.assert_allclose(features, formula(network, points), rtol=0, atol=1e-5)


def test_training_flags_come_back_also_after_an_error(network, points):
    network.train()
    network.norm.eval()
    flags = {name: module.training for name, module in network.named_modules()}
    statistics = network.norm.running_mean.clone()
    extract_features(network, points)
    assert {name: module.training for name, module in network.named_modules()} == flags
    network.linear = nn.Linear(4, 8)
    with pytest.raises(RuntimeError):
        extract_features(network, points)
    assert {name: module.training for name, module in network.named_modules()} == flags
    assert torch.equal(network.norm.running_mean, statistics)
    assert torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def test_a_second_call_reads_the_cache(network, points, tmp_path):
    first = extract_features(network, points, cache=tmp_path)
    passes = len(network.calls)
    second = extract_features(network, points.astype(np.float64), cache=tmp_path, batch_size=2)
    assert len(network.calls) == passes
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("change", ["weight", "buffer", "setting", "config", "point", "count", "class"])
def test_every_change_is_a_miss(network, points, change):
    key = feature_key(network, points)
    if change == "weight":
        network.linear.weight.data[0, 0] += 1e-6
    elif change == "buffer":
        network.norm.running_var[0] += 1e-6
    elif change == "setting":
        network.drop.p = 0.25
    elif change == "config":
        network.config = {"k": 20}
    elif change == "point":
        points[0, 0, 0] = np.nextafter(points[0, 0, 0], np.float32(9))
    elif change == "count":
        points = points.reshape(20, 8, 3)
    elif change == "class":
        network.__class__ = type("Other", (Network,), {})
    assert feature_key(network, points) != key


def test_the_key_ignores_the_mode_and_is_the_same_for_equal_networks(network, points):
    twin = Network()
    twin.load_state_dict(network.state_dict())
    assert feature_key(network.train(), points) == feature_key(twin.eval(), points)


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "zip", "shape", "not finite"])
def test_a_corrupt_cache_file_is_made_again(network, points, tmp_path, damage):
    expected = extract_features(network, points, cache=tmp_path)
    (path,) = tmp_path.iterdir()
    if damage in ("shape", "not finite"):
        np.save(path, expected[:3] if damage == "shape" else expected * np.float32(np.nan))
    else:
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "cut": whole[:-5], "text": b"no array", "zip": b"PK\x03\x04" + whole}[damage])
    network.calls.clear()
    np.testing.assert_array_equal(extract_features(network, points, cache=tmp_path), expected)
    assert network.calls == [10]
    np.testing.assert_array_equal(np.load(path), expected)


def test_diverged_weights_are_named_and_not_cached(network, points, tmp_path):
    points[:3] *= 1e30
    network.power = 1e30
    with (
        pytest.warns(UserWarning, match="unit sphere"),
        pytest.raises(ValueError, match=r"in 3 of 10 rows.*diverged"),
    ):
        extract_features(network, points, cache=tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(0, 16, 3), (4, 0, 3), (4, 3, 16), (16, 4)])
def test_other_shapes_are_refused(network, shape):
    with pytest.raises(ValueError, match="expected \\(n, N, 3\\)"):
        extract_features(network, np.zeros(shape, np.float32))


def test_broken_clouds_and_encoders_are_refused(network, points):
    with pytest.raises(ValueError, match="expected at least 1"):
        extract_features(network, points, batch_size=0)
    with pytest.raises(ValueError, match=r"shape \(10, 16, 3\)"):
        extract_features(nn.Identity(), points)
    points[4, 2, 1] = np.nan
    with pytest.raises(ValueError, match="found 1 clouds"):
        extract_features(network, points)


def test_a_bar_appears_on_a_terminal_only_and_if_asked(network, points, capsys, monkeypatch):
    extract_features(network, points, progress=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr("crosspoint.eval.features.Console", lambda stderr: Console(stderr=stderr, force_terminal=True))
    extract_features(network, points, progress=True)
    assert "features" in capsys.readouterr().err
    extract_features(network, points)
    assert capsys.readouterr() == ("", "")


def test_clouds_in_units_of_their_own_are_normalized_or_warned_of(network, points):
    own = points * 1000 + 5000
    centered = points - points.mean(axis=1, keepdims=True)
    unit = centered / np.linalg.norm(centered, axis=2).max(axis=1)[:, None, None]
    wanted = extract_features(network, unit)
    np.testing.assert_allclose(extract_features(network, own, normalize=True), wanted, atol=1e-3)
    with pytest.warns(UserWarning, match="expected ones in the unit sphere: pass normalize=True"):
        extract_features(network, own)
    with pytest.warns(UserWarning, match="unit sphere"):
        extract_features(network, points * 1e-4)


def test_tensors_and_single_clouds_are_taken(network, points):
    wanted = extract_features(network, points)
    for given in (torch.from_numpy(points).double(), list(points), points.astype(np.float64)):
        np.testing.assert_array_equal(extract_features(network, given), wanted)
    np.testing.assert_allclose(extract_features(network, points[0]), wanted[:1], rtol=1e-6)
    with pytest.raises(ValueError, match="clouds of different sizes, expected one array"):
        extract_features(network, [points[0], points[1, :5]])

    class Pair(nn.Module):
        def forward(self, clouds):
            return clouds.mean(dim=1), clouds

    with pytest.raises(ValueError, match="an encoder that returns a tuple, expected one tensor"):
        extract_features(Pair(), points)
