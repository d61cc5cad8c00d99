from __future__ import annotations

import doctest
import importlib.util
from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torchmetrics.functional.detection import panoptic_quality

import crosspoint.eval.metrics.panoptic_quality
from crosspoint.eval.metrics.panoptic_quality import PanopticSums, panoptic_rows, panoptic_scores, panoptic_sums

CLASSES, THINGS, IGNORED = 6, (0, 2, 4), -1
Frame = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


def frames(seed: int, count: int = 12, points: int = 500) -> Iterator[Frame]:
    """Blocks of points as objects, answers with wrong classes, borders that move, objects that are split or joined."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        truth = np.repeat(rng.integers(0, CLASSES - 1, 20), points // 20)  # the last class is never there
        objects = np.where(np.isin(truth, THINGS), np.repeat(rng.permutation(20), points // 20) // 2, 0)
        given, given_objects = (np.roll(each, rng.integers(0, 6)) for each in (truth, objects))
        given = np.where(rng.random(points) < 0.1, rng.integers(0, CLASSES - 1, points), given)
        given_objects = np.where(rng.random(points) < 0.2, given_objects + 1, given_objects)
        truth = np.where(rng.random(points) < 0.1, IGNORED, truth)
        yield given, np.where(np.isin(given, THINGS), given_objects, 0), truth, objects


def sums_of(some: Iterator[Frame], least: int) -> PanopticSums:
    made = (panoptic_sums(*frame, classes=CLASSES, least_points=least) for frame in some)
    return reduce(add, made, PanopticSums.empty(CLASSES))


def slow(some: Iterator[Frame], least: int) -> tuple[np.ndarray, ...]:
    """Set by set, as the definition says."""
    iou, matched, invented, missed = (np.zeros(CLASSES) for _ in range(4))
    for given, given_objects, truth, objects in some:
        points = [i for i in range(len(truth)) if truth[i] != IGNORED]
        for place in range(CLASSES):
            mine = [
                {i for i in points if given[i] == place and given_objects[i] == number}
                for number in {*given_objects.tolist()}
            ]
            theirs = [
                {i for i in points if truth[i] == place and objects[i] == number} for number in {*objects.tolist()}
            ]
            pairs = [(a, b) for a in mine for b in theirs if len(a & b) > 0.5 * len(a | b)]
            iou[place] += sum(len(a & b) / len(a | b) for a, b in pairs)
            matched[place] += len(pairs)
            invented[place] += sum(len(a) >= least and all(a is not x for x, _ in pairs) for a in mine)
            missed[place] += sum(len(b) >= least and all(b is not x for _, x in pairs) for b in theirs)
    return iou, matched, invented, missed


@pytest.mark.parametrize("least", [1, 15])
def test_sums_are_those_of_sets(least: int) -> None:
    sums = sums_of(frames(0), least)
    for mine, expected in zip(sums.parts[:4], slow(frames(0), least), strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12)
    assert sums.matched.sum() > 20 and sums.invented.sum() > 0 and sums.missed.sum() > 0


def devkit() -> Any:
    """nuScenes' evaluator, read as a file: its package imports OpenCV."""
    package = importlib.util.find_spec("nuscenes")
    if package is None or not package.submodule_search_locations:
        pytest.skip("nuscenes-devkit is not installed: pip install --no-deps nuscenes-devkit")
    file = Path(package.submodule_search_locations[0]) / "eval/panoptic/panoptic_seg_evaluator.py"
    spec = importlib.util.spec_from_file_location("panoptic_seg_evaluator", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("least", [15, 50])
def test_figures_are_those_of_the_devkit(least: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np, "float", float, raising=False)  # its older releases are for an older numpy
    evaluator = devkit().PanopticEval(CLASSES + 1, ignore=[0], min_points=least)
    for given, given_objects, truth, objects in frames(1):
        evaluator.addBatch(given + 1, given_objects, truth + 1, objects)
    pq, sq, rq, of_class, _, _ = evaluator.getPQ()
    iou = evaluator.getSemIoU()[1]
    sums = sums_of(frames(1), least)
    scores = panoptic_scores(sums, THINGS)
    assert [scores[name] for name in ("pq", "sq", "rq")] == pytest.approx([100 * pq, 100 * sq, 100 * rq])
    np.testing.assert_allclose(sums.qualities[0], of_class[1:])
    dagger = [(of_class if place in THINGS else iou)[1 + place] for place in range(CLASSES)]
    assert scores["pq_dagger"] == pytest.approx(100 * np.mean(dagger))
    assert scores["pq_present"] == pytest.approx(scores["pq"] * CLASSES / (CLASSES - 1))


def test_figures_are_those_of_torchmetrics_where_every_segment_counts() -> None:
    """What it does with points that are ignored is another rule: here is none."""
    some = [(a, b, np.where(c == IGNORED, 1, c), np.where(c == IGNORED, 0, d)) for a, b, c, d in frames(2)]
    sums = sums_of(iter(some), 1)
    images = [[torch.from_numpy(np.stack(part, axis=-1)) for part in ((a, b), (c, d))] for a, b, c, d in some]
    given, truth = (torch.stack(part) for part in zip(*images, strict=True))
    things, stuff = {0, 2, 4}, {1, 3, 5}
    found = panoptic_quality(given, truth, things, stuff, return_sq_and_rq=True, return_per_class=True)
    order = [*things, *stuff]
    expected = np.stack(sums.qualities, axis=1)[order]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def frame(given: list[int], given_objects: list[int], truth: list[int], objects: list[int]) -> Frame:
    return np.array(given), np.array(given_objects), np.array(truth), np.array(objects)


def test_small_segments_are_matches_but_no_mistakes() -> None:
    small = frame([0] * 14, [0] * 14, [1] * 14, [0] * 14)
    sums = panoptic_sums(*small, classes=2, least_points=15)
    assert sums.invented.tolist() == sums.missed.tolist() == [0, 0]
    assert panoptic_sums(*small, classes=2, least_points=14).missed.tolist() == [0, 1]
    right = panoptic_sums(*frame([1] * 3, [5] * 3, [1] * 3, [7] * 3), classes=2, least_points=15)
    assert right.matched.tolist() == [0, 1] and right.qualities[0].tolist() == [0, 1]


def test_points_are_counted_after_those_that_are_ignored_are_left_out() -> None:
    """Twenty points of one object, six of them ignored: an object of fourteen."""
    sums = panoptic_sums(*frame([0] * 20, [1] * 20, [-1] * 6 + [1] * 14, [2] * 20), classes=2, least_points=15)
    assert sums.missed.sum() == sums.invented.sum() == 0 and sums.confusion.sum() == 14


def test_half_is_no_match_and_a_perfect_answer_is_100() -> None:
    half = panoptic_sums(*frame([0] * 4, [1] * 4, [0] * 4, [1, 1, 2, 2]), classes=1, least_points=1)
    assert (half.matched[0], half.invented[0], half.missed[0]) == (0, 1, 2)
    perfect = reduce(add, (panoptic_sums(c, d, c, d, classes=CLASSES, least_points=1) for _, _, c, d in frames(3)))
    scores = panoptic_scores(perfect, THINGS)
    assert scores["pq_present"] == scores["miou"] == 100 and scores["pq"] == pytest.approx(100 * 5 / 6)
    assert scores["pq_stuff"] == pytest.approx(200 / 3) and scores["pq_things"] == 100


def test_numbers_of_objects_do_not_matter_but_their_classes_do() -> None:
    given, objects, truth, true = next(frames(4))
    shuffled = np.random.default_rng(0).permutation(100)
    one, other = (
        panoptic_sums(given, each, truth, true, classes=CLASSES, least_points=1)
        for each in (objects, shuffled[objects])
    )
    assert all(np.array_equal(a, b) for a, b in zip(one.parts, other.parts, strict=True))
    two = panoptic_sums(*frame([0, 0, 1, 1], [3] * 4, [0, 0, 1, 1], [9] * 4), classes=2, least_points=1)
    assert two.matched.tolist() == [1, 1]


def test_rows_tell_what_scores_average() -> None:
    sums = sums_of(frames(5), 15)
    rows = panoptic_rows(sums, list("abcdef"), THINGS)
    assert [row["kind"] for row in rows] == ["thing", "stuff"] * 3
    assert rows[-1]["pq"] is None and rows[-1]["iou"] is None and rows[-1]["matched"] == 0
    pq = [row["pq"] or 0.0 for row in rows]
    scores = panoptic_scores(sums, THINGS)
    assert scores["pq"] == pytest.approx(np.mean(pq))
    assert scores["pq_things"] == pytest.approx(np.mean(pq[::2])) and scores["pq_stuff"] == pytest.approx(
        np.mean(pq[1::2])
    )
    rebuilt = [(row["matched"], row["invented"], row["missed"]) for row in rows]
    assert rebuilt == [*zip(sums.matched, sums.invented, sums.missed, strict=True)]


def test_an_empty_frame_adds_nothing() -> None:
    none = np.zeros(0, dtype=np.int64)
    for part in panoptic_sums(none, none, none, none, classes=3, least_points=1).parts:
        assert part.sum() == 0 and len(part) == 3
    ignored = panoptic_sums(*frame([0, 1], [0, 1], [-1, -1], [0, 0]), classes=2, least_points=1)
    assert all(part.sum() == 0 for part in ignored.parts)


def test_what_does_not_fit_is_refused() -> None:
    four = frame([0, 1], [0, 0], [0, 1], [0, 0])
    with pytest.raises(ValueError, match=r"found classes and objects of shapes \(1,\), \(2,\)"):
        panoptic_sums(four[0][:1], *four[1:], classes=2, least_points=1)
    with pytest.raises(ValueError, match="expected integers"):
        panoptic_sums(four[0] * 0.5, *four[1:], classes=2, least_points=1)
    with pytest.raises(ValueError, match="found predicted classes 0…1, expected 0 to 0"):
        panoptic_sums(*four, classes=1, least_points=1)
    with pytest.raises(ValueError, match="found no labeled point, expected some"):
        panoptic_scores(PanopticSums.empty(2), [0])
    with pytest.raises(ValueError, match=r"found the things \[2\], expected places from 0 to 1"):
        panoptic_scores(panoptic_sums(*four, classes=2, least_points=1), [2])


def test_examples() -> None:
    assert doctest.testmod(crosspoint.eval.metrics.panoptic_quality).failed == 0
