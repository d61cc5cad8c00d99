from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import crosspoint.scene.models.occupancy as module
from crosspoint.scene.data.batch import LidarBatch, stack_samples
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.models.occupancy import OccupancyConfig, OccupancyHead, Queries, draw_queries, edge_losses
from crosspoint.scene.ops.radius_neighbors import Edges
from crosspoint.scene.ops.voxels import VoxelConfig

FEW = OccupancyConfig(behind=30, before=20, between=10, radius=1.0, neighbors=4, width=8)


def made_batch(seed: int = 0, scale: float = 1.0, sizes: tuple[int, ...] = (200, 150)) -> LidarBatch:
    """Rough spheres around the sensor, each frame with intensities of its own."""
    generator = torch.Generator().manual_seed(seed)
    samples = []
    for number, size in enumerate(sizes):
        points = F.normalize(torch.randn(size, 3, generator=generator), dim=1)
        points = points * (4 + torch.rand(size, 1, generator=generator)) * scale
        intensity = (number + torch.rand(size, generator=generator)) / len(sizes)
        samples.append(LidarSample(f"{number}", points, {"intensity": intensity}, torch.zeros(0, 3, 8, 8).byte()))
    return stack_samples(samples, VoxelConfig(kind="cartesian", size=0.5))


def slow_losses(
    head: OccupancyHead, features: Tensor, batch: LidarBatch, queries: Queries, edges: Edges
) -> tuple[Tensor, Tensor]:
    """The formulas, edge after edge."""
    occupancy, intensity = [], []
    for q, p in zip(edges.query.tolist(), edges.point.tolist(), strict=True):
        offset = queries.positions[q] - batch.points[p]
        logit, guess = head.layers(torch.cat([features[batch.voxelized.inverse[p]], offset.to(features.dtype)]))
        share = torch.sigmoid(logit)
        occupancy.append(-torch.log(share if queries.filled[q] else 1 - share))
        if queries.intensity[q] >= 0:
            intensity.append((guess - queries.intensity[q]).abs())
    return torch.stack(occupancy).mean(), torch.stack(intensity).mean()


def test_losses_and_gradients_are_those_of_a_loop_over_edges(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    batch = made_batch()
    kept: dict[str, Any] = {}
    search, draw = module.radius_neighbors, module.draw_queries
    monkeypatch.setattr(module, "radius_neighbors", lambda *a, **k: kept.setdefault("edges", search(*a, **k)))
    monkeypatch.setattr(module, "draw_queries", lambda *a: kept.setdefault("queries", draw(*a)))
    head = OccupancyHead(5, FEW).double()
    features = torch.randn(len(batch.voxelized.features), 5, dtype=torch.float64, requires_grad=True)
    found = head(features, batch, torch.Generator().manual_seed(1))
    expected = slow_losses(head, features, batch, kept["queries"], kept["edges"])
    assert len(kept["edges"].query) > 100
    weights = [features, *head.parameters()]
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
        gradients = (torch.autograd.grad(loss, weights, retain_graph=True) for loss in (ours, theirs))
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other)


def test_queries_lie_on_rays_where_they_should() -> None:
    batch = made_batch()
    everywhere = torch.get_rng_state()
    queries = draw_queries(batch, FEW, torch.Generator().manual_seed(2))
    assert torch.equal(torch.get_rng_state(), everywhere)
    assert queries.frame.tolist() == [0] * 60 + [1] * 60
    assert queries.filled.tolist() == ([True] * 30 + [False] * 30) * 2
    for row in range(120):
        own = batch.points[int(batch.point_offsets[row // 60]) : int(batch.point_offsets[row // 60 + 1])]
        at = queries.positions[row]
        ray = int((F.normalize(own, dim=1) @ F.normalize(at, dim=0)).argmax())  # whose ray it is on
        assert torch.allclose(F.normalize(own[ray], dim=0), F.normalize(at, dim=0), atol=1e-5)
        beyond = float(at.norm() - own[ray].norm())
        known = batch.point_fields["intensity"][int(batch.point_offsets[row // 60]) + ray]
        if row % 60 < 30:
            assert -1e-5 <= beyond <= 0.1 + 1e-5 and queries.intensity[row] == known
        elif row % 60 < 50:
            assert -0.1 - 1e-5 <= beyond <= 1e-5 and queries.intensity[row] == known
        else:
            assert -float(own[ray].norm()) <= beyond <= 1e-5 and queries.intensity[row] == -1


@pytest.mark.parametrize("matrix", [[[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]], [[-1.0, 0, 0], [0, 1, 0], [0, 0, 1]]])
def test_drawing_after_a_turn_or_a_mirror_equals_moving_what_was_drawn(matrix: list[list[float]]) -> None:
    batch, move = made_batch(), torch.tensor(matrix)
    moved = batch._replace(points=batch.points @ move.T)
    before, after = (draw_queries(one, FEW, torch.Generator().manual_seed(3)) for one in (batch, moved))
    assert torch.allclose(before.positions @ move.T, after.positions, atol=1e-5)
    assert torch.equal(before.intensity, after.intensity) and torch.equal(before.filled, after.filled)


def test_published_numbers_are_the_defaults() -> None:
    default = OccupancyConfig()
    assert (default.behind, default.before, default.between, default.queries) == (684, 682, 682, 2048)
    assert (default.depth, default.radius, default.neighbors) == (0.1, 1.0, 32)
    sizes = [tuple(layer.weight.shape) for layer in OccupancyHead(64).layers if hasattr(layer, "weight")]
    assert sizes == [(128, 67), (128, 128), (128, 128), (2, 128)]


def test_a_frame_hears_of_its_own_points_alone() -> None:
    """Features of the second frame get no gradient where only the first one has queries that points answer."""
    batch = made_batch()
    cut, start = int(batch.voxelized.voxel_offsets[1]), int(batch.point_offsets[1])
    far = torch.cat([batch.points[:start], 1000 * batch.points[start:]])
    head = OccupancyHead(3, replace(FEW, behind=0, before=0, between=60, radius=6.0, neighbors=50))
    features = torch.randn(len(batch.voxelized.features), 3, requires_grad=True)
    head(features, batch._replace(points=far), torch.Generator().manual_seed(0)).occupancy.backward()
    assert features.grad is not None and features.grad[:cut].any() and not features.grad[cut:].any()


def test_no_answer_costs_nothing_and_keeps_the_gradient() -> None:
    """Points 4 km apart: queries between them and the sensor have no neighbor."""
    batch, head = made_batch(scale=1000.0, sizes=(3,)), OccupancyHead(2, replace(FEW, behind=0, before=0, between=9))
    features = torch.randn(len(batch.voxelized.features), 2, requires_grad=True)
    losses = head(features, batch, torch.Generator().manual_seed(0))
    assert losses.occupancy.item() == losses.intensity.item() == 0
    (losses.occupancy + losses.intensity).backward()
    for weight in (features, *head.parameters()):
        assert weight.grad is not None and not weight.grad.any()


def test_intensities_that_are_not_known_do_not_count() -> None:
    answers = torch.tensor([[0.0, 0.5], [0.0, 0.9]], requires_grad=True)
    losses = edge_losses(answers, torch.tensor([True, False]), torch.tensor([0.25, -1.0]))
    assert losses.occupancy.item() == pytest.approx(math.log(2)) and losses.intensity.item() == pytest.approx(0.25)
    losses.intensity.backward()
    assert answers.grad is not None and answers.grad[:, 1].tolist() == [1.0, 0.0]


def test_what_it_learns_is_where_the_space_is_filled() -> None:
    batch, head = made_batch(), OccupancyHead(3, replace(FEW, behind=300, before=0, between=300, neighbors=8, width=32))
    features = F.normalize(batch.points[batch.voxelized.representative], dim=1)  # the direction outwards
    optimizer = torch.optim.Adam(head.parameters(), lr=1e-2)
    for step in range(60):
        loss = head(features, batch, torch.Generator().manual_seed(step)).occupancy
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.45


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"behind": -1}, "expected none below 0"),
        ({"behind": 0, "before": 0, "between": 0}, "and some above"),
        ({"depth": 0.0}, "expected meters above 0"),
        ({"radius": -1.0}, "expected meters above 0"),
        ({"neighbors": 0}, "expected 1 or more of both"),
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OccupancyConfig(**wrong)


def test_points_without_intensity_are_refused() -> None:
    batch = made_batch()._replace(point_fields={})
    with pytest.raises(ValueError, match="intensity"):
        draw_queries(batch, FEW, torch.Generator())
