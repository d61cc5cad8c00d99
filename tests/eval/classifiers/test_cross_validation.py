import numpy as np
import pytest
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from crosspoint.eval.classifiers import cross_validation
from crosspoint.eval.classifiers.cross_validation import (
    COPIES,
    LEAST,
    MEMORY,
    choose_step,
    search_cost,
    share_memory,
    stratified_folds,
)


@pytest.mark.parametrize("scaling", ["raw", "standardized"])
def test_the_table_agrees_with_cross_val_score(scaling):
    x, y = load_wine(return_X_y=True)
    folds = stratified_folds(y, 4, seed=1)
    found = search_cost(x, y, folds, scaling)
    for row in found.records:
        machine = SVC(kernel="linear", C=row["C"])
        if scaling == "standardized":
            machine = make_pipeline(StandardScaler(), machine)
        np.testing.assert_allclose(row["fold_accuracy"], 100 * cross_val_score(machine, x, y, cv=folds))
    best = max(found.records, key=lambda row: row["validation_accuracy"])
    assert found.accuracy == best["validation_accuracy"]
    assert found.inside and found.tied[0] <= found.cost <= found.tied[1]


@pytest.mark.parametrize(
    ("counts", "first", "expected"),
    [
        ([1, 2, 9, 2, 1], -2, (0, [])),
        ([1, 2, 3, 4, 5], -2, (2, [3, 4])),  # rises: two steps past the best
        ([1, 2, 3, 5, 4], -2, (1, [3])),
        ([5, 4, 3, 2, 1], -2, (-2, [-4, -3])),
        ([1, 2, 5, 5, 5], -2, (0, [])),  # a plateau that reaches the edge: its start is inside
        ([5, 5, 5, 5, 5], -2, (0, [])),
        ([5, 1, 1, 1, 5], -2, (-2, [-4, -3, 3, 4])),
        ([1, 1, 4, 5, 5, 5, 5, 5], 0, (3, [])),
    ],
)
def test_the_grid_grows_only_where_something_better_may_lie(counts, first, expected):
    assert choose_step({first + i: count for i, count in enumerate(counts)}) == expected


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e5])
def test_the_grid_follows_the_scale_of_the_features(scale):
    x, y = load_wine(return_X_y=True)
    folds = stratified_folds(y, 5, seed=0)
    reference, found = search_cost(x, y, folds, "raw"), search_cost(x * scale, y, folds, "raw")
    assert found.accuracy == reference.accuracy
    assert found.cost * scale**2 == pytest.approx(reference.cost)


def test_a_best_value_far_outside_of_the_first_grid_is_found(monkeypatch):
    monkeypatch.setattr(
        cross_validation, "_held_out_correct", lambda *args: [-abs(round(np.log10(c))) for c in args[5]]
    )
    x, y = np.eye(8)[:, :4] * 1e3, np.arange(8) % 2  # C = 1 is a relative C of about 4e5
    found = search_cost(x, y, stratified_folds(y, 2, seed=0), "raw")
    assert found.inside and 0.3 < found.cost < 3
    costs = [row["relative_C"] for row in found.records]
    np.testing.assert_allclose(np.diff(np.log10(costs)), 0.5)


def test_growth_that_never_ends_is_stopped_and_said(monkeypatch):
    monkeypatch.setattr(cross_validation, "_held_out_correct", lambda *args: [round(2 * np.log10(c)) for c in args[5]])
    y = np.arange(8) % 2
    found = search_cost(np.eye(8), y, stratified_folds(y, 2, seed=0), "raw")
    assert not found.inside
    assert found.records[-1]["relative_C"] == pytest.approx(1e10) and found.cost == found.records[-1]["C"]


def test_growth_ends_where_libsvm_no_longer_converges(monkeypatch):
    monkeypatch.setattr(cross_validation, "GROWTH_ITERATIONS", 1)
    monkeypatch.setattr(cross_validation, "FIRST_STEPS", range(-6, -3))
    generator = np.random.default_rng(0)
    y = np.arange(60) % 3
    x = np.eye(3)[y] + 0.4 * generator.normal(size=(60, 3))
    found = search_cost(x, y, stratified_folds(y, 3, seed=0), "raw")
    assert not found.inside and len(found.records) == 3


def test_features_that_are_all_alike_give_chance():
    y = np.repeat([0, 1, 1], 20)
    found = search_cost(np.full((60, 5), np.float32(0.1)), y, stratified_folds(y, 3, seed=0), "raw")
    assert found.accuracy == pytest.approx(100 * 2 / 3) and found.inside and np.isfinite(found.cost)


def test_folds_are_stratified_disjoint_and_fewer_for_small_classes():
    y = np.repeat([0, 1, 2], [30, 12, 3])
    folds = stratified_folds(y, 5, seed=0)
    assert len(folds) == 3
    np.testing.assert_array_equal(np.sort(np.concatenate([held_out for _, held_out in folds])), np.arange(45))
    for train, held_out in folds:
        assert not set(train) & set(held_out)
        np.testing.assert_array_equal(np.bincount(y[held_out]), [10, 4, 1])
    with pytest.raises(ValueError, match=r"single training sample in classes \[7\]"):
        stratified_folds(np.array([1, 1, 1, 7]), 5, seed=0)
    with pytest.raises(ValueError, match="found 1 folds"):
        stratified_folds(y, 1, seed=0)


@pytest.mark.parametrize("jobs", [1, 4, 16])
@pytest.mark.parametrize(("samples", "features"), [(1000, 512), (9840, 2048), (52_000, 2048), (200_000, 2048)])
def test_folds_share_their_memory(samples, features, jobs):
    threads, gram = share_memory(samples, features, 5, jobs)
    assert 1 <= threads <= min(jobs, 5)
    together = threads * (COPIES * 8 * samples * features + gram)
    assert together <= max(MEMORY, COPIES * 8 * samples * features + LEAST)
    if samples <= 9840:
        assert threads == min(jobs, 5) and 8 * samples**2 <= gram  # all at once, and as fast as ever
