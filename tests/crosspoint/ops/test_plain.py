"""Plain operations, of which exported graphs are made: the same figures as the fast paths."""

from __future__ import annotations

import pytest
import torch

from crosspoint import DGCNN, PartSegDGCNN, PointEncoder, PointNet, PointTransformer, knn
from crosspoint.ops.farthest_point_sampling import farthest_points
from crosspoint.ops.interpolation import interpolate_nearest
from crosspoint.ops.plain import plain, plain_operations, squared_distances

ENCODERS = {
    "dgcnn": lambda: DGCNN(k=6, channels=[16, 16], embedding=32),
    "pointnet": lambda: PointNet(embedding=32),
    "dgcnn_partseg": lambda: PartSegDGCNN(k=6),
    "point_transformer": lambda: PointTransformer(groups=4, size=8, width=12, depth=1, heads=3),
}


def trained(name: str) -> PointEncoder:
    """An encoder whose norms scale, shift and turn around, as those of a trained one do."""
    torch.manual_seed(0)
    encoder = ENCODERS[name]()
    for layer in encoder.modules():
        if isinstance(layer, torch.nn.BatchNorm1d):
            torch.nn.init.normal_(layer.weight)
            torch.nn.init.normal_(layer.bias)
            layer.running_mean.normal_(0, 0.2)
            layer.running_var.uniform_(0.5, 2)
    return encoder.eval()


def clouds(count: int, points: int, channels: int = 3) -> torch.Tensor:
    return torch.randn(count, points, channels, generator=torch.Generator().manual_seed(1))


def test_distances_are_those_of_cdist() -> None:
    first, second = clouds(2, 30).double(), clouds(2, 50).double()
    assert torch.allclose(squared_distances(first, second), torch.cdist(first, second).square())


@pytest.mark.parametrize(("points", "channels"), [(60, 3), (1100, 3), (200, 16)])
def test_neighbors_are_those_of_the_fast_paths(points: int, channels: int) -> None:
    x = clouds(2, points, channels)
    with plain_operations():
        found = knn(x, 7)
    assert torch.equal(found.sort().values, knn(x, 7).sort().values)


def test_farthest_points_are_the_same() -> None:
    x, first = clouds(3, 80), torch.tensor([4, 0, 79])
    with plain_operations():
        found = farthest_points(x, 20, first=first)
    assert torch.equal(found, farthest_points(x, 20, first=first))


def test_interpolated_features_are_the_same() -> None:
    x, centers, features = clouds(2, 80), clouds(2, 12), clouds(2, 12, 5)
    with plain_operations():
        found = interpolate_nearest(x, centers, features)
    assert torch.allclose(found, interpolate_nearest(x, centers, features), atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODERS)
def test_features_are_the_same(name: str) -> None:
    encoder, x = trained(name), clouds(2, 300)
    expected = encoder(x), encoder.forward_features(x)
    with plain_operations():
        found = encoder(x), encoder.forward_features(x)
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4 * float(theirs.abs().max()))


def test_it_ends_with_its_block() -> None:
    with pytest.raises(ZeroDivisionError), plain_operations():
        assert plain()
        _ = 1 / 0
    assert not plain()
