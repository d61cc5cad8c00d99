import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.svm import SVC

from eval.svm import accuracy, check_features, class_accuracy, svm_predictions


def offset_blobs(return_X_y):
    """Features of small spread around a large common offset, as those of a random network are."""
    generator = np.random.default_rng(1)
    y = generator.integers(10, size=400)
    return (5 + 0.01 * (generator.normal(size=(10, 300))[y] + generator.normal(size=(400, 300)))).astype(np.float32), y


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits, offset_blobs])
def test_predictions_equal_those_of_a_linear_svc(load):
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:600]
    x, y = x[order], y[order]
    half, costs = len(y) // 2, [1e-3, 0.1, 10.0]
    ours = svm_predictions(x[:half], y[:half], x[half:], costs)
    for cost, predicted in zip(costs, ours, strict=True):
        direct = SVC(kernel="linear", C=cost).fit(x[:half], y[:half]).predict(x[half:])
        np.testing.assert_array_equal(predicted, direct)


def test_the_list_ends_at_the_first_cost_that_needs_too_many_iterations():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(200, 2)), generator.integers(2, size=200)
    needed = [int(SVC(kernel="linear", C=cost).fit(x, y).n_iter_[0]) for cost in (0.01, 1.0, 100.0)]
    assert needed == sorted(needed) and needed[1] < needed[2] - 1
    with pytest.warns(ConvergenceWarning):
        assert len(svm_predictions(x, y, x, [0.01, 1.0, 100.0], iterations=needed[1] + 1)) == 2


def test_accuracies_agree_with_scikit_learn():
    generator = np.random.default_rng(0)
    truth, predicted = generator.choice(4, size=200, p=[0.7, 0.1, 0.1, 0.1]), generator.integers(4, size=200)
    assert accuracy(predicted, truth) == pytest.approx(100 * accuracy_score(truth, predicted))
    assert class_accuracy(predicted, truth) == pytest.approx(100 * balanced_accuracy_score(truth, predicted))


@pytest.mark.parametrize(
    ("features", "labels", "message"),
    [
        (np.zeros((0, 3)), np.zeros(0, int), "shape \\(0, 3\\)"),
        (np.zeros(3), np.zeros(3, int), "shape \\(3,\\)"),
        (np.zeros((3, 2)), np.zeros(2, int), "expected \\(3,\\)"),
        (np.array([[0.0], [np.nan]]), np.zeros(2, int), "in 1 feature rows"),
        (np.zeros((2, 2)), np.array([0.0, np.nan]), "expected integers"),
    ],
)
def test_bad_arrays_are_refused_by_the_name_of_their_split(features, labels, message):
    with pytest.raises(ValueError, match=f"test split: found .*{message}"):
        check_features(features, labels, "test split")
