from __future__ import annotations

import numpy as np
import pytest

from crosspoint.eval.metrics.detection.assignment import take_in_turn


def one_after_the_other(row, column, key, group, free):
    """The definition, row after row."""
    taken = np.full((len(free), len(group)), -1)
    for condition, there in enumerate(free):
        left = {place for place, is_free in enumerate(there) if is_free}
        for mine in range(len(group)):
            wanted = [(-k, c) for r, c, k in zip(row, column, key, strict=True) if r == mine and c in left]
            if wanted:
                taken[condition, mine] = min(wanted)[1]
                left.discard(min(wanted)[1])
    return taken


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_definition(seed: int) -> None:
    generator = np.random.default_rng(seed)
    group, columns = generator.integers(4, size=20), generator.integers(4, size=30)  # columns belong to groups, too
    row, column = np.nonzero((group[:, None] == columns) & (generator.random((20, 30)) < 0.6))
    shuffled = generator.permutation(len(row))
    row, column = row[shuffled], column[shuffled]
    key = generator.integers(-3, 3, size=len(row)).astype(float)  # many are equal
    free = generator.random((6, 30)) < 0.7
    given = free.copy()
    taken = take_in_turn(row, column, key, group, free)
    assert np.array_equal(taken, one_after_the_other(row, column, key, group, given))
    assert np.array_equal(free, given) and (taken >= 0).any() and (taken < 0).any()


def test_nothing_to_take() -> None:
    none = np.zeros(0, dtype=np.int64)
    assert take_in_turn(none, none, np.zeros(0), np.zeros(3), np.ones((2, 0), dtype=bool)).tolist() == [[-1] * 3] * 2
