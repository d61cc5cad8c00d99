from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from crosspoint.ops.farthest_point_sampling import farthest_points
from crosspoint.scene.ops.ball_query import Ball, ball_query
from crosspoint.scene.ops.set_abstraction import (
    AbstractionConfig,
    SetAbstraction,
    ball_mlp,
    ball_mlp_by_points,
    farthest_features,
)

STAGE = AbstractionConfig(
    by_feature=6, by_distance=5, leading=0, radii=(0.7, 1.4), neighbors=(5, 9), widths=((4, 6), (5,)), width=7
)


def cloud(batch: int = 2, size: int = 40, channels: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    positions = torch.randn(batch, size, 3, generator=generator, dtype=torch.float64)
    return positions, torch.randn(batch, size, channels, generator=generator, dtype=torch.float64)


def stage(config: AbstractionConfig = STAGE, **options: bool) -> SetAbstraction:
    torch.manual_seed(0)
    layer = SetAbstraction(3, config, **({"rings": True, "relative_positions": False} | options)).double()
    for norm in (module for module in layer.modules() if isinstance(module, torch.nn.BatchNorm1d)):
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    return layer


def slow_farthest(values: np.ndarray, count: int) -> list[int]:
    chosen = [0]
    while len(chosen) < count:
        nearest = [min(float(((value - values[c]) ** 2).sum()) for c in chosen) for value in values]
        chosen.append(int(np.argmax(nearest)))
    return chosen


def slow_layer(layer: torch.nn.Module, x: np.ndarray) -> np.ndarray:
    """Linear, BatchNorm in eval mode and ReLU on one vector."""
    norm = layer.norm
    weight, scale, offset, mean, variance = (
        t.detach().numpy() for t in (layer.linear.weight, norm.weight, norm.bias, norm.running_mean, norm.running_var)
    )
    return np.maximum((weight @ x - mean) / np.sqrt(variance + norm.eps) * scale + offset, 0)


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("rings", [False, True])
def test_equals_a_loop_over_points_balls_and_neighbors(relative: bool, rings: bool) -> None:
    positions, features = cloud()
    layer = stage(rings=rings, relative_positions=relative).eval()
    centers, described, chosen = layer(positions, features)
    for b in range(len(positions)):
        xyz, f = positions[b].numpy(), features[b].numpy()
        rows = slow_farthest(np.c_[xyz, f], 6) + slow_farthest(xyz, 5)
        assert chosen[b].tolist() == rows
        np.testing.assert_array_equal(centers[b], xyz[rows])
        for i, row in enumerate(rows):
            parts = []
            for scale, (inner, radius), count in zip(layer.scales, [(0.0, 0.7), (0.7, 1.4)], (5, 9), strict=True):
                distances = np.linalg.norm(xyz - xyz[row], axis=1)
                inside = (distances < radius) & ((distances >= inner * rings) | (distances == 0))
                outputs = []
                for j in np.flatnonzero(inside)[:count]:
                    x = np.r_[xyz[j] - xyz[row], f[j]] if relative else f[j]
                    for part in scale:
                        x = slow_layer(part, x)
                    outputs.append(x)
                parts.append(np.max(outputs, axis=0))
            expected = slow_layer(layer.join, np.concatenate(parts))
            np.testing.assert_allclose(described[b, i].detach(), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("training", [True, False])
def test_once_per_point_equals_once_per_neighbor(training: bool) -> None:
    """Values, gradients and running statistics, with the repetitions that fill balls counted alike."""
    positions, features = cloud(size=60)
    rows = ball_query(positions, positions[:, :20], [Ball(1.0, 12)])[0]
    assert len(set(rows[0, 0].tolist())) < 12
    results = []
    for path in (ball_mlp, ball_mlp_by_points):
        layers = copy.deepcopy(stage().scales[0]).train(training)
        inputs = features.clone().requires_grad_()
        out = path(layers, inputs, rows)
        (out * torch.randn(out.shape, generator=torch.Generator().manual_seed(3), dtype=out.dtype)).sum().backward()
        gradients = [inputs.grad, *(p.grad for p in layers.parameters())]
        results.append([out.detach(), *gradients, *layers.buffers()])
    for formula, fast in zip(*results, strict=True):
        torch.testing.assert_close(fast, formula, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("size", "count"), [(40, 12), (9, 9), (5, 1)])
def test_farthest_features_equal_the_definition(size: int, count: int) -> None:
    values = torch.randn(3, size, 17, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert farthest_features(values, count).tolist() == [slow_farthest(v, count) for v in values.numpy()]


def test_farthest_features_of_positions_are_farthest_points() -> None:
    positions = 30 * torch.randn(2, 400, 3, generator=torch.Generator().manual_seed(1))
    assert torch.equal(farthest_features(positions, 100), farthest_points(positions, 100))


def test_farthest_features_take_copies_last() -> None:
    values = 50 + torch.randn(1, 20, 8, generator=torch.Generator().manual_seed(0))
    values[0, 10:] = values[0, 0]
    assert sorted(farthest_features(values, 10)[0].tolist()) == list(range(10))


def test_leading_points_give_those_by_feature_and_the_others_those_by_distance() -> None:
    positions, features = cloud()
    config = AbstractionConfig(
        by_feature=6, by_distance=5, leading=10, radii=(1.0,), neighbors=(4,), widths=((4,),), width=7
    )
    chosen = stage(config).choose(positions, features)
    for b in range(2):
        both = np.c_[positions[b].numpy(), features[b].numpy()]
        rest = [10 + row for row in slow_farthest(positions[b, 10:].numpy(), 5)]
        assert chosen[b].tolist() == slow_farthest(both[:10], 6) + rest


def test_the_order_of_points_does_not_matter_where_balls_are_not_full() -> None:
    """But for the first point, with which sampling starts."""
    positions, features = cloud(size=30)
    config = AbstractionConfig(
        by_feature=6, by_distance=5, leading=0, radii=(0.7, 1.4), neighbors=(30, 30), widths=((4, 6), (5,)), width=7
    )
    order = torch.cat([torch.zeros(1, dtype=torch.int64), 1 + torch.randperm(29, generator=torch.manual_seed(2))])
    layer = stage(config).eval()
    centers, described, chosen = layer(positions, features)
    other_centers, other_described, other_chosen = layer(positions[:, order], features[:, order])
    assert torch.equal(order[other_chosen], chosen) and torch.equal(other_centers, centers)
    torch.testing.assert_close(other_described, described, rtol=0, atol=1e-12)


def test_without_relative_positions_turning_and_shifting_changes_nothing() -> None:
    positions, features = cloud()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.manual_seed(5), dtype=torch.float64)).Q
    moved = positions @ turn.T + torch.tensor([100.0, -50.0, 3.0], dtype=torch.float64)
    layer = stage()
    torch.testing.assert_close(layer(moved, features)[1], layer(positions, features)[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"by_feature": 0, "by_distance": 0}, "0 and 0 points to choose"),
        ({"leading": 3}, "6 points to choose among 3"),
        ({"radii": (0.7,)}, r"\[1, 2, 2\] radii"),
        ({"widths": ((4,), ())}, "radii, neighbors and widths"),
        ({"radii": (1.4, 0.7)}, "ascending"),
    ],
)
def test_configurations_that_make_no_sense_are_named(changes: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(STAGE, **changes)
