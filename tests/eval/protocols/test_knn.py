import warnings

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.neighbors import KNeighborsClassifier

from crosspoint.eval.protocols.knn import K_GRID, knn_classify, knn_predictions
from crosspoint.eval.results import Result


@pytest.fixture(scope="module", params=["float32", "float64"])
def split(request):
    """Noisy digits of very different lengths, so that metric and weights matter."""
    generator = np.random.default_rng(0)
    x, y = load_digits(return_X_y=True)
    x = (x - 4 + 4 * generator.normal(size=x.shape)) * generator.uniform(0.3, 3, size=(len(x), 1))
    x = x[:600].astype(request.param)
    return x[:400], y[:400], x[400:], y[400:600]


def dino_weights(distances):
    return np.exp((1 - distances) / 0.07)


@pytest.mark.parametrize("k", [1, 2, 7, 20, 400])
@pytest.mark.parametrize(
    ("metric", "weights"), [("cosine", "uniform"), ("euclidean", "uniform"), ("cosine", "temperature")]
)
def test_figures_equal_those_of_scikit_learn(split, k, metric, weights):
    train_x, train_y, test_x, test_y = split
    direct = KNeighborsClassifier(k, metric=metric, weights="uniform" if weights == "uniform" else dino_weights)
    predicted = direct.fit(train_x, train_y).predict(test_x)
    np.testing.assert_array_equal(
        knn_predictions(*split[:3], [k], metric=metric, temperature=None if weights == "uniform" else 0.07)[0],
        predicted,
    )
    result = knn_classify(*split, k=k, metric=metric, weights=weights)
    assert result.metrics["accuracy"] == pytest.approx(100 * accuracy_score(test_y, predicted))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert result.metrics["class_accuracy"] == pytest.approx(100 * balanced_accuracy_score(test_y, predicted))
    assert result.protocol == "knn/fixed" and result.constants["k"] == k and result.records == []


def test_a_vote_by_hand():
    """Four neighbors on a circle: the metric, the weights and the rule for ties, each where it decides."""
    angles = np.deg2rad([0, 30, 40, 60])
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1) * [[1], [5], [1], [5]]
    y, test = np.array(["b", "a", "a", "c"]), np.array([[1.0, 0.0]])
    answers = knn_predictions(x, y, test, [1, 2, 3, 4])
    assert [each[0] for each in answers] == ["b", "a", "a", "a"]  # k = 2: one vote each, the first class wins
    sharp = knn_predictions(x, y, test, [3, 4], temperature=0.1)
    assert [each[0] for each in sharp] == ["b", "b"]  # 1 against exp(-1.34) + exp(-2.34) = 0.36
    assert knn_predictions(x, y, test, [2], metric="euclidean")[0][0] == "a"
    assert knn_predictions(x, y, test, [2], temperature=1e-300)[0][0] == "b"


def test_lengths_matter_to_euclidean_distances_only(split):
    train_x, train_y, test_x, test_y = split
    stretched = train_x * 2.0 ** np.random.default_rng(1).integers(-3, 4, size=(len(train_x), 1)).astype(train_x.dtype)
    for weights in ("uniform", "temperature"):
        same = knn_classify(stretched, train_y, test_x, test_y, weights=weights)
        assert same.metrics == knn_classify(*split, weights=weights).metrics
    moved = knn_classify(stretched, train_y, test_x, test_y, metric="euclidean")
    assert moved.metrics != knn_classify(*split, metric="euclidean").metrics


@pytest.mark.parametrize("weights", ["uniform", "temperature"])
def test_the_validated_k_can_be_had_again_with_scikit_learn(split, weights):
    train_x, train_y = split[:2]
    result = knn_classify(*split, protocol="validated", weights=weights, seed=3)
    splitter = StratifiedKFold(5, shuffle=True, random_state=3)
    scores = {}
    for k in K_GRID:
        direct = KNeighborsClassifier(k, metric="cosine", weights="uniform" if weights == "uniform" else dino_weights)
        scores[k] = 100 * accuracy_score(train_y, cross_val_predict(direct, train_x, train_y, cv=splitter))
    assert {row["k"]: row["validation_accuracy"] for row in result.records} == pytest.approx(scores)
    best = max(scores, key=lambda k: scores[k])
    assert result.constants["k"] == best and result.metrics["validation_accuracy"] == pytest.approx(scores[best])
    assert result.metrics["accuracy"] == knn_classify(*split, k=best, weights=weights).metrics["accuracy"]
    assert all(np.mean(row["fold_accuracy"]) == pytest.approx(row["validation_accuracy"]) for row in result.records)


def test_the_choice_does_not_see_the_test_split(split):
    train_x, train_y, test_x, test_y = split
    result = knn_classify(*split, protocol="validated")
    other = knn_classify(train_x, train_y, test_x, np.roll(test_y, 1), protocol="validated")
    assert other.constants == result.constants and other.records == result.records
    assert other.metrics["accuracy"] != result.metrics["accuracy"]


def test_the_grid_ends_where_a_fold_ends_and_the_smallest_of_equal_k_is_chosen():
    x, y = np.eye(2)[[0] * 9 + [1] * 6] + 0.01, np.repeat([4, 7], [9, 6])
    result = knn_classify(x, y, x, y, protocol="validated")
    assert [row["k"] for row in result.records] == [1, 3, 5, 10] and result.constants["grid"] == [1, 3, 5, 10]
    assert result.constants["k"] == 1 and result.metrics["accuracy"] == 100
    with pytest.raises(ValueError, match="single training sample"):
        knn_classify(x, np.r_[y[:-1], 9], x, y, protocol="validated")


def test_jobs_order_and_names_do_not_change_the_result(split, tmp_path):
    train_x, train_y, test_x, test_y = split
    result = knn_classify(*split, protocol="validated", weights="temperature")
    assert knn_classify(*split, protocol="validated", weights="temperature", jobs=2) == result
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result
    names, order = np.array([f"class {label:02}" for label in range(10)]), np.random.default_rng(0).permutation(200)
    renamed = knn_classify(train_x[::-1], names[train_y[::-1]], test_x[order], names[test_y[order]])
    assert renamed.metrics == pytest.approx(knn_classify(*split).metrics)


def test_bad_input_is_one_line(split):
    train_x, train_y, test_x, test_y = split
    broken = train_x.copy()
    broken[5, 5] = np.inf
    arrays = {
        "training split: .* in 1 feature rows": (broken, train_y, test_x, test_y),
        "test split: found labels of shape": (train_x, train_y, test_x, test_y[1:]),
        "found 63 test features, expected 64": (train_x, train_y, test_x[:, 1:], test_y),
        r"test labels \[12\] that are absent": (train_x, train_y, test_x, np.where(test_y == 3, 12, test_y)),
    }
    settings = {
        "found k 0, expected 1 to 400": {"k": 0},
        "found k 401": {"k": 401},
        'metric "dot"': {"metric": "dot"},
        'weights "distance"': {"weights": "distance"},
        "they weigh similarities": {"weights": "temperature", "metric": "euclidean"},
        "found temperature 0": {"weights": "temperature", "temperature": 0},
        'protocol "other"': {"protocol": "other"},
        "found 1 folds": {"protocol": "validated", "folds": 1},
    }
    cases = [(message, bad, {}) for message, bad in arrays.items()]
    for message, bad, options in cases + [(message, split, options) for message, options in settings.items()]:
        with pytest.raises(ValueError, match=message) as error:
            knn_classify(*bad, **options)
        assert "\n" not in str(error.value)
