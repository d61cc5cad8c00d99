from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.spatial import cKDTree

from crosspoint.eval.corruptions import SUITES, corrupt
from crosspoint.eval.corruptions.modelnet40_c import boxed, free_form
from crosspoint.eval.metrics.corruption_error import (
    DGCNN,
    DGCNN_CLEAN,
    MINKUNET18,
    mean_corruption_error,
    mean_frame_error,
    mean_resilience,
    relative_mean_corruption_error,
)

ALL = [(suite, name) for suite, each in SUITES.items() for name in each.corruptions]


def cloud(count: int = 1024) -> np.ndarray:
    generator = np.random.default_rng(0)
    points = generator.normal(size=(count, 3)) * [0.5, 1.0, 0.2]
    points -= points.mean(axis=0)
    return points / np.linalg.norm(points, axis=1).max()


def corrupted(suite: str, name: str, severity: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    points = cloud(2048 if name in SUITES[suite].doubled else 1024)
    return points, corrupt(points, suite, name, severity, np.random.default_rng(seed))


@pytest.mark.parametrize(("suite", "name"), ALL)
def test_a_cloud_changes_more_with_the_severity_and_alike_with_a_seed(suite: str, name: str) -> None:
    moved = []
    for severity in range(1, 6):
        points, found = corrupted(suite, name, severity)
        before = points.copy()
        assert found.dtype == np.float32 and np.isfinite(found).all()
        assert np.array_equal(found, corrupted(suite, name, severity)[1])
        assert not np.array_equal(found, corrupted(suite, name, severity, seed=1)[1])
        assert np.array_equal(points, before)
        # Both ways: points that were added or moved, and places that have none left.
        there, back = (cKDTree(a).query(b)[0] for a, b in ((points, found), (found, points)))
        moved.append(np.mean([corrupted(suite, name, severity, seed)[1].shape[0] for seed in range(2)]))
        moved[-1] = float(there.sum() + back.sum())
    assert np.mean(moved[3:]) > np.mean(moved[:2])


COUNTS = {
    ("modelnet_c", "dropout_global"): [768, 640, 512, 384, 256],
    ("modelnet_c", "dropout_local"): [924, 824, 724, 624, 524],
    ("modelnet_c", "add_global"): [1034, 1044, 1054, 1064, 1074],
    ("modelnet_c", "add_local"): [1124, 1224, 1324, 1424, 1524],
    ("modelnet40_c", "background"): [1046, 1049, 1053, 1058, 1075],
    ("modelnet40_c", "upsampling"): [1228, 1280, 1365, 1536, 2048],
    ("modelnet40_c", "cutout"): [964, 934, 874, 814, 724],
    ("modelnet40_c", "density"): [949, 874, 799, 724, 649],
    ("modelnet40_c", "density_inc"): [1024] * 5,
}


@pytest.mark.parametrize(("suite", "name"), ALL)
def test_numbers_of_points_are_the_published_ones(suite: str, name: str) -> None:
    found = [len(corrupted(suite, name, severity)[1]) for severity in range(1, 6)]
    assert found == COUNTS.get((suite, name), [1024] * 5)


def test_jitter_and_scale_have_the_published_spread() -> None:
    points, found = corrupted("modelnet_c", "jitter", 3)
    assert abs((found - points).std() - 0.03) < 0.001
    points, found = corrupted("modelnet_c", "scale", 5)
    assert abs(np.linalg.norm(found, axis=1).max() - 1) < 1e-6 and abs(found.mean()) < 1e-6
    factors = (found - found[0]) / (points - points[0] + 1e-300)
    factors = np.median(factors[1:], axis=0)
    assert np.allclose(found - found[0], (points - points[0]) * factors, atol=1e-5)
    assert factors.max() / factors.min() <= 4 + 1e-6


def test_a_turned_cloud_keeps_its_distances() -> None:
    points, found = corrupted("modelnet_c", "rotate", 5)
    turn = np.linalg.lstsq(points, found, rcond=None)[0]
    assert np.allclose(turn.T @ turn, np.eye(3), atol=1e-5)
    assert np.degrees(np.arccos((np.trace(turn) - 1) / 2)) <= 3**0.5 * 30
    _, found = corrupted("modelnet40_c", "rotation", 5)
    ratio = np.linalg.norm(found - found[0], axis=1)[1:] / np.linalg.norm(points - points[0], axis=1)[1:]
    assert np.ptp(ratio) < 1e-4  # turned, then brought to the same box: one factor for all


def test_removed_clusters_are_balls_around_points() -> None:
    points, found = corrupted("modelnet40_c", "cutout", 1)
    tree = cKDTree(found)
    gone = points[tree.query(points)[0] > 1e-6]
    assert len(gone) == 60
    radius = cKDTree(points).query(gone, k=60)[0][:, -1].max()
    assert np.linalg.norm(gone - gone[0], axis=1).min() == 0 and radius < 1


def test_points_that_are_added_stay_in_the_unit_ball() -> None:
    for seed in range(5):
        _, found = corrupted("modelnet_c", "add_local", 5, seed)
        assert np.linalg.norm(found, axis=1).max() <= 1 + 1e-6
        _, found = corrupted("modelnet_c", "add_global", 5, seed)
        assert np.linalg.norm(found, axis=1).max() <= 1 + 1e-6


def test_free_form_deformation_is_bernsteins_sum() -> None:
    generator = np.random.default_rng(0)
    points, moves = generator.uniform(-1.2, 1.2, (30, 3)), generator.normal(size=(5, 5, 5, 3))
    found = free_form(points, moves)

    def weight(step: int, u: float) -> float:
        return (1, 4, 6, 4, 1)[step] * u**step * (1 - u) ** (4 - step)

    for point, result in zip(points, found, strict=True):
        place = (point + 1) / 2
        expected = point.copy()
        if (abs(point) <= 1).all():
            for i, j, k in itertools.product(range(5), repeat=3):
                expected += 2 * weight(i, place[0]) * weight(j, place[1]) * weight(k, place[2]) * moves[i, j, k]
        assert np.allclose(result, expected)
    shifted = free_form(points, np.full((5, 5, 5, 3), 0.1))  # all control points alike move all points alike
    inside = (abs(points) <= 1).all(axis=1)
    assert np.allclose((shifted - points)[inside], 0.2) and np.array_equal(shifted[~inside], points[~inside])


def test_boxes_are_centered_with_a_longest_side_of_two() -> None:
    found = boxed(cloud())
    low, high = found.min(axis=0), found.max(axis=0)
    assert np.allclose(low + high, 0) and np.isclose((high - low).max(), 2)


def test_errors_of_pointnet_are_those_that_are_published() -> None:
    # Accuracies of PointNet, and the errors printed beside them, in the repository of the benchmark.
    accuracies = {
        "scale": 0.881,
        "jitter": 0.797,
        "rotate": 0.591,
        "dropout_global": 0.876,
        "dropout_local": 0.778,
        "add_global": 0.121,
        "add_local": 0.562,
    }
    assert round(mean_corruption_error(accuracies), 3) == 1.422
    assert round(relative_mean_corruption_error(0.907, accuracies), 3) == 1.488


def test_the_baseline_has_errors_of_one() -> None:
    assert mean_corruption_error(DGCNN) == pytest.approx(1)
    assert relative_mean_corruption_error(DGCNN_CLEAN, DGCNN) == pytest.approx(1)


def test_errors_are_ratios() -> None:
    halves = {name: 1 - (1 - value) / 2 for name, value in DGCNN.items()}
    assert mean_corruption_error(halves) == pytest.approx(0.5)
    drops = {name: 0.9 - (DGCNN_CLEAN - value) * 3 for name, value in DGCNN.items()}
    assert relative_mean_corruption_error(0.9, drops) == pytest.approx(3)
    with pytest.raises(ValueError, match="found accuracies of scale, expected scale, jitter"):
        mean_corruption_error({"scale": 0.5})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"severity": 0}, "found severity 0, expected 1 to 5"),
        ({"severity": 6}, "found severity 6"),
        ({"name": "fog"}, "found the corruption 'fog', expected one of scale, jitter"),
        ({"suite": "kitti_c"}, "found the corruptions 'kitti_c', expected one of modelnet_c, modelnet40_c"),
        ({"points": cloud(500)}, "found a cloud of 500 points, expected at least 600"),
        ({"points": np.zeros((700, 2))}, r"expected \(N, 3\), finite"),
    ],
)
def test_wrong_arguments_are_told(change: dict[str, object], message: str) -> None:
    given = {"points": cloud(), "suite": "modelnet_c", "name": "jitter", "severity": 1, **change}
    with pytest.raises(ValueError, match=message):
        corrupt(generator=np.random.default_rng(0), **given)  # type: ignore[arg-type]


def test_errors_of_segmentation_are_relative_to_robo3ds_minkunet() -> None:
    assert mean_frame_error(MINKUNET18["nuscenes"], "nuscenes") == pytest.approx(1)
    halves = {name: 1 - (1 - value) / 2 for name, value in MINKUNET18["semantickitti"].items()}
    assert mean_frame_error(halves, "semantickitti") == pytest.approx(0.5)
    assert mean_frame_error(halves, "yard") is None
    assert mean_resilience(0.8, {"a": 0.4, "b": 0.2}) == pytest.approx(0.375)
    assert mean_resilience(0.0, {"a": 0.0}) == 0
