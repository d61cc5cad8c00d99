from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace

import numpy as np
import pytest

from crosspoint.eval.metrics.detection import nuscenes_matching
from crosspoint.eval.metrics.detection.nuscenes import DISTANCES, ERRORS, RANGES, NuScenesScores, nuscenes_scores
from crosspoint.scene.datasets.nuscenes import BOX_CLASSES
from crosspoint.scene.datasets.nuscenes_boxes import ATTRIBUTES, NuScenesBoxes

CAR, BICYCLE, BARRIER, CONE = (BOX_CLASSES.index(name) for name in ("car", "bicycle", "barrier", "traffic_cone"))
HERE = np.array([[600.0, 1600.0]])


def boxes(rows: list[tuple], scored: bool = False) -> NuScenesBoxes:
    """Rows: class, x, y from the vehicle, and in a last dict heading, speed, attribute, score, points, size."""
    given = [row[3] if len(row) > 3 else {} for row in rows]
    geometry = [
        [600 + x, 1600 + y, 1, *about.get("size", (4, 2, 1.5)), about.get("heading", 0.0)]
        for (_, x, y, *_), about in zip(rows, given, strict=True)
    ]
    return NuScenesBoxes(
        np.array(geometry, dtype=np.float64).reshape(-1, 7),
        np.array([row[0] for row in rows], dtype=np.int64),
        np.array([about.get("speed", (0.0, 0.0)) for about in given], dtype=np.float64).reshape(-1, 2),
        np.array([about.get("attribute", 0) for about in given], dtype=np.int64),
        np.array([about.get("score", 0.5) for about in given]) if scored else None,
        None if scored else np.array([about.get("points", 5) for about in given], dtype=np.int64),
    )


def scores(truth: list[list[tuple]], found: list[list[tuple]], **settings) -> NuScenesScores:
    place = HERE.repeat(len(truth), axis=0)
    return nuscenes_scores([boxes(rows) for rows in truth], [boxes(rows, True) for rows in found], place, **settings)


def random_samples(count: int, seed: int) -> tuple[list[NuScenesBoxes], list[NuScenesBoxes]]:
    """Labels, and detections that lie near some of them or anywhere; scores are few, so that many are equal."""
    generator = np.random.default_rng(seed)
    truth, found = [], []
    for _ in range(count):
        labels = generator.integers(len(BOX_CLASSES), size=generator.integers(40))
        near = [(label, *generator.uniform(-40, 40, 2), about(generator)) for label in labels]
        guesses = []
        for label, x, y, given in near:
            for _ in range(generator.integers(3)):
                moved = {**about(generator), "size": tuple(np.multiply(given["size"], generator.uniform(0.8, 1.2, 3)))}
                away = generator.normal(size=2)
                guesses.append((label if generator.random() < 0.9 else CAR, x + away[0], y + away[1], moved))
        guesses += [(generator.integers(10), *generator.uniform(-60, 60, 2), about(generator)) for _ in range(10)]
        truth.append(boxes(near))
        found.append(boxes(guesses, True))
    return truth, found


def about(generator: np.random.Generator) -> dict:
    speed = generator.normal(size=2)
    return {
        "heading": generator.uniform(-4, 4), "speed": tuple(speed), "score": float(generator.integers(1, 40) / 40),
        "attribute": int(generator.integers(-1, 8)), "points": int(generator.integers(3)),
        "size": tuple(generator.uniform(0.5, 5, 3)),
    }  # fmt: skip


def devkit() -> SimpleNamespace:
    """The parts of nuscenes-devkit that evaluate; it asks for an old NumPy, so nothing here depends on it."""
    pytest.importorskip("nuscenes", reason="needs nuscenes-devkit: pip install --no-deps nuscenes-devkit pyquaternion")
    names = ("detection.algo", "common.utils", "common.data_classes", "detection.data_classes")
    modules = [import_module(f"nuscenes.eval.{name}") for name in names]
    return SimpleNamespace(**{name: value for module in modules for name, value in vars(module).items()})


def devkit_boxes(kit: SimpleNamespace, samples: list[NuScenesBoxes]):
    """As the devkit filters them, so far as that needs no tables: by distance and by points."""
    result = kit.EvalBoxes()
    for place, sample in enumerate(samples):
        kept = []
        for row in range(len(sample)):
            x, y, z, length, width, height, heading = sample.geometry[row].tolist()
            box = kit.DetectionBox(
                str(place), (x, y, z), (width, length, height), (np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2)),
                tuple(sample.velocity[row]), (x - HERE[0, 0], y - HERE[0, 1], 0.0),
                -1 if sample.points is None else int(sample.points[row]), BOX_CLASSES[sample.labels[row]],
                -1.0 if sample.scores is None else float(sample.scores[row]),
                "" if sample.attributes[row] < 0 else ATTRIBUTES[sample.attributes[row]],
            )  # fmt: skip
            if box.ego_dist < RANGES[box.detection_name] and box.num_pts != 0:
                kept.append(box)
        result.add_boxes(str(place), kept)
    return result


@pytest.mark.parametrize("pairs", [2**21, 50])  # all at once, or sample by sample
def test_equals_the_devkit(pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    kit = devkit()
    monkeypatch.setattr(nuscenes_matching, "_AT_ONCE", pairs)
    truth, found = random_samples(12, seed=0)
    result = nuscenes_scores(truth, found, HERE.repeat(12, axis=0))
    labels, guesses = devkit_boxes(kit, truth), devkit_boxes(kit, found)
    errors = ("trans_err", "scale_err", "orient_err", "vel_err", "attr_err")
    for place, name in enumerate(BOX_CLASSES):
        for column, distance in enumerate(DISTANCES):
            data = kit.accumulate(labels, guesses, name, kit.center_distance, distance)
            assert np.isclose(result.ap[place, column], kit.calc_ap(data, 0.1, 0.1), rtol=0, atol=1e-9)
            if distance == 2.0:
                expected = np.array([kit.calc_tp(data, 0.1, error) for error in errors])
                defined = np.isfinite(result.errors[place])
                assert np.allclose(result.errors[place][defined], expected[defined], rtol=0, atol=1e-9)
    assert np.isnan(result.errors).sum() == 5
    assert 0.05 < result.mean_ap < 0.9


def test_the_score_equals_the_devkits() -> None:
    kit = devkit()
    config = kit.DetectionConfig(RANGES, "center_distance", list(DISTANCES), 2.0, 0.1, 0.1, 500, 5)
    truth, found = random_samples(4, seed=1)
    result, metrics = nuscenes_scores(truth, found, HERE.repeat(4, axis=0)), kit.DetectionMetrics(config)
    errors = ("trans_err", "scale_err", "orient_err", "vel_err", "attr_err")
    for place, name in enumerate(BOX_CLASSES):
        for column, distance in enumerate(DISTANCES):
            metrics.add_label_ap(name, distance, result.ap[place, column])
        for column, error in enumerate(errors):
            metrics.add_label_tp(name, error, result.errors[place, column])
    assert np.isclose(result.nds, metrics.nd_score, rtol=0, atol=1e-12)
    assert np.isclose(result.mean_ap, metrics.mean_ap, rtol=0, atol=1e-12)
    assert np.allclose(result.mean_errors, [metrics.tp_errors[error] for error in errors], rtol=0, atol=1e-12)
    figures = result.figures()
    assert figures["nds"] == 100 * result.nds and figures["map"] == 100 * result.mean_ap
    assert np.isclose(np.mean([figures[f"{name}_ap"] for name in BOX_CLASSES]), figures["map"])


def test_a_single_perfect_box_has_ap_1() -> None:
    car = (CAR, 5.0, 5.0, {"heading": 0.3, "speed": (1.0, 0.0)})
    result = scores([[car]], [[car]])
    assert np.allclose(result.ap[CAR], 1) and np.isclose(result.ap.sum(), 4)
    assert np.allclose(result.errors[CAR], 0) and result.errors[BICYCLE].tolist() == [1.0] * 5
    assert np.isclose(result.figures()["car_ap"], 100)


@pytest.mark.parametrize(("away", "expected"), [(0.4, 4), (0.5, 3), (0.9, 3), (1.5, 2), (3.0, 1), (4.0, 0)])
def test_a_box_is_found_nearer_than_each_distance(away: float, expected: int) -> None:
    result = scores([[(CAR, 0.0, 0.0)]], [[(CAR, away, 0.0)]])
    assert np.allclose(result.ap[CAR], [0.0] * (4 - expected) + [1.0] * expected)
    assert np.isclose(result.errors[CAR, 0], away if away < 2 else 1)


def test_errors_in_their_units() -> None:
    truth = [(CAR, 0.0, 0.0, {"heading": 3.0, "speed": (1.0, 1.0), "size": (4, 2, 2), "attribute": 5})]
    found = [(CAR, 0.3, 0.4, {"heading": -3.0, "speed": (1.0, 3.0), "size": (2, 2, 2), "attribute": 6})]
    expected = [0.5, 0.5, 2 * np.pi - 6, 2.0, 1.0]
    assert np.allclose(scores([truth], [found]).errors[CAR], expected)
    turned = [(BARRIER, 0.0, 0.0, {"heading": 0.2})], [(BARRIER, 0.0, 0.0, {"heading": 0.2 + np.pi})]
    result = scores([turned[0]], [turned[1]])
    assert np.isclose(result.errors[BARRIER, ERRORS.index("orientation")], 0)
    assert np.isnan(result.errors[BARRIER, 3:]).all() and np.isnan(result.errors[CONE, 2:]).all()


def test_what_a_label_does_not_say_is_no_error() -> None:
    unknown = {"speed": (np.nan, np.nan), "attribute": -1}
    truth = [(CAR, 0.0, 0.0, unknown), (CAR, 10.0, 0.0, {"attribute": 5})]
    found = [(CAR, 0.0, 0.0, {"score": 0.9}), (CAR, 10.0, 0.0, {"score": 0.8, "attribute": 6, "speed": (2.0, 0.0)})]
    result = scores([truth], [found])
    assert result.errors[CAR, 3] > 0 and result.errors[CAR, 4] > 0
    alone = scores([truth[:1]], [found[:1]])
    assert alone.errors[CAR, 3:].tolist() == [1.0, 1.0] and np.isclose(alone.ap[CAR, 0], 1)


def test_boxes_out_of_range_or_unseen_or_in_a_rack_do_not_count() -> None:
    car, bicycle = (CAR, 5.0, 5.0), (BICYCLE, 8.0, 8.0)
    far = [(CAR, 50.0, 0.0), (BICYCLE, 0.0, 40.0), (CONE, 30.0, 0.0), (CAR, 1.0, 1.0, {"points": 0})]
    racks = [np.array([[608.5, 1608.0, 1, 4, 1, 2, 0.5]])]
    result = scores([[car, bicycle, *far]], [[car, *far[:3], (BICYCLE, 8.2, 8.0)]], racks=racks)
    assert np.isclose(result.ap.sum(), 4) and np.isclose(result.ap[CAR].sum(), 4)
    beside = scores([[car, bicycle]], [[car, bicycle]], racks=[np.array([[608.5, 1612.0, 1, 4, 1, 2, 0.5]])])
    assert np.isclose(beside.ap.sum(), 8)
    near = [(CAR, 49.9, 0.0), (BICYCLE, 0.0, 39.9), (CONE, 29.9, 0.0)]
    assert np.isclose(scores([near], [near]).ap.sum(), 12)


def test_samples_and_classes_are_apart() -> None:
    car, cone = (CAR, 5.0, 5.0), (CONE, 5.0, 5.0)
    assert scores([[car], []], [[], [car]]).ap.sum() == 0
    assert scores([[car]], [[cone]]).ap.sum() == 0
    assert scores([[]], [[]]).nds == 0


def test_a_better_box_takes_the_label_first() -> None:
    first, second = (CAR, 0.3, 0.0, {"score": 0.9}), (CAR, 0.0, 0.0, {"score": 0.8})
    result = scores([[(CAR, 0.0, 0.0)]], [[second, first]])
    assert np.isclose(result.errors[CAR, 0], 0.3)


def test_precision_is_linear_between_recalls() -> None:
    """A better box that is wrong: precision goes from 0 at recall 0 to a half at recall 1."""
    wrong = (CAR, 20.0, 0.0, {"score": 0.95})
    recalls = np.arange(11, 101) / 100
    expected = np.clip(recalls / 2 - 0.1, 0, None).mean() / 0.9
    assert np.isclose(scores([[(CAR, 0.0, 0.0)]], [[(CAR, 0.0, 0.0), wrong]]).ap[CAR, 2], expected)


def test_wrong_input_is_named() -> None:
    truth, found = boxes([(CAR, 0.0, 0.0)]), boxes([(CAR, 0.0, 0.0)], True)
    with pytest.raises(
        ValueError, match="found 2 samples with labels, 1 with detections, 2 with racks, expected the same"
    ):
        nuscenes_scores([truth, truth], [found], HERE)
    with pytest.raises(ValueError, match=r"found positions of shape \(1, 2\), expected \(2, 2\)"):
        nuscenes_scores([truth, truth], [found, found], HERE)
    with pytest.raises(ValueError, match="found a position of the vehicle that is not finite"):
        nuscenes_scores([truth], [found], HERE * np.nan)
    with pytest.raises(ValueError, match="found no scores in sample 0 of 1"):
        nuscenes_scores([truth], [truth], HERE)
    many = boxes([(CAR, 0.0, 0.0)] * 501, True)
    with pytest.raises(ValueError, match="found 501 detections in sample 0, expected at most 500: keep the best"):
        nuscenes_scores([truth], [many], HERE)
    with pytest.raises(ValueError, match=r"found racks of shape \(1, 6\) in sample 0"):
        nuscenes_scores([truth], [found], HERE, [np.zeros((1, 6))])
