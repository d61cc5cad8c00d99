"""Errors of depth maps against a loop over pixels, and closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from crosspoint.eval.metrics.depth import ACCURACIES, NAMES, area_mask, depth_errors, mean_errors


def looped(predicted: np.ndarray, truth: np.ndarray, rows: range, columns: range) -> dict[str, float]:
    """The definitions, a pixel at a time."""
    sums, errors, count = dict.fromkeys(NAMES, 0.0), [], 0
    for row in rows:
        for column in columns:
            g = float(truth[row, column])
            if not 1e-3 < g < 80:
                continue
            p = min(max(float(predicted[row, column]), 1e-3), 80.0)
            e = math.log(p) - math.log(g)
            errors.append(e)
            count += 1
            sums["abs_rel"] += abs(p - g) / g
            sums["sq_rel"] += (p - g) ** 2 / g
            sums["rmse"] += (p - g) ** 2
            sums["rmse_log"] += e**2
            sums["log10"] += abs(math.log10(p) - math.log10(g))
            for power in (1, 2, 3):
                sums[f"delta{power}"] += 100 * (max(p / g, g / p) < 1.25**power)
    means = {name: total / count for name, total in sums.items()}
    mean = sum(errors) / count
    means["silog"] = 100 * math.sqrt(sum((e - mean) ** 2 for e in errors) / count)
    return {**means, "rmse": math.sqrt(means["rmse"]), "rmse_log": math.sqrt(means["rmse_log"])}


def drawn(seed: int = 0, size: tuple[int, int] = (37, 60)) -> tuple[np.ndarray, np.ndarray]:
    """Predictions, some out of range, and a truth with holes and pixels too far."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(1, 90, size).astype(np.float32) * (rng.random(size) < 0.4)
    predicted = (truth * rng.uniform(0.6, 1.6, size) + rng.uniform(-3, 3, size)).astype(np.float32)
    return predicted, truth


# Of 37 rows and 60 columns, by hand: floor(.40810811 · 37) = 15, floor(.99189189 · 37) = 36, and so on.
CROPS = {
    "whole": (range(37), range(60)),
    "garg": (range(15, 36), range(2, 57)),
    "eigen": (range(12, 33), range(2, 57)),
}


@pytest.mark.parametrize("area", CROPS)
def test_figures_are_those_of_the_loop(area: str) -> None:
    predicted, truth = drawn()
    assert depth_errors(predicted, truth, area=area) == pytest.approx(looped(predicted, truth, *CROPS[area]), rel=1e-6)


def test_areas_of_kittis_images() -> None:
    """On 375 × 1242 pixels; KITTI's devkits in Python write down these numbers."""
    rows, columns = area_mask((375, 1242), "garg").nonzero()
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (153, 371, 44, 1197)
    assert area_mask((375, 1242), "eigen").any(axis=1).nonzero()[0][[0, -1]].tolist() == [124, 341]


def test_a_perfect_prediction() -> None:
    _, truth = drawn()
    errors = depth_errors(truth, truth)
    assert errors is not None
    assert errors == {name: 100.0 if name in ACCURACIES else 0.0 for name in NAMES}


@pytest.mark.parametrize("factor", [0.7, 0.95, 1.3, 1.5])
def test_a_common_factor(factor: float) -> None:
    """Closed forms where all predictions are a factor off: silog does not see it."""
    truth = np.linspace(2, 40, 24).reshape(4, 6)
    errors = depth_errors(factor * truth, truth)
    assert errors is not None
    assert errors["abs_rel"] == pytest.approx(abs(factor - 1))
    assert errors["rmse_log"] == pytest.approx(abs(math.log(factor)))
    assert errors["log10"] == pytest.approx(abs(math.log10(factor)))
    assert errors["silog"] == pytest.approx(0, abs=1e-5)
    off = max(factor, 1 / factor)
    assert [errors[name] for name in ACCURACIES] == [100.0 * (off < 1.25**power) for power in (1, 2, 3)]


def test_predictions_are_clipped_and_truth_out_of_range_does_not_count() -> None:
    truth = np.array([[79.0, 81.0, 0.0, 1e-4, 10.0]])
    clipped = depth_errors(np.array([[500.0, 0.0, 7.0, 7.0, 10.0]]), truth)
    assert clipped is not None and clipped["rmse"] == pytest.approx(math.sqrt(1 / 2))
    near = depth_errors(np.array([[-3.0]]), np.array([[1.0]]))
    assert near is not None and near["rmse"] == pytest.approx(1 - 1e-3)


def test_the_mean_is_over_images_and_not_over_pixels() -> None:
    full, one = np.full((4, 4), 10.0), np.zeros((4, 4))
    one[0, 0] = 10.0
    images = [depth_errors(full, full), depth_errors(2 * full, one), depth_errors(full, np.zeros((4, 4)))]
    assert images[2] is None
    assert mean_errors(images)["abs_rel"] == pytest.approx(0.5)


def test_what_cannot_be_measured() -> None:
    with pytest.raises(ValueError, match=r"found no pixel of 1 images .* expected some"):
        mean_errors([None])
    with pytest.raises(ValueError, match=r"found depth of shape \(2, 2\) for a truth of shape \(2, 3\)"):
        depth_errors(np.ones((2, 2)), np.ones((2, 3)))
    with pytest.raises(ValueError, match="found NaN or infinite depth at 1 pixels"):
        depth_errors(np.full((1, 1), np.nan), np.ones((1, 1)))
    with pytest.raises(ValueError, match="found the area 'kb', expected one of: whole, garg, eigen"):
        area_mask((4, 4), "kb")
