from __future__ import annotations

import numpy as np
import pytest
import torch

from crosspoint.ops.farthest_point_sampling import farthest_points


def slow_farthest(points: np.ndarray, count: int, first: int) -> list[int]:
    """As the definition says: the point whose nearest chosen point is the farthest."""
    chosen = [first]
    while len(chosen) < count:
        nearest = [min(float(((point - points[c]) ** 2).sum()) for c in chosen) for point in points]
        chosen.append(int(np.argmax(nearest)))
    return chosen


@pytest.mark.parametrize(("size", "count"), [(40, 12), (9, 9), (5, 1)])
def test_equals_the_definition(size: int, count: int) -> None:
    points = torch.randn(3, size, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = farthest_points(points, count)
    assert found.tolist() == [slow_farthest(cloud, count, 0) for cloud in points.numpy()]


def test_the_generator_draws_the_start() -> None:
    points = torch.randn(4, 30, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, again = (farthest_points(points, 6, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(found, again)
    assert len(set(found[:, 0].tolist())) > 1
    for cloud, rows in zip(points.numpy(), found.tolist(), strict=True):
        assert rows == slow_farthest(cloud, 6, rows[0])


def test_copies_are_taken_last() -> None:
    points = torch.randn(1, 20, 3, generator=torch.Generator().manual_seed(0))
    points[0, 10:] = points[0, 0]
    assert sorted(farthest_points(points, 10)[0].tolist()) == list(range(10))


def test_half_precision_points_are_measured_in_full() -> None:
    points = torch.randn(2, 50, 3, generator=torch.Generator().manual_seed(0)).half()
    assert torch.equal(farthest_points(points, 20), farthest_points(points.float(), 20))


def test_too_few_points_is_one_clear_line() -> None:
    with pytest.raises(ValueError, match=r"found clouds of 4 points, expected at least the 5 asked for"):
        farthest_points(torch.rand(1, 4, 3), 5)
