from __future__ import annotations

import math

import numpy as np
import torch

from crosspoint.eval.panoptic.polar_grid import PolarGrid
from crosspoint.eval.panoptic.targets import PanopticTargets, panoptic_targets

GRID = PolarGrid(reach=20.0, cells=(20, 36))
THINGS = torch.tensor([False, True, True])
SIGMA = 1.5


def crowd(seed: int, frames: int = 3) -> tuple[torch.Tensor, ...]:
    """Objects of a meter around the sensor, some across the seam, on ground; some points have no class."""
    rng = np.random.default_rng(seed)
    points, labels, objects, frame = [], [], [], []
    for number in range(frames):
        for place in range(9):
            angle, ranges = (math.pi, 6.0) if place == 0 else (rng.uniform(-3.1, 3.1), rng.uniform(1, 24))
            middle = np.array([ranges * math.cos(angle), ranges * math.sin(angle), 0])
            points.append(middle + rng.normal(0, 0.6, (30, 3)))
            labels.append(np.full(30, rng.integers(0, 3)))
            objects.append(np.full(30, place * 5))  # the first has none
        points.append(rng.uniform(-20, 20, (200, 3)))
        labels.append(rng.integers(-1, 1, 200))
        objects.append(np.zeros(200, dtype=np.int64))
        frame.append(np.full(470, number))
    order = rng.permutation(470 * frames)
    made = (np.concatenate(part)[order] for part in (points, labels, objects, frame))
    first, *others = made
    return torch.from_numpy(first).float(), *(torch.from_numpy(part) for part in others)


def drawn(crowd: tuple[torch.Tensor, ...], frames: int = 3) -> PanopticTargets:
    return panoptic_targets(*crowd, count=frames, things=THINGS, grid=GRID, sigma=SIGMA)


def slow(crowd: tuple[torch.Tensor, ...], frames: int = 3) -> list[np.ndarray]:
    """Cell by cell and object by object."""
    points, labels, objects, frame = (part.numpy() for part in crowd)
    rows, columns = GRID.cells
    heat, offset = np.zeros((frames, rows, columns)), np.zeros((frames, 2, rows, columns))
    labeled, filled = np.zeros((frames, rows, columns), dtype=bool), np.zeros((frames, rows, columns), dtype=bool)
    cells = GRID.cells_of(crowd[0]).numpy()
    for b in range(frames):
        counts: dict[tuple[int, int], dict[int, int]] = {}
        for i in np.flatnonzero(frame == b):
            cell = (int(cells[i, 0]), int(cells[i, 1]))
            labeled[b][cell] |= labels[i] != -1
            if labels[i] in (1, 2) and objects[i] > 0:
                of_cell = counts.setdefault(cell, {})
                of_cell[int(objects[i])] = of_cell.get(int(objects[i]), 0) + 1
        centers = {}
        for number in {one for of_cell in counts.values() for one in of_cell}:
            mine = (frame == b) & (objects == number) & np.isin(labels, (1, 2))
            x, y = points[mine, :2].astype(np.float64).mean(axis=0)
            row = math.hypot(x, y)  # cells of a meter, and of ten degrees
            column = math.degrees(math.atan2(y, x) + math.pi) / 10
            if row >= rows:
                continue
            centers[number] = row, column
            for r in range(rows):
                for c in range(columns):
                    dr = r - math.floor(row)
                    dc = min((c - math.floor(column)) % columns, (math.floor(column) - c) % columns)
                    if max(abs(dr), dc) <= round(3 * SIGMA) + 1:
                        heat[b, r, c] = max(heat[b, r, c], math.exp(-(dr**2 + dc**2) / (2 * SIGMA**2)))
        for (r, c), of_cell in counts.items():
            number = min(of_cell, key=lambda one: (-of_cell[one], one))
            if number in centers:
                around = centers[number][1] - c
                offset[b, :, r, c] = centers[number][0] - r, (around + columns / 2) % columns - columns / 2
                filled[b, r, c] = True
    return [heat, offset, labeled, filled]


def test_maps_are_those_of_loops() -> None:
    for seed in (0, 1):
        made = crowd(seed)
        for mine, expected in zip(drawn(made), slow(made), strict=True):
            np.testing.assert_allclose(mine.numpy(), expected, atol=1e-4)
        assert slow(made)[3].sum() > 30


def test_an_object_across_the_seam_is_one() -> None:
    angles = torch.tensor([174.0, 177.0, -177.0, -172.0]).deg2rad()
    points = torch.stack([5.5 * angles.cos(), 5.5 * angles.sin(), torch.zeros(4)], dim=1)
    numbers = torch.ones(4, dtype=torch.int64)
    heat, offset, _, filled = drawn((points, numbers, numbers, 0 * numbers), 1)
    assert heat[0].max() == 1 and heat[0, 5, 0] == 1  # 180.5 degrees are the first column
    assert heat[0, 5, 35] == heat[0, 5, 1] > 0.5
    assert filled.nonzero().tolist() == [[0, 5, 0], [0, 5, 35]]
    expected = [(180.5 - 180) / 10, (180.5 - 180) / 10 + 1]
    torch.testing.assert_close(offset[0, 1, 5, [0, 35]], torch.tensor(expected), rtol=0, atol=1e-2)


def test_a_turn_by_whole_columns_turns_the_maps() -> None:
    points, *others = crowd(2)
    angle = math.radians(70)
    turn = torch.tensor([[math.cos(angle), math.sin(angle), 0], [-math.sin(angle), math.cos(angle), 0], [0, 0, 1]])
    before, after = drawn((points.double(), *others)), drawn((points.double() @ turn.double(), *others))
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a.roll(7, dims=-1), b, rtol=0, atol=1e-4)


def test_frames_without_objects_have_flat_maps() -> None:
    points, labels, objects, frames = crowd(3)
    for changed in ((labels * 0, objects), (labels, objects * 0)):
        heat, offset, labeled, filled = drawn((points, *changed, frames))
        assert not heat.any() and not offset.any() and not filled.any() and labeled.any()
    empty = drawn((points[:0], labels[:0], objects[:0], frames[:0]))
    assert not any(part.any() for part in empty)


def test_a_frame_has_the_same_maps_alone() -> None:
    made = crowd(4)
    whole = drawn(made)
    for number in range(3):
        mine = made[3] == number
        alone = drawn((made[0][mine], made[1][mine], made[2][mine], 0 * made[3][mine]), 1)
        for a, b in zip(whole, alone, strict=True):
            assert torch.equal(a[number], b[0])
