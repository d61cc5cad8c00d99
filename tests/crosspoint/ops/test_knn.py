from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from crosspoint.ops import knn as module
from crosspoint.ops.knn import knn, knn_formula


def sorted_distances(points: Tensor, neighbors: Tensor) -> Tensor:
    """Which of several equal neighbors is taken is open; their distances are not."""
    return torch.cdist(points, points, compute_mode="donot_use_mm_for_euclid_dist").gather(2, neighbors).sort(-1).values


# Short rows, groups with and without columns left over, and clouds for a tree.
@pytest.mark.parametrize(
    ("count", "channels", "k"),
    [
        (50, 3, 5),
        (64, 16, 20),
        (7, 3, 7),
        (9, 2, 1),
        (256, 8, 3),
        (301, 5, 7),
        (1024, 16, 20),
        (1100, 3, 9),
        (1024, 2, 1),
    ],
)
def test_equals_scikit_learn(count: int, channels: int, k: int) -> None:
    points = torch.randn(3, count, channels, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = knn(points, k)
    assert found.shape == (3, count, k) and found.dtype == torch.int64
    for cloud, rows in zip(points, found.sort(dim=-1).values, strict=True):
        expected = NearestNeighbors(n_neighbors=k).fit(cloud).kneighbors(cloud, return_distance=False)
        assert torch.equal(rows, torch.from_numpy(expected).sort(dim=-1).values)


@pytest.mark.parametrize(("count", "channels", "k"), [(200, 3, 20), (500, 32, 15), (1500, 3, 40)])
def test_float32_equals_the_formula(count: int, channels: int, k: int) -> None:
    points = torch.randn(2, count, channels, generator=torch.Generator().manual_seed(1))
    found, expected = (sorted_distances(points, each(points, k)) for each in (knn, knn_formula))
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("tree_points", [1, 10**9])
def test_many_copies_of_a_point_do_not_matter(tree_points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TREE_POINTS", tree_points)
    points = torch.randn(2, 700, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points[:, 100:] = points[:, :1]  # as input dropout leaves a cloud
    found, expected = (sorted_distances(points, each(points, 15)) for each in (knn, knn_formula))
    assert torch.allclose(found, expected, atol=1e-7)


def test_points_that_are_learned_have_neighbors_too() -> None:
    points = torch.randn(1, 1100, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    assert torch.equal(knn(points.clone().requires_grad_(), 4), knn(points, 4))


def test_points_that_are_not_finite_do_not_raise() -> None:
    points = torch.full((1, 1024, 3), torch.nan)  # a diverged network is reported by its loss, not here
    assert knn(points, 4).shape == (1, 1024, 4)


def test_memory_stays_bounded_at_training_size(peak_memory: Callable[..., int]) -> None:
    points = torch.randn(40, 2048, 64, generator=torch.Generator().manual_seed(0))
    assert peak_memory(lambda: knn(points, 20)) < 0.5 * 2**30  # one matrix of all distances would be 0.67 GB


def test_is_unchanged_far_from_the_origin() -> None:
    points = torch.rand(2, 100, 3, generator=torch.Generator().manual_seed(0))
    near, far = (knn(points + shift, 8).sort(dim=-1).values for shift in (0.0, 100.0))
    assert (near == far).float().mean() > 0.99


def test_half_precision_autocast_keeps_the_neighbors() -> None:
    points = torch.randn(2, 100, 3, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = knn(points, 8)
    assert torch.equal(found, knn(points, 8))


def test_chunks_of_clouds_and_of_rows_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    points = torch.randn(5, 40, 3, generator=torch.Generator().manual_seed(0))
    whole = knn(points, 6)
    for limit in (2 * 40 * 40, 7 * 40):  # two clouds at once; seven rows at once
        monkeypatch.setattr(module, "DISTANCES_CPU", limit)
        found = knn(points, 6)
        assert torch.equal(found.sort(-1).values, whole.sort(-1).values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_smallest_of_any_numbers(dtype: torch.dtype) -> None:
    """Signs, zeros of both signs, infinities and equal numbers, in rows whose length no group divides."""
    values = torch.randn(64, 301, generator=torch.Generator().manual_seed(0)).to(dtype)
    values[:, ::7], values[:, 1::7], values[:, 2::50], values[:, 3::50] = 0.0, -0.0, torch.inf, -torch.inf
    values[:, 4::7] = values[:, 4::7].round()
    chosen = module._smallest(values, 20)
    assert all(len(set(row)) == 20 for row in chosen.tolist())
    right = values.topk(20, largest=False).values
    assert torch.equal(values.gather(-1, chosen).sort(dim=-1).values, right.sort(dim=-1).values)


def test_copies_are_their_own_neighbors() -> None:
    points = torch.randn(1, 30, 3, generator=torch.Generator().manual_seed(0))
    points[0, 10:20] = points[0, 0]
    own = knn(points, 5)[0, [0, *range(10, 20)]]
    assert torch.isin(own, torch.tensor([0, *range(10, 20)])).all()


def test_too_few_points_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match=r"found clouds of 4 points, expected at least k = 5"):
        knn(torch.rand(1, 4, 3), 5)
