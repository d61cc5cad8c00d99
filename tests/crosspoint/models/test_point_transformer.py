from __future__ import annotations

import pytest
import torch
from torch import nn

from crosspoint.models.patches import PatchEmbedding, cut_patches
from crosspoint.models.point_transformer import PointTransformer
from crosspoint.ops.interpolation import interpolate_nearest


def cloud(batch: int, points: int) -> torch.Tensor:
    return torch.randn(batch, points, 3, generator=torch.Generator().manual_seed(3))


def test_patches_are_the_nearest_points_of_spread_centers() -> None:
    points = cloud(2, 50)
    patches = cut_patches(points, 7, 5)
    for one, centers, groups in zip(points, patches.centers, patches.points, strict=True):
        far = (one - one.mean(dim=0)).norm(dim=1)
        assert torch.equal(centers[0], one[far.argmax()])
        chosen = centers[:1]
        for center in centers[1:]:
            distance = torch.cdist(one, chosen).amin(dim=1)
            assert torch.equal(center, one[distance.argmax()])
            chosen = torch.cat([chosen, center[None]])
        for center, group in zip(centers, groups, strict=True):
            nearest = (one - center).norm(dim=1).sort().values[:5]
            assert torch.allclose(group.norm(dim=1).sort().values, nearest, atol=1e-6)


def test_the_patch_network_does_not_see_the_order_of_points() -> None:
    torch.manual_seed(0)
    embed = PatchEmbedding(16).eval()
    patches = torch.randn(2, 3, 9, 3)
    assert torch.allclose(embed(patches), embed(patches.flip(2)), atol=1e-6)


def test_random_weights_tell_where_a_patch_is() -> None:
    """The same four small clusters in other places make another feature, by a tenth or more of it."""
    torch.manual_seed(0)
    network = PointTransformer(groups=4, size=8, width=48, depth=2, heads=3).train()  # of batches, as in training
    clusters = 0.01 * cloud(4, 8)
    near = torch.eye(4, 3)[:, None] * 0.1  # far from each other for a cluster's size
    close, apart = (network((clusters + scale * near).reshape(1, 32, 3)) for scale in (1, 10))
    assert (apart - close).norm().item() > 0.1 * close.norm().item()


def test_sizes_are_those_of_public_codes() -> None:
    # Point-MAE's classifier for 40 classes: 768-256-256-40, each hidden layer with BatchNorm.
    head = nn.Sequential(
        nn.Linear(768, 256), nn.BatchNorm1d(256), nn.Linear(256, 256), nn.BatchNorm1d(256), nn.Linear(256, 40)
    )
    count = [sum(p.numel() for p in net.parameters()) for net in (PointTransformer(class_token=True), head)]
    assert count == [21_825_792, 273_960]
    assert round(sum(count) / 1e6, 1) == 22.1
    assert sum(p.numel() for p in PointTransformer().parameters()) == 21_825_792 - 768


def test_interpolation_is_the_mean_of_three_by_inverse_squares() -> None:
    points, centers, features = cloud(2, 20).double(), cloud(2, 6).double(), cloud(2, 6).double()
    found = interpolate_nearest(points, centers, features)
    for row in range(2):
        for point, value in zip(points[row], found[row], strict=True):
            squares = (centers[row] - point).square().sum(dim=1)
            near = squares.argsort()[:3]
            weights = 1 / (squares[near] + 1e-8)
            assert torch.allclose(value, (weights[:, None] * features[row, near]).sum(dim=0) / weights.sum())
    at_centers = interpolate_nearest(centers, centers, features)
    assert torch.allclose(at_centers, features, atol=1e-5)


def test_training_reaches_every_weight() -> None:
    torch.manual_seed(0)
    encoder = PointTransformer(groups=6, size=5, width=12, depth=2, heads=2, class_token=True)
    encoder(cloud(3, 30)).square().sum().backward()
    assert all(weight.grad is not None and bool(weight.grad.abs().sum() > 0) for weight in encoder.parameters())


@pytest.mark.parametrize(
    ("settings", "points", "message"),
    [
        ({"heads": 5}, 30, "heads that divide the width"),
        ({"depth": 0}, 30, "found depth 0, expected a whole number from 1"),
        ({"groups": 31}, 30, "found clouds of 30 points, expected at least 31"),
        ({"size": 40}, 30, "expected at least 40"),
    ],
)
def test_wrong_sizes_are_told(settings: dict[str, int], points: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PointTransformer(**{"groups": 4, "size": 4, "width": 12, "depth": 1, "heads": 2, **settings})(cloud(1, points))
