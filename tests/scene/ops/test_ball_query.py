from __future__ import annotations

import pytest
import torch

import crosspoint.scene.ops.ball_query
from crosspoint.scene.ops.ball_query import Ball, ball_query

BALLS = [Ball(0.3, 4), Ball(0.6, 7, inner=0.3), Ball(2.0, 300), Ball(1.0, 1)]


def brute_force(points: torch.Tensor, centers: torch.Tensor, ball: Ball) -> list[list[list[int]]]:
    """As the definition says, point after point."""
    found = []
    for cloud, around in zip(points.double(), centers.double(), strict=True):
        rows = []
        for center in around:
            distances = (cloud - center).norm(dim=1)
            inside = [j for j, d in enumerate(distances.tolist()) if d == 0 or (ball.inner <= d < ball.radius)] or [
                int(distances.argmin())
            ]
            rows.append((inside + [inside[0]] * ball.neighbors)[: ball.neighbors])
        found.append(rows)
    return found


@pytest.mark.parametrize("held", [2**20, 100])  # distances at once: everything, or one row after the other
def test_equals_brute_force(held: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crosspoint.scene.ops.ball_query, "DISTANCES_CPU", held)
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(3, 150, 3, generator=generator)
    points[1, 80:] = points[1, :70]  # copies
    centers = torch.cat([points[:, ::4], 3 * torch.randn(3, 20, 3, generator=generator)], dim=1)  # many balls are empty
    for ball, rows in zip(BALLS, ball_query(points, centers, BALLS), strict=True):
        assert rows.shape == (3, centers.shape[1], ball.neighbors)
        assert rows.tolist() == brute_force(points, centers, ball)


def test_far_from_the_sensor_centimeters_still_count() -> None:
    center = torch.tensor([[[70.0, -35.0, 1.0]]])
    points = center + torch.tensor([0.0, 0.019, 0.021]).view(1, 3, 1) * torch.tensor([1.0, 0.0, 0.0])
    assert ball_query(points, center, [Ball(0.02, 3)])[0].tolist() == [[[0, 1, 0]]]


def test_the_point_at_the_center_belongs_to_every_ring() -> None:
    points = torch.tensor([[[0.0, 0, 0], [0.1, 0, 0], [0.5, 0, 0]]])
    assert ball_query(points, points[:, :1], [Ball(1.0, 3, inner=0.3)])[0].tolist() == [[[0, 2, 0]]]


@pytest.mark.parametrize("ball", [Ball(0.0, 1), Ball(1.0, 0), Ball(1.0, 1, inner=1.0), Ball(1.0, 1, inner=-0.1)])
def test_balls_that_make_no_sense_are_named(ball: Ball) -> None:
    with pytest.raises(ValueError, match=r"found Ball\(.*expected"):
        ball_query(torch.rand(1, 5, 3), torch.rand(1, 2, 3), [ball])


def test_a_cloud_without_points_is_named() -> None:
    with pytest.raises(ValueError, match="clouds without points"):
        ball_query(torch.rand(1, 0, 3), torch.rand(1, 2, 3), BALLS)
