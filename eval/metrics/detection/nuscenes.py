"""Metrics of nuScenes' detection challenge, version CVPR 2019: mean AP, errors of true positives, and NDS.

Caesar et al. 2020, https://arxiv.org/abs/1903.11027, section 4.1. Figures equal those of the devkit
(https://github.com/nutonomy/nuscenes-devkit, eval/detection), which reads tables and files; here all are arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from crosspoint.eval.metrics.detection.nuscenes_matching import Matches, Stacked, match
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES
from crosspoint.scene.datasets.nuscenes_boxes import MOST_BOXES, NuScenesBoxes

DISTANCES = (0.5, 1.0, 2.0, 4.0)  # meters between centers from above, within which a box is found
ERRORS = ("translation", "scale", "orientation", "velocity", "attribute")
RANGES = {
    "car": 50.0, "truck": 50.0, "bus": 50.0, "trailer": 50.0, "construction_vehicle": 50.0, "pedestrian": 40.0,
    "motorcycle": 40.0, "bicycle": 40.0, "traffic_cone": 30.0, "barrier": 30.0,
}  # fmt: skip
_DISTANCE_OF_ERRORS = 2.0
_UNDEFINED = {"traffic_cone": ("orientation", "velocity", "attribute"), "barrier": ("velocity", "attribute")}
_RECALLS = np.linspace(0, 1, 101)
_FIRST = 11  # recalls up to 10 % do not count
_LEAST_PRECISION = 0.1
_AP_WEIGHT = 5


@dataclass(frozen=True, eq=False)
class NuScenesScores:
    """What was measured, for each of `BOX_CLASSES`."""

    ap: np.ndarray  # (10, 4) from 0 to 1, at each of `DISTANCES`
    errors: np.ndarray  # (10, 5) of `ERRORS`: meters, 1 − IoU, radians, meters a second, 1 − accuracy; NaN if undefined

    @property
    def mean_ap(self) -> float:
        """Mean over classes and distances, from 0 to 1."""
        return float(self.ap.mean())

    @property
    def mean_errors(self) -> np.ndarray:
        """(5,) means over the classes that have the error."""
        return np.nanmean(self.errors, axis=0)

    @property
    def nds(self) -> float:
        """The nuScenes detection score, from 0 to 1."""
        right = np.maximum(0, 1 - self.mean_errors)
        return float((_AP_WEIGHT * self.mean_ap + right.sum()) / (_AP_WEIGHT + len(right)))

    def figures(self) -> dict[str, float]:
        """NDS and AP in percent ("nds", "map", "car_ap", …), errors in their units ("mean_velocity_error", …)."""
        found = {"nds": 100 * self.nds, "map": 100 * self.mean_ap}
        found |= {f"{name}_ap": 100 * float(row.mean()) for name, row in zip(BOX_CLASSES, self.ap, strict=True)}
        means = zip(ERRORS, self.mean_errors, strict=True)
        return found | {f"mean_{name}_error": float(value) for name, value in means}


def nuscenes_scores(
    truth: Sequence[NuScenesBoxes],
    found: Sequence[NuScenesBoxes],
    vehicle: ArrayLike,
    racks: Sequence[ArrayLike] | None = None,
) -> NuScenesScores:
    """Mean AP, errors and NDS of a split.

    Boxes beyond the range of their class, labeled ones without a return of LiDAR or radar, and cycles in a rack are
    left out first.

    Args:
        truth: labeled boxes of each sample, in the world's frame.
        found: detections of each sample, likewise, with scores; at most 500 a sample.
        vehicle: (S, 2) or (S, 3) where the vehicle is in the world at each sample, meters.
        racks: (r, 7) boxes of the bicycle racks of each sample (static_object.bicycle_rack); None for no racks.

    Raises:
        ValueError: if there is no sample, lists are of different lengths, a sample found has no scores or more than
            500 boxes, or positions or racks have another shape.
    """
    positions = np.asarray(vehicle, dtype=np.float64)
    places = (
        [np.zeros((0, 7))] * len(truth) if racks is None else [np.asarray(each, dtype=np.float64) for each in racks]
    )
    _check(truth, found, positions, places)
    labeled = Stacked([counted(*each) for each in zip(truth, positions, places, strict=True)])
    detected = Stacked([counted(*each) for each in zip(found, positions, places, strict=True)])
    ap = np.zeros((len(BOX_CLASSES), len(DISTANCES)))
    errors = np.ones((len(BOX_CLASSES), len(ERRORS)))
    for label, name in enumerate(BOX_CLASSES):
        ap[label], errors[label] = class_scores(labeled, detected, label, half_turn=name == "barrier")
        errors[label, [ERRORS.index(error) for error in _UNDEFINED.get(name, ())]] = np.nan
    return NuScenesScores(ap, errors)


def class_scores(truth: Stacked, found: Stacked, label: int, half_turn: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """AP (4,) of a class at each of `DISTANCES`, from 0 to 1, and its `ERRORS` (5,); 0 and 1 where nothing is found.

    Args:
        truth: labeled boxes that count.
        found: detections that count.
        label: the class.
        half_turn: whether a box turned by 180° is the same.
    """
    ap, errors = np.zeros(len(DISTANCES)), np.ones(len(ERRORS))
    for place, matches in enumerate(match(truth, found, label, DISTANCES, half_turn)):
        if matches.count == 0 or not matches.hit.any():
            continue
        precision, confidence = _at_recalls(matches)
        ap[place] = np.clip(precision[_FIRST:] - _LEAST_PRECISION, 0, None).mean() / (1 - _LEAST_PRECISION)
        if DISTANCES[place] == _DISTANCE_OF_ERRORS:
            errors = _mean_errors(matches, confidence)
    return ap, errors


def counted(boxes: NuScenesBoxes, vehicle: np.ndarray, racks: np.ndarray) -> NuScenesBoxes:
    """The boxes of a sample that count; `vehicle` (2,) or (3,) and racks (r, 7) in the world."""
    reach = np.array([RANGES[name] for name in BOX_CLASSES])[boxes.labels]
    kept = np.linalg.norm(boxes.geometry[:, :2] - vehicle[:2], axis=1) < reach
    if boxes.points is not None:
        kept &= boxes.points != 0
    cycles = np.isin(boxes.labels, [BOX_CLASSES.index("bicycle"), BOX_CLASSES.index("motorcycle")])
    return boxes.keep(kept & ~(cycles & _inside(boxes.geometry[:, :3], racks)))


def _inside(centers: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Whether centers (n, 3) lie in any of some boxes (r, 7), on a face of one included: (n,) bool."""
    away = centers[:, None] - boxes[:, :3]
    cos, sin = np.cos(boxes[:, 6]), np.sin(boxes[:, 6])
    x, y = cos * away[..., 0] + sin * away[..., 1], cos * away[..., 1] - sin * away[..., 0]
    within = abs(np.stack([x, y, away[..., 2]], axis=-1)) <= boxes[:, 3:6] / 2
    return np.any(np.all(within, axis=-1), axis=1)


def _at_recalls(matches: Matches) -> tuple[np.ndarray, np.ndarray]:
    """Precision and score at each of 101 recalls, both 0 beyond the highest that is reached."""
    right = np.cumsum(matches.hit)
    recall, precision = right / matches.count, right / np.arange(1, len(right) + 1)
    return np.interp(_RECALLS, recall, precision, right=0), np.interp(_RECALLS, recall, matches.scores, right=0)


def _mean_errors(matches: Matches, confidence: np.ndarray) -> np.ndarray:
    """(5,) means over the recalls above 10 % that are reached; each error is the mean over all better boxes."""
    last = int(np.flatnonzero(confidence).max(initial=0))
    if last < _FIRST:
        return np.ones(len(ERRORS))
    scores = matches.scores[matches.hit][::-1]
    curves = [np.interp(confidence, scores, _running_mean(error)[::-1]) for error in matches.errors]
    return np.array([curve[_FIRST : last + 1].mean() for curve in curves])


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Means of the first 1, 2, … values (n,) that are no NaN: 0 before the first of these, 1 where there is none."""
    known = np.isfinite(values)
    if not known.any():
        return np.ones(len(values))
    return np.where(known, values, 0).cumsum() / np.maximum(known.cumsum(), 1)


def _check(
    truth: Sequence[NuScenesBoxes], found: Sequence[NuScenesBoxes], positions: np.ndarray, racks: Sequence[np.ndarray]
) -> None:
    if not truth or len(found) != len(truth) or len(racks) != len(truth):
        raise ValueError(
            f"found {len(truth)} samples with labels, {len(found)} with detections, {len(racks)} with racks, expected "
            "the same samples in all, one or more"
        )
    if positions.ndim != 2 or len(positions) != len(truth) or positions.shape[1] not in (2, 3):
        raise ValueError(f"found positions of shape {positions.shape}, expected ({len(truth)}, 2): of the vehicle")
    if not np.isfinite(positions).all():
        raise ValueError("found a position of the vehicle that is not finite, expected meters in the world")
    for place, (boxes, rack) in enumerate(zip(found, racks, strict=True)):
        if boxes.scores is None:
            raise ValueError(f"found no scores in sample {place} of {len(found)}, expected one for each detection")
        if len(boxes) > MOST_BOXES:
            raise ValueError(
                f"found {len(boxes)} detections in sample {place}, expected at most {MOST_BOXES}: keep the best"
            )
        if rack.ndim != 2 or rack.shape[1] != 7 or not np.isfinite(rack).all():
            raise ValueError(f"found racks of shape {rack.shape} in sample {place}, expected finite boxes (r, 7)")
