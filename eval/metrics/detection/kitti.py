"""Average precision of KITTI's object benchmark, by the rules of its development kit.

Geiger et al. 2012, https://www.cvlibs.net/datasets/kitti/eval_object.php; 40 recall positions: Simonelli et al. 2019,
https://arxiv.org/abs/1905.12365. What each rule says stands where it is applied; a literal, slow reading of them in the
tests gives the same figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from crosspoint.eval.metrics.detection.assignment import take_in_turn
from crosspoint.eval.metrics.detection.kitti_overlaps import Objects, Overlaps, most_in_dont_care, overlaps
from crosspoint.scene.datasets.kitti_labels import KittiLabels

CLASSES = ("Car", "Pedestrian", "Cyclist")
METRICS = ("2d", "aos", "bev", "3d")  # boxes in the image, their orientation, boxes from above, volumes
DIFFICULTIES = ("easy", "moderate", "hard")
POSITIONS = 41  # of recall

# Overlap that a detection must exceed: 2d and aos, bev, 3d
STRICT = {"Car": (0.7, 0.7, 0.7), "Pedestrian": (0.5, 0.5, 0.5), "Cyclist": (0.5, 0.5, 0.5)}
LOOSE = {"Car": (0.7, 0.5, 0.5), "Pedestrian": (0.5, 0.25, 0.25), "Cyclist": (0.5, 0.25, 0.25)}

_NEIGHBORS = {"Car": "Van", "Pedestrian": "Person_sitting", "Cyclist": None}  # neither wanted nor wrong
_LEAST_HEIGHT, _MOST_OCCLUSION, _MOST_TRUNCATION = (40, 25, 25), (0, 1, 2), (0.15, 0.30, 0.50)
_NO_ORIENTATION = -10  # alpha of a detector that gives none

VALID, IGNORED, UNSEEN = 0, 1, -1  # states of objects for one class and difficulty


@dataclass(frozen=True, eq=False)
class KittiScores:
    """What was measured, for each of `METRICS`, C classes and `DIFFICULTIES`."""

    classes: tuple[str, ...]
    precision: (
        np.ndarray
    )  # (4, C, 3, 41) at the positions of recall, from 0 to 1; of aos orientation similarity, or NaN
    valid: np.ndarray  # (C, 3) int64, labeled objects that count

    @property
    def r40(self) -> np.ndarray:
        """AP in percent (4, C, 3), the mean over the positions 1/40, …, 1: the benchmark's own since October 2019."""
        return 100 * self.precision[..., 1:].mean(axis=-1)

    @property
    def r11(self) -> np.ndarray:
        """AP in percent (4, C, 3), the mean over the positions 0, 0.1, …, 1, as in papers before."""
        return 100 * self.precision[..., ::4].mean(axis=-1)

    def figures(self, positions: int = 40) -> dict[str, float]:
        """AP in percent by names such as "car_3d_moderate", and "mean_3d_moderate" over the classes.

        Raises:
            ValueError: if positions are neither 40 nor 11.
        """
        if positions not in (40, 11):
            raise ValueError(f"found {positions} positions of recall, expected 40 or 11")
        table = self.r40 if positions == 40 else self.r11
        rows = {name.lower(): table[:, place] for place, name in enumerate(self.classes)} | {"mean": table.mean(axis=1)}
        return {
            f"{name}_{metric}_{difficulty}": float(values[m, d])
            for name, values in rows.items()
            for m, metric in enumerate(METRICS)
            for d, difficulty in enumerate(DIFFICULTIES)
            if np.isfinite(values[m, d])
        }


def kitti_scores(
    truth: Sequence[KittiLabels],
    found: Sequence[KittiLabels],
    classes: Sequence[str] = CLASSES,
    least: Mapping[str, tuple[float, float, float]] = STRICT,
) -> KittiScores:
    """Precision at the recalls of KITTI's object benchmark.

    Args:
        truth: labels of each frame, all classes and DontCare among them, in the order of their files.
        found: detections of each frame, with scores. Those whose image box is lower than a difficulty asks for are
            ignored, so image boxes are needed for every metric.
        classes: of `CLASSES`.
        least: overlap that a detection of a class must exceed: `STRICT`, or `LOOSE` for the second set of figures that
            development kits print.

    Returns:
        Precision, 0 for a class without objects that count, and AP made of it.

    Raises:
        ValueError: if there is no frame, lists are of different lengths, a frame found has no scores, or a class is
            not among `CLASSES`.
    """
    if len(truth) != len(found) or not truth:
        raise ValueError(
            f"found detections of {len(found)} frames, expected {len(truth)}, one list for each of 1 or more"
        )
    unscored = [place for place, frame in enumerate(found) if frame.scores is None]
    if unscored:
        raise ValueError(f"found no scores in frame {unscored[0]} of {len(found)}, expected one for each detection")
    unknown = [name for name in classes if name not in CLASSES or name not in least]
    if unknown or not classes:
        raise ValueError(f"found the class {unknown[0] if unknown else None}, expected some of: {', '.join(CLASSES)}")
    labeled, detected = Objects(truth), Objects(found)
    aimed = not (detected.alpha == _NO_ORIENTATION).any()
    precision = np.zeros((len(METRICS), len(classes), len(DIFFICULTIES), POSITIONS))
    valid = np.zeros((len(classes), len(DIFFICULTIES)), dtype=np.int64)
    for place, metric in enumerate(("2d", "bev", "3d")):
        pairs = overlaps(detected, labeled, metric).above(min(least[name][place] for name in classes))
        excused = most_in_dont_care(detected, labeled) if metric == "2d" else np.zeros(len(detected.frame))
        for c, name in enumerate(classes):
            close = pairs.above(least[name][place])
            for d in range(len(DIFFICULTIES)):
                task = _Task(labeled, detected, name, d)
                curve, orientation = task.curves(close, excused > least[name][place])
                precision[METRICS.index(metric), c, d] = curve
                valid[c, d] = task.count
                if metric == "2d":
                    precision[METRICS.index("aos"), c, d] = orientation if aimed else np.nan
    return KittiScores(tuple(classes), precision, valid)


class _Task:
    """One class at one difficulty: what counts, and what is ignored."""

    def __init__(self, truth: Objects, found: Objects, name: str, difficulty: int) -> None:
        self.truth, self.found = truth, found
        self.truth_state = _truth_state(truth, name, difficulty)
        self.found_state = _found_state(found, name, difficulty)
        self.count = int((self.truth_state == VALID).sum())

    def curves(self, pairs: Overlaps, excused: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Precision and orientation similarity (41,) at each position of recall.

        Args:
            pairs: of objects that overlap far enough.
            excused: (D,) bool, detections that are no mistake where nothing takes them.
        """
        seen = (self.truth_state[pairs.truth] != UNSEEN) & (self.found_state[pairs.found] != UNSEEN)
        truths, row = np.unique(pairs.truth[seen], return_inverse=True)
        founds, column = np.unique(pairs.found[seen], return_inverse=True)
        scores, frames = self.found.scores[founds], self.truth.frame[truths]
        # To find thresholds, a labeled object takes the detection of the highest score
        free = np.ones((1, len(founds)), dtype=bool)
        taken = take_in_turn(row, column, scores[column], frames, free)
        hit = self._hits(taken, truths, founds)
        thresholds = recall_thresholds(scores[taken[hit]], self.count)
        # To count at a threshold, the one of the largest overlap, and one that is ignored only if there is no other
        key = np.where(self.found_state[founds[column]] == IGNORED, 0, pairs.share[seen])
        taken = take_in_turn(row, column, key, frames, scores >= thresholds[:, None])
        hit = self._hits(taken, truths, founds)
        right = hit.sum(axis=1)
        positives = right + self._mistakes(taken, founds, thresholds, excused)
        turn = self.truth.alpha[truths] - self.found.alpha[founds[taken]] if len(founds) else np.zeros(hit.shape)
        similarity = np.where(hit, (1 + np.cos(turn)) / 2, 0).sum(axis=1)
        return _best_from_here_on(right, positives), _best_from_here_on(similarity, positives)

    def _hits(self, taken: np.ndarray, truths: np.ndarray, founds: np.ndarray) -> np.ndarray:
        """Which of the labeled objects (T, R) bool are found, neither they nor the detections ignored."""
        if len(founds) == 0:
            return np.zeros(taken.shape, dtype=bool)
        return (taken >= 0) & (self.truth_state[truths] == VALID) & (self.found_state[founds[taken]] == VALID)

    def _mistakes(
        self, taken: np.ndarray, founds: np.ndarray, thresholds: np.ndarray, excused: np.ndarray
    ) -> np.ndarray:
        """Detections (T,) from each threshold up that nothing took, be it an ignored object, and nothing excuses."""
        counted = (self.found_state == VALID) & ~excused
        scores = np.sort(self.found.scores[counted])
        number = len(scores) - np.searchsorted(scores, thresholds)
        kept = (taken >= 0) & counted[founds[taken]] if len(founds) else np.zeros(taken.shape, dtype=bool)
        return number - kept.sum(axis=1)


def recall_thresholds(scores: np.ndarray, count: int) -> np.ndarray:
    """Scores at which precision is measured: those that come nearest to the recalls 0, 1/40, …, 1.

    Args:
        scores: (n,) of the labeled objects that were found.
        count: labeled objects that count.

    Returns:
        (t,) descending, t at most 41; with few objects there are fewer, and one for each object.
    """
    kept, recall = [], 0.0
    descending = np.sort(scores)[::-1].tolist()
    for place, score in enumerate(descending):
        last = place == len(descending) - 1
        left = (place + 1) / count
        right = left if last else (place + 2) / count
        if right - recall < recall - left and not last:
            continue
        kept.append(score)
        recall += 1 / (POSITIONS - 1)
    return np.array(kept, dtype=np.float64)


def _truth_state(truth: Objects, name: str, difficulty: int) -> np.ndarray:
    """The state (G,) of each labeled object: of the class but too hard, or of its neighbor, it is ignored."""
    mine = truth.names == name.lower()
    near = truth.names == str(_NEIGHBORS[name]).lower()
    hard = (
        (truth.occlusion > _MOST_OCCLUSION[difficulty])
        | (truth.truncation > _MOST_TRUNCATION[difficulty])
        | (truth.height <= _LEAST_HEIGHT[difficulty])
    )
    return np.where(mine & ~hard, VALID, np.where(mine | near, IGNORED, UNSEEN))


def _found_state(found: Objects, name: str, difficulty: int) -> np.ndarray:
    """The state (D,) of each detection: a low one is ignored whatever its class."""
    low = found.height < _LEAST_HEIGHT[difficulty]
    return np.where(low, IGNORED, np.where(found.names == name.lower(), VALID, UNSEEN))


def _best_from_here_on(right: np.ndarray, positives: np.ndarray) -> np.ndarray:
    """right / positives (T,) as the best at this recall or a higher one: (41,), 0 where there is no threshold."""
    curve = np.zeros(POSITIONS)
    share = np.divide(right, positives, out=np.zeros(len(right)), where=positives > 0)
    curve[: len(share)] = np.maximum.accumulate(share[::-1])[::-1]
    return curve
