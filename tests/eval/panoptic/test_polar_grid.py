from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crosspoint.eval.panoptic.polar_grid import PolarGrid

GRID = PolarGrid(reach=20.0, cells=(10, 16))


def at(ranges: float, angle: float) -> list[float]:
    """A point in meters and degrees."""
    return [ranges * math.cos(math.radians(angle)), ranges * math.sin(math.radians(angle)), 0.3]


def test_cells_are_those_of_a_loop() -> None:
    points = torch.from_numpy(np.random.default_rng(0).normal(0, 12, (500, 3))).float()
    for (x, y, _), (row, column) in zip(points.tolist(), GRID.cells_of(points).tolist(), strict=True):
        ranges, angle = math.hypot(x, y), math.atan2(y, x) % (2 * math.pi)
        assert row == min(9, int(ranges // 2))
        assert column == int((math.degrees(angle) + 180) % 360 // 22.5)


def test_the_angle_comes_back_to_itself_and_all_that_is_far_is_in_the_last_row() -> None:
    behind = torch.tensor([[-3.0, 0.0, 0.0], [-3.0, -0.0, 0.0]])
    assert GRID.cells_of(behind).tolist() == [[1, 0], [1, 0]]
    points = torch.tensor([at(3, 179.9), at(3, -179.9), at(3, 0.1), at(1e4, 0.1), [0.0, 0, 0]])
    assert GRID.cells_of(points).tolist() == [[1, 15], [1, 0], [1, 8], [9, 8], [0, 8]]


def test_positions_are_the_middles_of_cells() -> None:
    middle = torch.tensor([at(5, -180 + 22.5 * (3 + 0.5))])
    torch.testing.assert_close(
        GRID.positions(middle), torch.tensor([[2.5, 3.5]], dtype=torch.float64), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize(("step", "shorter"), [(15, -1), (-15, 1), (8, -8), (-8, -8), (7, 7), (31, -1), (0, 0)])
def test_the_way_around_is_the_shorter_one(step: float, shorter: float) -> None:
    assert GRID.wrapped(torch.tensor([[12.0, step]])).tolist() == [[12.0, shorter]]


def test_settings_that_divide_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="found a reach of 0, expected meters above 0"):
        PolarGrid(reach=0)
    with pytest.raises(ValueError, match=r"found cells \[0, 4\], expected two numbers from 1 to 8192"):
        PolarGrid(cells=(0, 4))
