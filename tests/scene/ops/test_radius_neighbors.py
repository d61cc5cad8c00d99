from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

import crosspoint.scene.ops.radius_neighbors
from crosspoint.scene.ops.radius_neighbors import Edges, radius_neighbors


def made(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Two dense frames, an empty one and a sparse one, about the same places, with queries in three of them."""
    generator = torch.Generator().manual_seed(seed)
    sizes = torch.tensor([400, 300, 0, 20])
    points = torch.randn(int(sizes.sum()), 3, generator=generator) * torch.tensor([3.0, 3.0, 0.2])
    frame = torch.tensor([0, 1, 3, 0, 2]).repeat(12)
    queries = torch.randn(len(frame), 3, generator=generator) * torch.tensor([4.0, 4.0, 0.5])
    return points, torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)]), queries, frame


def brute_force(points: Tensor, offsets: Tensor, queries: Tensor, frame: Tensor, radius: float) -> list[set[int]]:
    found = []
    for query, f in zip(queries.double(), frame.tolist(), strict=True):
        own = range(int(offsets[f]), int(offsets[f + 1]))
        found.append({i for i in own if float((points[i].double() - query).norm()) < radius})
    return found


def by_query(edges: Edges, count: int) -> list[list[int]]:
    rows: list[list[int]] = [[] for _ in range(count)]
    for query, point in zip(edges.query.tolist(), edges.point.tolist(), strict=True):
        rows[query].append(point)
    return rows


@pytest.mark.parametrize("held", [2**18, 10])  # candidates at once: all of them, or a few
@pytest.mark.parametrize("sampled", [8, 1])  # 1 candidate for a neighbor: most queries have to look again
def test_finds_all_points_in_the_ball_or_as_many_as_asked_for(
    held: int, sampled: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crosspoint.scene.ops.radius_neighbors, "CANDIDATES_CPU", held)
    monkeypatch.setattr(crosspoint.scene.ops.radius_neighbors, "SAMPLED", sampled)
    cloud = made()
    for radius in (0.4, 1.0, 5.0):
        expected = brute_force(*cloud, radius)
        for neighbors in (1, 3, 1000):
            generator = torch.Generator().manual_seed(1)
            edges = radius_neighbors(*cloud, radius=radius, neighbors=neighbors, generator=generator)
            assert torch.equal(edges.query, edges.query.sort().values)
            for found, inside in zip(by_query(edges, len(expected)), expected, strict=True):
                assert len(set(found)) == len(found) == min(neighbors, len(inside))
                assert set(found) <= inside


def test_all_points_of_a_ball_are_equally_likely() -> None:
    """Points in three cells and in an order that has those of one side first."""
    points, draws = torch.linspace(-1.45, 1.45, 40)[:, None] * torch.tensor([1.0, 0.0, 0.0]), 3000
    query, generator = torch.tensor([[0.1, 0.2, 0.0]]), torch.Generator().manual_seed(0)
    inside = (points - query).norm(dim=1) < 1
    edges = radius_neighbors(
        points,
        torch.tensor([0, 40]),
        query.expand(draws, 3),
        torch.zeros(draws, dtype=torch.int64),
        radius=1.0,
        neighbors=2,
        generator=generator,
    )
    counts = torch.bincount(edges.point, minlength=40)
    share = 2 / int(inside.sum())
    assert int(inside.sum()) > 20 and counts[~inside].sum() == 0
    assert (counts[inside] - draws * share).abs().max() < 5 * math.sqrt(draws * share)


def test_draws_come_from_the_generator_alone() -> None:
    everywhere = torch.get_rng_state()
    first, second, other = (
        radius_neighbors(*made(), radius=2.0, neighbors=3, generator=torch.Generator().manual_seed(seed)).point
        for seed in (1, 1, 2)
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), everywhere)


def test_far_from_the_sensor_centimeters_still_count() -> None:
    query = torch.tensor([[70.0, -35.0, 1.0]])
    points = query + torch.tensor([[0.0, 0, 0], [0.019, 0, 0], [0.021, 0, 0]])
    edges = radius_neighbors(
        points,
        torch.tensor([0, 3]),
        query,
        torch.zeros(1).long(),
        radius=0.02,
        neighbors=3,
        generator=torch.Generator().manual_seed(0),
    )
    assert sorted(edges.point.tolist()) == [0, 1]


def test_nothing_to_find_is_no_error() -> None:
    points, offsets, queries, frame = made()
    generator = torch.Generator().manual_seed(0)
    for cloud in ((points, offsets, queries[:0], frame[:0]), (points[:0], torch.zeros(5).long(), queries, frame)):
        assert len(radius_neighbors(*cloud, radius=1.0, neighbors=2, generator=generator).query) == 0
    far = radius_neighbors(points, offsets, queries + 500, frame, radius=1.0, neighbors=2, generator=generator)
    assert far.query.dtype == far.point.dtype == torch.int64 and len(far.query) == 0


@pytest.mark.parametrize("wrong", [{"radius": 0.0}, {"neighbors": 0}])
def test_settings_out_of_range_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="expected a radius above 0 and 1 or more"):
        radius_neighbors(*made(), **{"radius": 1.0, "neighbors": 2, "generator": torch.Generator(), **wrong})
