import numpy as np
import pytest
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.svm import SVC

from crosspoint.eval.classifiers.svm import GRAM_BYTES, accuracy, check_features, class_accuracy, svm_predictions
from crosspoint.eval.classifiers.svm_answers import gram_matrix


def offset_blobs(return_X_y):
    """Features of small spread around a large common offset, as those of a random network are."""
    generator = np.random.default_rng(1)
    y = generator.integers(10, size=400)
    return (5 + 0.01 * (generator.normal(size=(10, 300))[y] + generator.normal(size=(400, 300)))).astype(np.float32), y


def assert_same_answers(x, y, test, costs):
    """Ours against one machine of scikit-learn's for each cost: on all samples, and on pairs of classes."""
    expected = [SVC(kernel="linear", C=cost).fit(x, y).predict(test) for cost in costs]
    pair = 8 * np.sort(np.unique(y, return_counts=True)[1])[-2:].sum() ** 2
    for memory in (GRAM_BYTES, pair, 3 * pair // 4, 0):  # all; the largest pair; all but that; none
        for predicted, answer in zip(svm_predictions(x, y, test, costs, memory=memory), expected, strict=True):
            np.testing.assert_array_equal(predicted, answer, str(memory))


@pytest.mark.parametrize("load", [load_iris, load_wine, load_digits, offset_blobs])
def test_predictions_equal_those_of_a_linear_svc(load):
    x, y = load(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))[:600]
    x, y = x[order], y[order]
    half = len(y) // 2
    assert_same_answers(x[:half], y[:half], x[half:], [1e-3, 0.1, 10.0])


def test_the_gram_matrix_gives_the_solution_of_the_linear_kernel_to_the_last_bit():
    x, y = offset_blobs(True)
    x = x.astype(np.float64)
    for cost in (1.0, 1e4):
        ours = SVC(kernel="precomputed", C=cost).fit(gram_matrix(x), y)
        direct = SVC(kernel="linear", C=cost).fit(x, y)
        np.testing.assert_array_equal(ours.support_, direct.support_)
        np.testing.assert_array_equal(ours.dual_coef_, direct.dual_coef_)
        np.testing.assert_array_equal(ours.intercept_, direct.intercept_)


@pytest.mark.parametrize(("classes", "dimensions"), [(2, 40), (3, 1), (7, 150)])
def test_predictions_are_equal_for_unbalanced_classes_and_any_cost(classes, dimensions):
    generator = np.random.default_rng(classes)
    members = np.maximum(1, 100 // 2 ** np.arange(classes))  # the last ones tiny
    y = generator.permutation(np.repeat(3 * np.arange(classes) - 4, members))  # labels with gaps, in no order
    means = {label: generator.normal(size=dimensions) for label in np.unique(y)}
    x = np.stack([means[label] for label in y]) + generator.normal(size=(len(y), dimensions))
    costs = [1e-4, 1e-2, 1.0] if dimensions == 1 else [1e-4, 1e-2, 1.0, 30.0, 1e3]
    assert_same_answers(x.astype(np.float32), y, generator.normal(size=(150, dimensions)), costs)


@pytest.mark.parametrize("seed", range(6))
def test_predictions_are_equal_where_rounding_decides(seed):
    """Copies, samples in two classes at once, thirds on a lattice: products and votes equal but for rounding."""
    generator = np.random.default_rng(seed)
    classes = 3 + seed
    some = generator.normal(size=(40, 20))
    label = np.arange(40) % classes
    assert_same_answers(np.tile(some, (2, 1)), np.tile(label, 2), some, [0.01, 1.0])
    both = np.concatenate([label, (label + 1) % classes])
    assert_same_answers(np.tile(some, (2, 1)), both, np.concatenate([some, -some, 0 * some]), [1e-4, 0.01, 1.0])
    lattice = generator.integers(-2, 3, size=(150, 4)) / 3
    assert_same_answers(lattice, generator.integers(classes, size=150), lattice / 2, [1e-4, 0.01, 1.0])
    mirrored = np.concatenate([some, -some])
    assert_same_answers(mirrored, np.repeat([0, 1], 40), np.concatenate([0 * some, some]), [1e-4, 1.0])
    assert_same_answers(np.ones((40, 20)) / 3, label, np.ones((5, 20)) / 7, [1e-4, 1.0])


def test_labels_may_be_words():
    x, y = load_iris(return_X_y=True)
    words = np.array(["b", "a", "c"])[y]
    assert_same_answers(x[::2], words[::2], x[1::2], [0.1, 1.0])


def test_the_list_ends_at_the_first_cost_that_needs_too_many_iterations():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(200, 2)), generator.integers(2, size=200)
    needed = [int(SVC(kernel="linear", C=cost).fit(x, y).n_iter_[0]) for cost in (0.01, 1.0, 100.0)]
    assert needed == sorted(needed) and needed[1] < needed[2] - 1
    for memory in (GRAM_BYTES, 0):
        with pytest.warns(ConvergenceWarning):
            found = svm_predictions(x, y, x, [0.01, 1.0, 100.0], iterations=needed[1] + 1, memory=memory)
        assert len(found) == 2


def test_pairs_take_a_part_of_the_memory_of_all_samples(peak_memory):
    x, y = np.random.default_rng(0).normal(size=(3000, 8)), np.arange(3000) % 10
    whole = peak_memory(lambda: svm_predictions(x, y, x[:10], [1e-3]))
    pairs = peak_memory(lambda: svm_predictions(x, y, x[:10], [1e-3], memory=2**23))  # 600 samples: 2.9 MB
    assert whole > 8 * 3000**2 > 4 * pairs


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
