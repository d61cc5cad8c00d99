"""AP by the distance of centers on any frames: equal to nuScenes' where that counts everything; closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from crosspoint.eval.metrics.detection.nuscenes import nuscenes_scores
from crosspoint.eval.supervised.center_scores import center_scores
from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES
from crosspoint.scene.datasets.nuscenes_boxes import NO_ATTRIBUTE, NuScenesBoxes
from crosspoint.scene.detection.found_boxes import FoundBoxes

NAMES = ["car", "person"]
SIZE = (4.0, 2.0, 1.5)


def truth(*places: float, label: int = 0, heading: float = 0.0, size: tuple[float, float, float] = SIZE) -> Boxes:
    """Boxes of a class at some x."""
    rows = [[x, 0, 0, *size, heading] for x in places]
    return Boxes(
        torch.tensor(rows, dtype=torch.float64).reshape(-1, 7), torch.full((len(rows),), label, dtype=torch.int64)
    )


def said(boxes: Boxes, scores: list[float] | None = None) -> FoundBoxes:
    given = torch.linspace(0.9, 0.5, len(boxes.labels)) if scores is None else torch.tensor(scores)
    return FoundBoxes(boxes.geometry.float(), boxes.labels, given)


def test_equals_nuscenes_where_that_counts_every_box() -> None:
    """Its ranges hold all, no label lacks a return, and no class is free of a heading: cones and barriers are."""
    generator = np.random.default_rng(0)
    names = [name for name in BOX_CLASSES if name not in ("traffic_cone", "barrier")]
    numbers = np.array([BOX_CLASSES.index(name) for name in names])
    labeled, detected, ours, others = [], [], [], []
    for _ in range(12):
        count = 30
        kinds = generator.integers(len(names), size=count)
        geometry = generator.uniform([-25] * 3 + [0.5] * 3 + [-4], [25] * 3 + [4] * 4, (count, 7))
        near = geometry + generator.normal(size=geometry.shape) * [0.8, 0.8, 0.1, 0.05, 0.05, 0.05, 0.5]
        near[:, 3:6] = near[:, 3:6].clip(min=0.1)
        near, scores = near.astype(np.float32), (generator.integers(1, 40, count) / 64).astype(np.float32)
        labeled.append(Boxes(torch.from_numpy(geometry), torch.from_numpy(kinds)))
        detected.append(FoundBoxes(torch.from_numpy(near), torch.from_numpy(kinds), torch.from_numpy(scores)))
        rest = np.zeros((count, 2)), np.full(count, NO_ATTRIBUTE)
        ours.append(NuScenesBoxes(geometry, numbers[kinds], *rest, points=np.ones(count, dtype=np.int64)))
        others.append(NuScenesBoxes(near.astype(np.float64), numbers[kinds], *rest, scores=scores.astype(np.float64)))
    expected = nuscenes_scores(ours, others, np.zeros((12, 2)))
    figures, rows = center_scores(detected, labeled, names)
    ap, errors = 100 * expected.ap[numbers], expected.errors[numbers, :3]
    for place, row in enumerate(rows):
        assert [row[f"ap_{each}m"] for each in ("0.5", "1", "2", "4")] == ap[place].tolist()
        assert [row[f"{each}_error"] for each in ("translation", "scale", "orientation")] == errors[place].tolist()
    assert figures["map_centers"] == pytest.approx(ap.mean()) and 5 < ap.mean() < 95
    assert figures["translation_error"] == pytest.approx(errors[:, 0].mean())
    assert figures["nds_like"] == pytest.approx((5 * ap.mean() + 100 * (1 - errors.mean(axis=0)).clip(0).sum()) / 8)


def test_labels_as_answers_score_100() -> None:
    frames = [truth(0, 10, 20), truth(5, 15, label=1, heading=0.3), truth()]
    figures, rows = center_scores([said(each) for each in frames], frames, NAMES)
    errors = {f"{name}_error": 0 for name in ("translation", "scale", "orientation")}
    assert figures == pytest.approx({"map_centers": 100, "nds_like": 100, **errors}, abs=1e-4)
    assert [row["ap_centers"] for row in rows] == pytest.approx([100, 100])


@pytest.mark.parametrize(("away", "expected"), [(0.4, 100), (0.6, 75), (1.5, 50), (3.0, 25), (5.0, 0)])
def test_a_box_is_found_nearer_than_each_of_four_distances(away: float, expected: float) -> None:
    figures, _ = center_scores([said(truth(away))], [truth(0.0)], NAMES)
    assert figures["map_centers"] == pytest.approx(expected)
    assert figures["translation_error"] == pytest.approx(away if away < 2 else 1)


def test_errors_are_those_of_the_boxes() -> None:
    """Twice as long: an IoU of a half; a quarter of a turn; nothing of the height of the center."""
    found = truth(0.0, heading=math.pi / 2, size=(8.0, 2.0, 1.5))
    found.geometry[:, 2] = 3.0
    figures, _ = center_scores([said(found)], [truth(0.0)], NAMES)
    assert figures["scale_error"] == pytest.approx(0.5) and figures["orientation_error"] == pytest.approx(math.pi / 2)
    assert figures["nds_like"] == pytest.approx((500 + 100 + 50 + 0) / 8)


def test_a_class_without_objects_does_not_count() -> None:
    figures, rows = center_scores([said(truth(0.0))], [truth(0.0)], NAMES)
    assert figures["map_centers"] == pytest.approx(100)
    assert rows[1]["class"] == "person" and {value for key, value in rows[1].items() if key != "class"} == {None}


def test_nothing_found_scores_nothing() -> None:
    figures, _ = center_scores([said(truth())], [truth(0.0)], NAMES)
    assert figures["map_centers"] == figures["nds_like"] == 0 and figures["scale_error"] == 1


def test_boxes_without_an_extent_and_without_an_end_are_measured() -> None:
    """A flat label is found by its center; a size that overflowed is a wrong size."""
    found = said(truth(0.0))
    found.geometry[0, 3] = math.inf
    figures, _ = center_scores([found], [truth(0.0, size=(4.0, 2.0, 0.0))], NAMES)
    assert figures["map_centers"] == pytest.approx(100) and figures["scale_error"] == pytest.approx(1)


def test_frames_move_together_and_their_order_is_nothing() -> None:
    """Invariance: another origin, another order of frames."""
    frames, found = [truth(0, 9, 18), truth(3, label=1)], [truth(0.7, 8, 30), truth(3.2, label=1)]
    first, _ = center_scores([said(each) for each in found], frames, NAMES)
    for boxes in (*frames, *found):
        boxes.geometry[:, :2] += torch.tensor([100.0, -50.0])
    second, _ = center_scores([said(each) for each in found[::-1]], frames[::-1], NAMES)
    assert first == pytest.approx(second, abs=1e-4)


def test_frames_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="found detections of 0 frames, expected 1"):
        center_scores([], [truth(0.0)], NAMES)
    with pytest.raises(ValueError, match="found no box in 1 frames to measure on"):
        center_scores([said(truth())], [truth()], NAMES)
