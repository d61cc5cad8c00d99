from __future__ import annotations

import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from crosspoint import neighbors
from crosspoint.neighbors import knn


@pytest.mark.parametrize(("count", "channels", "k"), [(50, 3, 5), (64, 16, 20), (7, 3, 7), (9, 2, 1)])
def test_equals_scikit_learn(count: int, channels: int, k: int) -> None:
    points = torch.randn(3, count, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = knn(points, k).sort(dim=-1).values
    for cloud, rows in zip(points, found, strict=True):
        expected = NearestNeighbors(n_neighbors=k).fit(cloud).kneighbors(cloud, return_distance=False)
        assert torch.equal(rows, torch.from_numpy(expected).sort(dim=-1).values)


def test_is_unchanged_far_from_the_origin() -> None:
    points = torch.rand(2, 100, 3, generator=torch.Generator().manual_seed(0))
    near, far = (knn(points + shift, 8).sort(dim=-1).values for shift in (0.0, 100.0))
    assert (near == far).float().mean() > 0.99


def test_half_precision_autocast_keeps_the_neighbours() -> None:
    points = torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = knn(points, 8)
    assert torch.equal(found, knn(points, 8))


def test_chunks_of_clouds_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.randn(5, 40, 3, generator=torch.Generator().manual_seed(0))
    whole = knn(points, 6)
    monkeypatch.setattr(neighbors, "MAX_DISTANCES", 2 * 40 * 40)
    assert torch.equal(knn(points, 6), whole)


def test_copies_are_their_own_neighbours() -> None:
    points = torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(0))
    points[0, 10:20] = points[0, 0]
    own = knn(points, 5)[0, [0, *range(10, 20)]]
    assert torch.isin(own, torch.tensor([0, *range(10, 20)])).all()


def test_too_few_points_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match=r"found clouds of 4 points, expected at least k = 5"):
        knn(torch.rand(1, 4, 3), 5)
