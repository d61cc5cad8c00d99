"""Matching of labeled and found boxes as nuScenes does it: by the distance of centers from above."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from crosspoint.eval.metrics.detection.assignment import all_pairs, take_in_turn
from crosspoint.scene.datasets.nuscenes_boxes import NO_ATTRIBUTE, NuScenesBoxes

_AT_ONCE = 2**21  # pairs whose distances are held


class Stacked:
    """The boxes of all samples, one after the other.

    Args:
        samples: their boxes.
    """

    def __init__(self, samples: Sequence[NuScenesBoxes]) -> None:
        self.count = len(samples)
        self.sample = np.repeat(np.arange(len(samples)), [len(each) for each in samples])
        self.geometry = np.concatenate([each.geometry for each in samples])
        self.labels = np.concatenate([each.labels for each in samples])
        self.velocity = np.concatenate([each.velocity for each in samples])
        self.attributes = np.concatenate([each.attributes for each in samples])
        self.scores = np.concatenate([np.zeros(len(each)) if each.scores is None else each.scores for each in samples])


@dataclass(frozen=True, eq=False)
class Matches:
    """Detections of one class in all samples, by descending score, at one distance."""

    count: int  # of labeled boxes
    scores: np.ndarray  # (n,) of all detections
    hit: np.ndarray  # (n,) bool
    errors: np.ndarray  # (5, hits): translation, scale, orientation, velocity, attribute; NaN where it is not known


def match(truth: Stacked, found: Stacked, label: int, distances: Sequence[float], half_turn: bool) -> Iterator[Matches]:
    """What is found of a class.

    Detections of all samples, the best first and of equal scores the last first, each take the nearest labeled box of
    their sample and class that none has taken, if it is nearer than a distance.

    Args:
        truth: labeled boxes.
        found: detections.
        label: the class.
        distances: meters.
        half_turn: whether a box turned by 180° is the same.

    Yields:
        The matches at each distance.
    """
    mine, truths = np.flatnonzero(found.labels == label), np.flatnonzero(truth.labels == label)
    best_first = mine[np.lexsort((mine, found.scores[mine]))[::-1]]
    rank = np.empty(len(found.labels), dtype=np.int64)
    rank[best_first] = np.arange(len(best_first))
    one, other, apart = _near(found, mine, truth, truths, max(distances))
    free = np.ones((1, len(truth.labels)), dtype=bool)
    for distance in distances:
        near = apart < distance
        taken = take_in_turn(rank[one[near]], other[near], -apart[near], found.sample[best_first], free)[0]
        hit = taken >= 0
        errors = _errors(truth, taken[hit], found, best_first[hit], half_turn)
        yield Matches(len(truths), found.scores[best_first], hit, errors)


def _near(
    found: Stacked, mine: np.ndarray, truth: Stacked, truths: np.ndarray, distance: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs of one sample nearer than a distance: rows of found (P,), of truth (P,), and how far apart (P,)."""
    counts = np.bincount(found.sample[mine], minlength=found.count)
    others = np.bincount(truth.sample[truths], minlength=truth.count)
    part = np.cumsum(counts * others) // _AT_ONCE
    pieces = []
    for piece in np.unique(part):
        there = part == piece  # samples, which are in order
        rows, columns = mine[there[found.sample[mine]]], truths[there[truth.sample[truths]]]
        one, other = all_pairs(counts[there], others[there])
        one, other = rows[one], columns[other]
        apart = np.linalg.norm(found.geometry[one, :2] - truth.geometry[other, :2], axis=1)
        near = apart < distance
        pieces.append((one[near], other[near], apart[near]))
    one, other, apart = (np.concatenate(each) for each in zip(*pieces, strict=True))
    return one, other, apart


def _errors(truth: Stacked, right: np.ndarray, found: Stacked, mine: np.ndarray, half_turn: bool) -> np.ndarray:
    """The errors (5, n) of detections that found a labeled box each."""
    box, other = truth.geometry[right], found.geometry[mine]
    shared = np.minimum(box[:, 3:6], other[:, 3:6]).prod(axis=1)  # as if they had one center and heading
    union = box[:, 3:6].prod(axis=1) + other[:, 3:6].prod(axis=1) - shared
    period = np.pi if half_turn else 2 * np.pi
    turn = (box[:, 6] - other[:, 6] + period / 2) % period - period / 2
    wrong = (truth.attributes[right] != found.attributes[mine]).astype(np.float64)
    return np.stack(
        [
            np.linalg.norm(box[:, :2] - other[:, :2], axis=1),
            1 - shared / union,
            abs(turn),
            np.linalg.norm(truth.velocity[right] - found.velocity[mine], axis=1),
            np.where(truth.attributes[right] == NO_ATTRIBUTE, np.nan, wrong),
        ]
    )
