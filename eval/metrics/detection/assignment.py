"""Greedy assignment, of many groups and under many conditions at once: rows take turns in taking a column.

In KITTI the labeled objects of a frame take detections one after another, for each of 41 thresholds; in nuScenes the
detections of a sample, the best first, take labeled objects. Groups do not touch each other, so the first rows of all
groups choose at once, then the second ones, and so on.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np


def take_in_turn(
    row: np.ndarray, column: np.ndarray, key: np.ndarray, group: np.ndarray, free: np.ndarray
) -> np.ndarray:
    """Which column each row takes: of those that are free the one of the largest key, of equal keys the first column.

    Args:
        row: (P,) int64, one end of each pair that may come together.
        column: (P,) int64, the other end. All pairs of a column are with rows of one group.
        key: (P,) float64, finite: how much the row prefers the column.
        group: (R,) of each row. Rows of a group take turns, in ascending order.
        free: (T, C) bool, which columns may be taken, for each of T conditions.

    Returns:
        (T, R) int64: a column, or −1 for a row that found none.
    """
    taken = np.full((len(free), len(group)), -1, dtype=np.int64)
    if len(row) == 0:
        return taken
    rows, turn = _turns(row, group)
    place = np.full(len(group), -1)
    place[rows] = turn
    order = np.lexsort((column, row, place[row]))
    row, column, key = row[order], column[order], key[order]
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])  # a row's pairs lie together, and so do a turn's rows
    counts = np.diff(np.r_[starts, len(row)])
    turns = place[row[starts]]
    bounds = np.searchsorted(turns, np.arange(turns[-1] + 2))
    free = free.copy()
    for first, last in pairwise(bounds):
        begin = starts[first]
        end = starts[last] if last < len(starts) else len(row)
        _choose(
            row[starts[first:last]],
            column[begin:end],
            key[begin:end],
            starts[first:last] - begin,
            counts[first:last],
            free,
            taken,
        )
    return taken


def all_pairs(counts: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every row with every column of its group, where those of a group lie together.

    Args:
        counts: (F,) int64, rows of each group.
        others: (F,) int64, columns of each group.

    Returns:
        (P,) and (P,) int64, rows and columns.
    """
    number = counts * others
    group = np.repeat(np.arange(len(counts)), number)
    place = np.arange(len(group)) - (np.cumsum(number) - number)[group]
    first, other_first = np.cumsum(counts) - counts, np.cumsum(others) - others
    return first[group] + place // others[group], other_first[group] + place % others[group]


def _turns(row: np.ndarray, group: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows (r,) that have a pair, and the place of each among those of its group, from 0."""
    rows = np.unique(row)
    order = np.argsort(group[rows], kind="stable")
    rows = rows[order]
    mine = group[rows]
    first = np.flatnonzero(np.r_[True, mine[1:] != mine[:-1]])
    return rows, np.arange(len(rows)) - np.repeat(first, np.diff(np.r_[first, len(rows)]))


def _choose(
    rows: np.ndarray,
    column: np.ndarray,
    key: np.ndarray,
    starts: np.ndarray,
    counts: np.ndarray,
    free: np.ndarray,
    taken: np.ndarray,
) -> None:
    """One turn: rows (r,) of as many groups choose among their columns (p,), which lie together from `starts` on."""
    keys = np.where(free[:, column], key, -np.inf)
    best = np.maximum.reduceat(keys, starts, axis=1)
    place = np.where(keys == np.repeat(best, counts, axis=1), np.arange(len(column)), len(column))
    chosen = column[np.minimum.reduceat(place, starts, axis=1)]
    chosen[best == -np.inf] = -1
    taken[:, rows] = chosen
    condition, among = np.nonzero(chosen >= 0)
    free[condition, chosen[condition, among]] = False
