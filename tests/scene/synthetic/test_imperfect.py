from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from crosspoint.scene.synthetic.asset import CLASSES
from crosspoint.scene.synthetic.imperfect import CONFUSED, Imperfection, imperfect, smooth_noise

NONE = {"shift": 0.0, "missed": 0.0, "confusion": 0.0, "unsure_regions": 0.0, "unsure_border": 0.0}


def squares(number: int, side: int, gap: int, count: int, ground: int = 0) -> np.ndarray:
    """A grid of count² squares of one class, with ground between them."""
    cell = np.full((side + gap, side + gap), ground)
    cell[:side, :side] = number
    return np.tile(cell, (count, count))


def test_noise_is_standard_normal_at_each_place_and_smooth() -> None:
    draws = np.stack([smooth_noise((30, 41), 7.3, np.random.default_rng(seed)) for seed in range(3000)])
    assert draws.shape == (3000, 30, 41)
    assert np.abs(draws.mean(axis=0)).max() < 5 / np.sqrt(3000)
    assert np.abs(draws.var(axis=0) - 1).max() < 5 * np.sqrt(2 / 3000)  # variance of a variance: 2 / n
    one, next_to_it, far = draws[:, 3, 4], draws[:, 3, 5], draws[:, 3, 35]  # splines are 4 cells wide
    assert np.corrcoef(one, next_to_it)[0, 1] > 0.97
    assert abs(np.corrcoef(one, far)[0, 1]) < 5 / np.sqrt(3000)


def test_without_strengths_the_truth_is_drawn() -> None:
    truth = np.random.default_rng(0).integers(0, len(CLASSES) + 1, (40, 60)).astype(np.uint8)
    before = truth.copy()
    assert np.array_equal(imperfect(truth, [0], Imperfection(**NONE)), truth)
    for seed in range(3):
        imperfect(truth, [seed])
    assert np.array_equal(truth, before)


def test_the_seed_decides_everything() -> None:
    truth = squares(4, 30, 10, 4, ground=1)
    first, again, other = (imperfect(truth, seed) for seed in ([1, 2, 3], (1, 2, 3), [1, 2, 4]))
    assert first.dtype == np.int64 and np.array_equal(first, again)
    assert (first != other).mean() > 0.02


@pytest.mark.parametrize("side", [2, 5, 7])
def test_small_components_are_missed_with_the_probability_of_their_size(side: int) -> None:
    truth = squares(9, side, 3, 40, ground=1)
    seen = imperfect(truth, [side], Imperfection(**{**NONE, "missed": 25.0}))
    assert set(np.unique(seen)) == {1, 9}  # what surrounds them takes their place
    kept = (seen == 9).sum() / side**2
    assert kept == int(kept)  # whole components
    expected = np.exp(-(side**2) / 25)
    assert abs(1 - kept / 1600 - expected) < 4 * np.sqrt(expected * (1 - expected) / 1600)


def test_an_image_of_one_class_is_left() -> None:
    truth = np.full((9, 9), 3)
    strong = Imperfection(**{**NONE, "missed": 1e9, "shift": 9.0, "unsure_border": 5.0})
    assert np.array_equal(imperfect(truth, [0], strong), truth)


@pytest.mark.parametrize("name", CLASSES)
def test_regions_are_taken_for_others_as_often_as_the_table_says(name: str) -> None:
    number = CLASSES.index(name) + 1
    strengths = Imperfection(**{**NONE, "confusion": 1.5, "unsure_regions": 0.1, "patches": 1e5})
    seen = imperfect(squares(number, 2, 1, 60), [number], strengths)
    answers = seen.reshape(60, 3, 60, 3)
    given = answers[:, 0, :, 0]
    assert (answers[:, :2, :, :2] == given[:, None, :, None]).all() and (answers[:, 2] == 0).all()
    expected = np.zeros(len(CLASSES) + 1)
    for other, probability in CONFUSED[name].items():
        expected[CLASSES.index(other) + 1] = 1.5 * probability
    expected[0], expected[number] = 0.1, 0.9 - expected.sum()
    found = np.bincount(given.ravel(), minlength=len(expected)) / 3600
    assert (np.abs(found - expected) <= 4 * np.sqrt(expected * (1 - expected) / 3600)).all()


def test_large_components_fall_into_regions() -> None:
    truth = np.full((300, 400), 2)
    seen = imperfect(truth, [0], Imperfection(**{**NONE, "confusion": 3.0, "patches": 30.0}))
    assert len(np.unique(seen)) > 1 and (seen == 2).any()


def test_borders_move_as_far_as_is_asked_for() -> None:
    """Classes repeat every eleven columns, so a shift of up to five columns can be read off."""
    truth = np.tile(np.arange(300) % 11, (200, 1))
    for shift in (0.8, 1.3):
        seen = imperfect(truth, [1], Imperfection(**{**NONE, "shift": shift, "waves": 5.0}))
        moved = ((seen - truth + 5) % 11 - 5)[:, 10:-10]
        rounding = 1 / 12  # variance of what rounding to whole pixels adds
        assert abs(np.sqrt((moved**2).mean() - rounding) - shift) < 0.05
        assert np.abs(np.diff(moved, axis=0)).mean() < 0.3 * np.abs(moved).mean()  # neighbors move together


@pytest.mark.parametrize("width", [0.7, 2.0])
def test_bands_along_borders_are_as_wide_as_is_asked_for(width: float) -> None:
    truth = np.concatenate([np.full((20_000, 20), 1), np.full((20_000, 20), 4)], axis=1)
    seen = imperfect(truth, [2], Imperfection(**{**NONE, "unsure_border": width, "waves": 4.0}))
    assert ((seen == truth) | (seen == 0)).all()
    centers = np.arange(20) + 0.5  # distances from the border
    expected = norm.sf(centers / width - 1)  # of a normally distributed width
    silent = (seen == 0).mean(axis=0)
    assert np.abs(silent[20:] - expected).max() < 0.02 and np.abs(silent[19::-1] - expected).max() < 0.02


@pytest.mark.parametrize(
    "wrong",
    [{"shift": -1.0}, {"missed": float("nan")}, {"waves": 0.5}, {"unsure_regions": 0.9}, {"confusion": 4.0}],
)
def test_strengths_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"found Imperfection\(.*\), expected finite strengths from 0"):
        Imperfection(**wrong)


def test_the_table_names_classes() -> None:
    assert {*CONFUSED} == {*CLASSES}
    for name, others in CONFUSED.items():
        assert {*others} <= {*CLASSES} - {name}
