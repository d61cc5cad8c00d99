"""Panoptic quality: how well objects are found and outlined, and how well everything else is.

PQ of a class is the IoU of the matched segments, added up, over matches and half of all mistakes (Kirillov et al.,
2019, https://arxiv.org/abs/1801.00868). The rules for points are those of SemanticKITTI's evaluation, which nuScenes
took over (https://github.com/nutonomy/nuscenes-devkit, eval/panoptic): small segments are no mistakes, and means are of
all classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.segmentation_scores import class_ious

MATCHED = 0.5  # IoU above which two segments are the same: no other one can then have as much


@dataclass(frozen=True, eq=False)
class PanopticSums:
    """What frames add to the panoptic quality of K classes; sums of frames, and of parts of a split, add up.

    Args:
        iou: (K,) float64, IoU of the matched segments, added up.
        matched: (K,) int64, true positives.
        invented: (K,) int64, false positives: segments of enough points that match none.
        missed: (K,) int64, false negatives.
        confusion: (K, K) int64 points, row the true class, column the predicted one.
    """

    iou: np.ndarray
    matched: np.ndarray
    invented: np.ndarray
    missed: np.ndarray
    confusion: np.ndarray

    @classmethod
    def empty(cls, classes: int) -> PanopticSums:
        """Of no frame."""
        none = np.zeros(classes, dtype=np.int64)
        return cls(np.zeros(classes), none, none, none, np.zeros((classes, classes), dtype=np.int64))

    def __add__(self, other: PanopticSums) -> PanopticSums:
        return PanopticSums(*(mine + theirs for mine, theirs in zip(self.parts, other.parts, strict=True)))

    @property
    def parts(self) -> tuple[np.ndarray, ...]:
        """The five sums, in the order of the constructor."""
        return self.iou, self.matched, self.invented, self.missed, self.confusion

    @property
    def qualities(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """PQ, SQ and RQ of each class, (K,) float64 from 0 to 1; 0 where nothing was to match."""
        mistakes = (self.invented + self.missed) / 2
        sq = self.iou / np.maximum(self.matched, 1)
        rq = self.matched / np.maximum(self.matched + mistakes, 0.5)
        return sq * rq, sq, rq


def panoptic_sums(
    predicted: np.ndarray,
    predicted_objects: np.ndarray,
    truth: np.ndarray,
    true_objects: np.ndarray,
    *,
    classes: int,
    least_points: int,
    ignored: int = IGNORED,
) -> PanopticSums:
    """Match the segments of one frame; a segment is all points of one class and one object.

    Points whose true class is ignored are left out first. Segments of the same class match where their IoU is above
    ½, however small they are. An unmatched one is a mistake if it has `least_points` or more.

    Args:
        predicted: (N,) integers, from 0 to `classes` − 1.
        predicted_objects: (N,) integers; the same number in two classes is two segments. 0 where a class has no
            objects: then it is one segment.
        truth: (N,) integers, from 0 to `classes` − 1 or `ignored`.
        true_objects: (N,) integers, likewise.
        classes: K.
        least_points: of a mistake: 15 for nuScenes, 50 for SemanticKITTI.
        ignored: true class of points that do not count.

    Raises:
        ValueError: if shapes differ, or a class is out of range.
    """
    arrays = [np.asarray(each) for each in (predicted, predicted_objects, truth, true_objects)]
    shapes = {each.shape for each in arrays}
    if len(shapes) > 1 or arrays[0].ndim != 1 or any(each.dtype.kind not in "iu" for each in arrays):
        raise ValueError(
            f"found classes and objects of shapes {', '.join(str(each.shape) for each in arrays)} and types "
            f"{', '.join(str(each.dtype) for each in arrays)}, expected integers (N,), one for each point of the frame"
        )
    counted = arrays[2] != ignored
    given, given_objects, true, objects = (each[counted].astype(np.int64) for each in arrays)
    for name, labels in (("predicted", given), ("true", true)):
        if len(labels) and not (0 <= labels.min() and labels.max() < classes):
            raise ValueError(
                f"found {name} classes {labels.min()}…{labels.max()}, expected 0 to {classes - 1}: pass the number of "
                "classes"
            )
    confusion = np.bincount(true * classes + given, minlength=classes**2).reshape(classes, classes)
    mine, theirs = _segments(given, given_objects), _segments(true, objects)
    same = given == true
    keys, shared = np.unique(mine.of_point[same] * len(theirs.points) + theirs.of_point[same], return_counts=True)
    pairs = np.divmod(keys, max(1, len(theirs.points)))
    union = mine.points[pairs[0]] + theirs.points[pairs[1]] - shared
    iou = shared / union
    found, twins = (side[iou > MATCHED] for side in pairs)
    return PanopticSums(
        np.bincount(mine.classes[found], weights=iou[iou > MATCHED], minlength=classes),
        np.bincount(mine.classes[found], minlength=classes),
        np.bincount(mine.unmatched(found, least_points), minlength=classes),
        np.bincount(theirs.unmatched(twins, least_points), minlength=classes),
        confusion,
    )


@dataclass(frozen=True, eq=False)
class _Segments:
    of_point: np.ndarray  # (N,) a point's segment
    classes: np.ndarray  # (S,)
    points: np.ndarray  # (S,) how many

    def unmatched(self, matched: np.ndarray, least_points: int) -> np.ndarray:
        """The classes of segments of enough points that are not among those matched."""
        left = self.points >= least_points
        left[matched] = False
        return self.classes[left]


def _segments(classes: np.ndarray, objects: np.ndarray) -> _Segments:
    numbers, places = np.unique(objects, return_inverse=True)  # small ones, so that a key of both is one number
    keys, of_point, counts = np.unique(
        classes * max(1, len(numbers)) + places.reshape(-1), return_inverse=True, return_counts=True
    )
    return _Segments(of_point.reshape(-1), keys // max(1, len(numbers)), counts)


def panoptic_scores(sums: PanopticSums, things: Sequence[int]) -> dict[str, float]:
    """What is reported of a panoptic segmentation, in percent.

    - pq, sq, rq: panoptic, segmentation and recognition quality, means over all classes; 0 for a class that neither
      truth nor prediction has, as the benchmarks count.
    - pq_present: mean over the classes that truth or prediction has. Equal where every class occurs.
    - pq_dagger: PQ of things and IoU of stuff (Porzi et al., 2019, https://arxiv.org/abs/1905.01220).
    - pq_things, sq_things, rq_things, pq_stuff, sq_stuff, rq_stuff: means over the one kind; left out where there is
      no such class.
    - miou: mean IoU over the classes that truth or prediction has, as `segmentation_scores` has it.

    Args:
        sums: of K classes.
        things: places of the classes with objects; the others are stuff.

    Raises:
        ValueError: if no point counts, or a thing is no class.

    Example:
        >>> one_car_of_two = PanopticSums(*map(np.array, ([0.9, 0.8], [1, 1], [0, 0], [0, 1], [[9, 0], [1, 9]])))
        >>> {name: round(value, 1) for name, value in panoptic_scores(one_car_of_two, [1]).items()}["pq_things"]
        53.3
    """
    if int(sums.confusion.sum()) == 0:
        raise ValueError("found no labeled point, expected some: check the labels of the split")
    thing = np.zeros(len(sums.iou), dtype=bool)
    if not all(0 <= place < len(thing) for place in things):
        raise ValueError(f"found the things {list(things)}, expected places from 0 to {len(thing) - 1}")
    thing[list(things)] = True
    qualities = dict(zip(("pq", "sq", "rq"), sums.qualities, strict=True))
    ious = class_ious(sums.confusion)
    scores = {name: _percent(values) for name, values in qualities.items()}
    scores["pq_present"] = _percent(qualities["pq"][~np.isnan(ious)])
    scores["pq_dagger"] = _percent(np.where(thing, qualities["pq"], np.nan_to_num(ious)))
    for kind, members in (("things", thing), ("stuff", ~thing)):
        scores |= {f"{name}_{kind}": _percent(values[members]) for name, values in qualities.items() if members.any()}
    return {**scores, "miou": _percent(ious[~np.isnan(ious)])}


def panoptic_rows(sums: PanopticSums, classes: Sequence[str], things: Sequence[int]) -> list[JsonObject]:
    """One row per class, as JSON holds it: qualities and IoU in percent, counts of segments, its row of the matrix.

    Qualities and IoU are None where neither truth nor prediction has the class.
    """
    rows: list[JsonObject] = []
    ious = class_ious(sums.confusion)
    for place, name in enumerate(classes):
        pq, sq, rq = (None if np.isnan(ious[place]) else 100 * float(each[place]) for each in sums.qualities)
        rows.append(
            {
                "class": name,
                "kind": "thing" if place in things else "stuff",
                "pq": pq,
                "sq": sq,
                "rq": rq,
                "iou": None if np.isnan(ious[place]) else 100 * float(ious[place]),
                "matched": int(sums.matched[place]),
                "invented": int(sums.invented[place]),
                "missed": int(sums.missed[place]),
                "points_given": sums.confusion[place].tolist(),
            }
        )
    return rows


def _percent(values: np.ndarray) -> float:
    return 100.0 * float(values.mean())
