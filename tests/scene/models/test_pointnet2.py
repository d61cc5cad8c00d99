from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from crosspoint.scene.models.pointnet2 import PUBLISHED, SMALL, PointNet2

SPREAD = torch.tensor([40.0, 40.0, 3.0, 1.0])


def clouds(size: int = 2048, seed: int = 0) -> torch.Tensor:
    return torch.rand(2, size, 4, generator=torch.Generator().manual_seed(seed)) * SPREAD


def tiny() -> PointNet2:
    """The published network with a 32nd of its points and widths."""
    torch.manual_seed(0)
    stages = [
        replace(
            stage,
            by_feature=stage.by_feature // 32,
            by_distance=stage.by_distance // 32,
            leading=stage.leading // 32,
            radii=[8 * radius for radius in stage.radii],
            widths=[[width // 16 for width in widths] for widths in stage.widths],
            width=stage.width // 16,
        )
        for stage in PUBLISHED
    ]
    return PointNet2(stages=stages)


def test_the_published_sizes() -> None:
    network = PointNet2()
    assert network.feature_dim == 1024
    assert [stage.samples for stage in PUBLISHED] == [4096, 2048, 1024]

    def layers(*widths: int) -> int:  # weights of linear maps, and two numbers per channel of BatchNorm
        return sum(a * b + 2 * b for a, b in pairwise(widths))

    expected = 2 * layers(1, 32, 32, 64) + layers(1, 64, 64, 128) + layers(256, 128)
    expected += 2 * layers(128, 64, 64, 128) + layers(128, 128, 128, 256) + layers(512, 256)
    expected += 2 * layers(256, 128, 128, 256) + layers(256, 256, 256, 512) + layers(1024, 1024)
    assert sum(weight.numel() for weight in network.parameters()) == expected


def test_samples_are_rows_of_the_input_with_features_of_their_own() -> None:
    points = clouds()
    out = tiny()(points)
    assert out.positions.shape == (2, 32, 3) and out.features.shape == (2, 32, 64) and out.rows.shape == (2, 32)
    for b in range(2):
        assert torch.equal(out.positions[b], points[b, out.rows[b], :3])
        assert len(out.features[b].unique(dim=0)) > 16


def test_clouds_do_not_look_at_each_other_in_evaluation() -> None:
    points, network = clouds(), tiny().eval()
    together = network(points)
    for b in range(2):
        alone = network(points[b : b + 1])
        assert torch.equal(alone.rows[0], together.rows[b])
        torch.testing.assert_close(alone.features[0], together.features[b])


def test_a_neighborhood_reaches_as_far_as_its_balls_and_no_further() -> None:
    """A point's intensity counts for what the balls of all stages connect with it."""
    stages = [
        replace(stage, by_feature=0, by_distance=n, leading=0)
        for stage, n in zip(PUBLISHED, (256, 96, 48), strict=True)
    ]
    torch.manual_seed(0)
    network = PointNet2(stages=stages).eval()
    reach = 0.8 + 1.6 + 4.8
    points = clouds()
    before = network(points)
    differs = 0
    for row in range(0, 2048, 256):
        changed = points.clone()
        changed[0, row, 3] += 10.0
        after = network(changed)
        assert torch.equal(after.rows, before.rows)
        near = (points[0, row, :3] - before.positions[0]).norm(dim=1) < reach
        assert 0 < near.sum() < len(near)
        torch.testing.assert_close(after.features[0, ~near], before.features[0, ~near])
        torch.testing.assert_close(after.features[1], before.features[1])
        differs += int(not torch.allclose(after.features[0, near], before.features[0, near], rtol=1e-2))
    assert differs > 0


def test_every_weight_gets_a_gradient_and_positions_stay_exact_under_autocast() -> None:
    network, points = tiny(), clouds() + torch.tensor([50.0, 0, 0, 0])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network(points)
        out.features.float().square().mean().backward()
    assert torch.equal(out.positions[0], points[0, out.rows[0], :3])
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in network.parameters())
    assert sum(float(weight.grad.abs().sum()) > 0 for weight in network.parameters()) > 30


def test_small_is_a_quarter() -> None:
    network = PointNet2.small()
    assert [stage.samples for stage in SMALL] == [1024, 512, 256]
    assert network.feature_dim == 256
    assert network(clouds(1100)).features.shape == (2, 256, 256)


def test_the_arguments_build_the_same_network_again() -> None:
    """Checkpoints and YAML hold stages as dicts, or their name."""
    for network in (tiny(), PointNet2.small()):
        again = network.fresh()
        again.load_state_dict(network.state_dict())
        points = clouds()
        assert torch.equal(again(points).features, network(points).features)
    assert PointNet2.small().config["stages"] == "small"


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(ValueError, match=r"found points \(2, 100, 4\), expected \(B, N, 4\) with N of 128 or more"):
        tiny()(clouds(100))
    with pytest.raises(ValueError, match=r"expected \(B, N, 4\)"):
        tiny()(clouds()[..., :3])
    with pytest.raises(ValueError, match="found a stage 2 that needs 4096 points, expected at most the 1024"):
        PointNet2(stages=[PUBLISHED[2], PUBLISHED[0]])
    with pytest.raises(ValueError, match="0 features"):
        PointNet2(features=0)
    with pytest.raises(ValueError, match="found the stages 'tiny', expected published or small"):
        PointNet2(stages="tiny")
