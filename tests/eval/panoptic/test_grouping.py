from __future__ import annotations

import numpy as np
import pytest
import torch

from crosspoint.eval.panoptic.grouping import GroupingConfig, find_centers, group_voxels
from crosspoint.eval.panoptic.polar_grid import PolarGrid

GRID = PolarGrid(reach=20.0, cells=(12, 16))
THINGS = torch.tensor([False, True, False, True])


def answers(seed: int, voxels: int = 200) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    rows, columns = GRID.cells
    cells = torch.stack([torch.randint(high, (voxels,), generator=generator) for high in (rows, columns)], dim=1)
    return {
        "probabilities": torch.randn(voxels, 4, generator=generator).softmax(dim=1),
        "cells": cells,
        "heat": torch.rand(rows, columns, generator=generator),
        "offset": 4 * torch.randn(2, rows, columns, generator=generator),
    }


def slow_centers(heat: np.ndarray, grouping: GroupingConfig) -> list[list[int]]:
    rows, columns = heat.shape
    half = grouping.neighborhood // 2
    peaks = []
    for r in range(rows):
        for c in range(columns):
            around = [
                heat[y, (c + x) % columns] for y in range(max(0, r - half), min(rows, r + half + 1))
                for x in range(-half, half + 1)
            ]  # fmt: skip
            if heat[r, c] > grouping.threshold and heat[r, c] == max(around):
                peaks.append((-heat[r, c], [r, c]))
    return [cell for _, cell in sorted(peaks)][: grouping.most]


def slow_groups(given: dict[str, torch.Tensor], centers: list[list[int]]) -> tuple[list[int], list[int]]:
    columns = GRID.cells[1]
    classes = [int(row.argmax()) for row in given["probabilities"]]
    objects = [0] * len(classes)
    for i, (r, c) in enumerate(given["cells"].tolist()):
        if classes[i] in (1, 3):
            y, x = (float(way) + start for way, start in zip(given["offset"][:, r, c], (r, c), strict=True))
            ways = []
            for row, column in centers:
                around = min(abs(x + turn * columns - column - 0.5) for turn in range(-3, 4))
                ways.append((y - row - 0.5) ** 2 + around**2)
            objects[i] = int(np.argmin(ways)) + 1
    for number in {*objects} - {0}:
        mine = [i for i, one in enumerate(objects) if one == number]
        votes = {k: sum(float(given["probabilities"][i, k]) for i in mine) for k in (1, 3)}
        for i in mine:
            classes[i] = max(votes, key=lambda k: votes[k])
    return classes, objects


@pytest.mark.parametrize("grouping", [GroupingConfig(), GroupingConfig(0.6, 3, 4), GroupingConfig(0.0, 1, 7)])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_groups_are_those_of_loops(seed: int, grouping: GroupingConfig) -> None:
    given = answers(seed)
    centers = find_centers(given["heat"], grouping)
    assert centers.tolist() == slow_centers(given["heat"].numpy(), grouping)
    found = group_voxels(**given, things=THINGS, grid=GRID, grouping=grouping)
    assert tuple(part.tolist() for part in found) == slow_groups(given, centers.tolist())
    assert len(centers) > 1 and len(found[1].unique()) > 2


def test_a_turn_by_whole_columns_changes_nothing() -> None:
    given = answers(3)
    turned = {**given, "heat": given["heat"].roll(5, 1), "offset": given["offset"].roll(5, 2)}
    turned["cells"] = (given["cells"] + torch.tensor([0, 5])) % torch.tensor(GRID.cells)
    one, other = (group_voxels(**x, things=THINGS, grid=GRID, grouping=GroupingConfig()) for x in (given, turned))
    assert torch.equal(one[0], other[0]) and torch.equal(one[1], other[1])


def test_an_object_is_of_one_class_that_has_objects() -> None:
    given = answers(4)
    classes, objects = group_voxels(**given, things=THINGS, grid=GRID, grouping=GroupingConfig())
    for number in objects.unique().tolist():
        kinds = {*classes[objects == number].tolist()}
        assert kinds <= {0, 2} if number == 0 else len(kinds) == 1 and kinds < {1, 3}


def test_without_peaks_classes_stay_and_nothing_is_an_object() -> None:
    given = answers(5)
    classes, objects = group_voxels(
        **{**given, "heat": given["heat"] * 0.05}, things=THINGS, grid=GRID, grouping=GroupingConfig()
    )
    assert torch.equal(classes, given["probabilities"].argmax(dim=1)) and not objects.any()


def test_targets_of_the_truth_give_the_truth_back() -> None:
    """Two objects on both sides of the seam and one elsewhere, by perfect maps."""
    heat, offset = torch.zeros(GRID.cells), torch.zeros(2, *GRID.cells)
    centers = [[6, 0], [6, 11], [2, 6]]
    cells, truth = [], []
    for number, (row, column) in enumerate(centers):
        heat[row, column] = 1
        for step in (-2, -1, 0, 1, 2):
            place = (column + step) % 16
            cells.append([row, place])
            offset[:, row, place] = torch.tensor([0.5, 0.5 - step])
            truth.append(number)
    probabilities = torch.tensor([0.1, 0.8, 0.05, 0.05]).expand(len(cells), 4)
    _, objects = group_voxels(
        probabilities, torch.tensor(cells), heat, offset, things=THINGS, grid=GRID, grouping=GroupingConfig()
    )
    assert len({*zip(truth, objects.tolist(), strict=True)}) == len(centers)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="found a neighborhood of 4 cells, expected an odd number"):
        GroupingConfig(neighborhood=4)
    with pytest.raises(ValueError, match="most"):
        GroupingConfig(most=0)
