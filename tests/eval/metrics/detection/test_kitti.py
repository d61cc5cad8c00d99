from __future__ import annotations

import numpy as np
import pytest

from crosspoint.eval.metrics.detection.kitti import (
    CLASSES,
    DIFFICULTIES,
    LOOSE,
    METRICS,
    STRICT,
    KittiScores,
    kitti_scores,
    recall_thresholds,
)
from crosspoint.scene.datasets.kitti_labels import KittiLabels
from tests.eval.metrics.detection import slow_kitti
from tests.eval.metrics.detection.kitti_frames import objects, random_frames


def scores(truth: list[list[tuple]], found: list[list[tuple]], **settings) -> KittiScores:
    return kitti_scores([objects(rows) for rows in truth], [objects(rows, True) for rows in found], **settings)


def r40(result: KittiScores, metric: str, difficulty: str = "easy", name: str = "Car") -> float:
    return result.r40[METRICS.index(metric), result.classes.index(name), DIFFICULTIES.index(difficulty)]


@pytest.mark.parametrize("least", [STRICT, LOOSE])
def test_equals_the_rules_read_literally(least) -> None:
    truth, found = random_frames(60, seed=0)
    result = kitti_scores(truth, found, least=least)
    assert result.valid.min() >= 1 and result.valid.sum() > 100
    for place, metric in enumerate(("2d", "bev", "3d")):
        tables = slow_kitti.tables(truth, found, metric)
        for c, name in enumerate(CLASSES):
            for d in range(3):
                limit = least[name][place]
                expected, alike = slow_kitti.curves(truth, found, tables, metric, name.lower(), d, limit)
                assert np.allclose(result.precision[METRICS.index(metric), c, d], expected, rtol=0, atol=1e-12)
                if metric == "2d":
                    assert np.allclose(result.precision[METRICS.index("aos"), c, d], alike, rtol=0, atol=1e-12)
    assert np.unique(result.precision[METRICS.index("bev"), 0]).size > 5  # there is something to compare


def test_averages_are_means_over_positions_of_recall() -> None:
    precision = np.random.default_rng(0).random((4, 1, 3, 41))
    result = KittiScores(("Car",), precision, np.ones((1, 3), dtype=np.int64))
    assert np.isclose(result.r40[1, 0, 2], 100 * sum(precision[1, 0, 2, place] for place in range(1, 41)) / 40)
    assert np.isclose(result.r11[3, 0, 1], 100 / 11 * sum(precision[3, 0, 1, place] for place in range(0, 41, 4)))
    assert result.figures()["car_3d_moderate"] == result.figures()["mean_3d_moderate"] == result.r40[3, 0, 1]
    assert result.figures(11)["car_2d_easy"] == result.r11[0, 0, 0]
    with pytest.raises(ValueError, match="found 12 positions of recall, expected 40 or 11"):
        result.figures(12)


@pytest.mark.parametrize(("number", "expected"), [(1, 0.0), (3, 5.0), (10, 22.5), (40, 97.5), (41, 100.0), (90, 100.0)])
def test_perfect_detections_score_by_their_number(number: int, expected: float) -> None:
    """There is a threshold for each object up to 41, and the first is left out."""
    rows = [[("Car", 0.0, 10.0, 0.3, {"score": 0.1 + 0.5 * place / number})] for place in range(number)]
    result = scores(rows, rows)
    for metric in METRICS:
        assert np.isclose(r40(result, metric), expected)
    assert np.isclose(result.r11[0, 0, 0], 100 / 11 * len(range(0, min(number, 41), 4)))
    assert result.valid.tolist() == [[number] * 3, [0] * 3, [0] * 3]
    assert result.r40[:, 1:].max() == 0  # classes that nothing is labeled of


def car(z: float, score: float = 0.5, **about) -> tuple:
    return ("Car", 0.0, z, 0.0, {"score": score, **about})


def test_a_van_found_as_a_car_is_no_mistake() -> None:
    cars = [car(z, 0.2) for z in (10, 20, 30)]
    alone = scores([cars], [cars])
    with_van = scores([[*cars, ("Van", 5.0, 15.0, 0.0)]], [[*cars, ("Van", 5.0, 15.0, 0.0, {"score": 0.9})]])
    as_car = [("Car", 5.0, 15.0, 0.0, {"score": 0.9})]
    near_van = scores([[*cars, ("Van", 5.0, 15.0, 0.0, {"height": 45})]], [[*cars, *as_car]], least=LOOSE)
    nowhere = scores([cars], [[*cars, *as_car]], least=LOOSE)
    assert r40(alone, "bev") == r40(with_van, "bev") == r40(near_van, "bev") == 5.0
    assert np.isclose(r40(nowhere, "bev"), 5.0 * 3 / 4)
    assert near_van.valid[0, 0] == 3


def test_dont_care_excuses_in_the_image_alone() -> None:
    cars = [car(z, 0.2) for z in (10, 20, 30)]
    wrong = car(60, 0.9, box=[100, 100, 150, 150])
    region = ("DontCare", -1000.0, 1000.0, -10.0, {"box": [90, 90, 160, 160]})
    result = scores([[*cars, region]], [[*cars, wrong]])
    assert r40(result, "2d") == 5.0 and np.isclose(r40(result, "bev"), 3.75) and np.isclose(r40(result, "3d"), 3.75)
    half = ("DontCare", -1000.0, 1000.0, -10.0, {"box": [90, 90, 134, 160]})  # 68 % of the detection
    assert np.isclose(r40(scores([[*cars, half]], [[*cars, wrong]]), "2d"), 3.75)


def test_a_low_detection_is_ignored_and_its_object_still_counts() -> None:
    truth = [car(10), car(20), car(30)]
    found = [car(10, 0.9), car(20, 0.8), car(30, 0.7, height=39.0)]
    result = scores([truth], [found])
    assert result.valid[0].tolist() == [3, 3, 3]
    assert np.isclose(r40(result, "3d"), 2.5) and r40(result, "3d", "moderate") == 5.0
    assert r40(scores([truth], [[*found[:2], car(30, 0.7, height=40.0)]]), "3d") == 5.0  # 40 pixels are enough
    low = scores([[car(10, height=40.0), car(20)]], [[car(10), car(20)]])
    assert low.valid[0].tolist() == [1, 2, 2]  # and too few for an object


def test_a_low_detection_of_another_class_is_taken_before_its_class_is_looked_at() -> None:
    truth = [("Car", 0.0, 10.0, 0.0), ("Car", 0.0, 20.0, 0.0)]
    low = ("Pedestrian", 0.0, 10.0, 0.0, {"score": 0.95, "height": 20.0, "box": [550, 135, 660, 155]})
    named = objects([low], True)
    sized = KittiLabels(named.names, named.truncation, named.occlusion, named.alpha, named.image_boxes,
                        np.array([[1.5, 1.6, 3.9]]), named.positions, named.rotation_y, named.scores)  # fmt: skip
    both = objects([car(10, 0.9), car(20, 0.8)], True)
    joined = KittiLabels(
        [*both.names, *sized.names],
        *(np.concatenate([getattr(both, each), getattr(sized, each)]) for each in (
            "truncation", "occlusion", "alpha", "image_boxes", "sizes", "positions", "rotation_y", "scores")),
    )  # fmt: skip
    result = kitti_scores([objects(truth)], [joined])
    assert np.isclose(result.precision[METRICS.index("bev"), 0, 0].sum(), 1)  # one score was stored, not two
    assert np.isclose(kitti_scores([objects(truth)], [both]).precision[METRICS.index("bev"), 0, 0].sum(), 2)


def test_an_object_takes_the_largest_overlap_and_the_other_is_a_mistake() -> None:
    result = scores([[car(10), car(20), car(30)]], [[car(10.1, 0.9), car(10, 0.8), car(20, 0.7), car(30, 0.6)]])
    assert np.isclose(r40(result, "bev"), 5.0 * 3 / 4)


def test_occluded_and_truncated_objects_are_ignored_where_a_difficulty_says_so() -> None:
    hard = [car(10, occlusion=1), car(15, occlusion=2), car(20, truncation=0.2), car(25, truncation=0.45), car(30)]
    assert scores([hard], [hard]).valid[0].tolist() == [1, 3, 5]
    assert scores([[car(10, occlusion=3), car(20, truncation=0.6)]], [hard]).valid[0].tolist() == [0, 0, 0]


def test_orientation_counts_half_where_it_is_off_by_90_degrees() -> None:
    rows = [[car(10, 0.1 + place / 100, alpha=0.0)] for place in range(50)]
    for alpha, share in ((0.0, 1.0), (np.pi / 2, 0.5), (np.pi, 0.0), (2 * np.pi, 1.0)):
        turned = [[car(10, 0.1 + place / 100, alpha=alpha)] for place in range(50)]
        result = scores(rows, turned)
        assert r40(result, "2d") == 100.0 and np.isclose(r40(result, "aos"), 100 * share)
    without = scores(rows, [[car(10, 0.5, alpha=-10.0)]] * 50)
    assert np.isnan(r40(without, "aos")) and "car_aos_easy" not in without.figures()


def test_names_are_compared_in_lower_case_and_frames_may_be_empty() -> None:
    truth, found = [[car(10)], [], [car(20)]], [[("cAR", 0.0, 10.0, 0.0)], [], []]
    upper = objects([car(10)], True)
    lower = KittiLabels(["cAR"], *(getattr(upper, name) for name in (
        "truncation", "occlusion", "alpha", "image_boxes", "sizes", "positions", "rotation_y", "scores")))  # fmt: skip
    result = kitti_scores([objects(rows) for rows in truth], [lower, objects([], True), objects([], True)])
    assert result.precision[0, 0, 0, 0] == 1 and result.valid[0, 0] == 2
    assert len(found) == 3
    assert kitti_scores([objects([])], [objects([], True)]).r40.max() == 0


def test_thresholds_go_on_with_recall() -> None:
    few = recall_thresholds(np.array([0.1, 0.9, 0.5]), 3)
    assert few.tolist() == [0.9, 0.5, 0.1]
    many = recall_thresholds(np.linspace(0, 1, 4000), 4000)
    assert len(many) == 41 and np.allclose(many, 1 - np.arange(41) / 40, atol=5e-4)
    assert recall_thresholds(np.zeros(0), 0).tolist() == []


def test_wrong_input_is_named() -> None:
    truth, found = objects([car(10)]), objects([car(10)], True)
    with pytest.raises(ValueError, match=r"found detections of 1 frames, expected 2"):
        kitti_scores([truth, truth], [found])
    with pytest.raises(ValueError, match=r"found detections of 0 frames, expected 0, one list for each of 1 or more"):
        kitti_scores([], [])
    with pytest.raises(ValueError, match="found no scores in frame 1 of 2, expected one for each detection"):
        kitti_scores([truth, truth], [found, truth])
    for wrong in (["Tram"], []):
        with pytest.raises(
            ValueError, match=r"found the class (Tram|None), expected some of: Car, Pedestrian, Cyclist"
        ):
            kitti_scores([truth], [found], classes=wrong)
