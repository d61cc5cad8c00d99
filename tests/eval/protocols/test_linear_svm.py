import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from crosspoint.eval import Result, linear_svm
from crosspoint.eval.classifiers.cross_validation import stratified_folds
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.protocols.linear_svm import Linear, answer_linear_svm


@pytest.fixture(scope="module")
def split():
    """Digits with columns of very different scale, so that the scaling decides."""
    x, y = load_digits(return_X_y=True)
    x = x + np.random.default_rng(0).normal(size=x.shape)
    x = x[:500] * np.geomspace(1e-3, 1e2, x.shape[1])
    return x[:300], y[:300], x[300:], y[300:500]


@pytest.fixture(scope="module")
def validated(split):
    return linear_svm(*split)


@pytest.mark.parametrize("C", [1e-4, 0.1, 10.0])
def test_paper_is_a_linear_svc_on_raw_features(split, C):
    train_x, train_y, test_x, test_y = split
    predicted = SVC(kernel="linear", C=C).fit(train_x, train_y).predict(test_x)
    result = linear_svm(*split, protocol="paper", C=C)
    assert result.metrics["accuracy"] == pytest.approx(100 * accuracy_score(test_y, predicted))
    assert result.metrics["class_accuracy"] == pytest.approx(100 * balanced_accuracy_score(test_y, predicted))
    assert result.constants["C"] == C and result.constants["train"] == 300 and result.constants["test"] == 200


def test_validated_can_be_had_again_with_scikit_learn(split, validated):
    train_x, train_y, test_x, test_y = split
    machines = {
        "raw": SVC(kernel="linear", C=validated.constants["raw"]["C"]),
        "standardized": make_pipeline(
            StandardScaler(), SVC(kernel="linear", C=validated.constants["standardized"]["C"])
        ),
    }
    for scaling, machine in machines.items():
        score = 100 * machine.fit(train_x, train_y).score(test_x, test_y)
        assert validated.metrics[f"{scaling}_accuracy"] == pytest.approx(score)
    chosen = validated.constants["scaling"]
    assert validated.metrics["accuracy"] == validated.metrics[f"{chosen}_accuracy"]
    assert validated.metrics["validation_accuracy"] == max(row["validation_accuracy"] for row in validated.records)
    assert validated.constants["C"] == validated.constants[chosen]["C"]


def test_the_choice_does_not_see_the_test_split(split, validated):
    train_x, train_y, test_x, test_y = split
    other = linear_svm(train_x, train_y, test_x, np.roll(test_y, 1))
    assert other.constants == validated.constants and other.records == validated.records
    assert other.metrics["accuracy"] != validated.metrics["accuracy"]


def test_a_fixed_cost_punishes_small_features_and_a_validated_one_does_not(split, validated):
    train_x, train_y, test_x, test_y = split
    small = train_x * 1e-4, train_y, test_x * 1e-4, test_y
    paper, ours = linear_svm(*small, protocol="paper"), linear_svm(*small)
    assert paper.metrics["accuracy"] < linear_svm(*split, protocol="paper").metrics["accuracy"] - 20
    assert ours.metrics == validated.metrics


def test_scale_and_origin_of_each_column_do_not_move_standardized_features(split, validated):
    train_x, train_y, test_x, test_y = split
    scale = 2.0 ** np.random.default_rng(0).integers(-9, 9, size=train_x.shape[1])
    moved = linear_svm(train_x * scale + scale, train_y, test_x * scale + scale, test_y)
    for name in ("standardized_accuracy", "standardized_validation_accuracy"):
        assert moved.metrics[name] == validated.metrics[name]


def test_order_of_test_samples_and_names_of_classes_do_not_matter(split, validated):
    train_x, train_y, test_x, test_y = split
    order = np.random.default_rng(0).permutation(len(test_y))
    names = np.array([f"class {label:02}" for label in range(10)])
    renamed = linear_svm(train_x, names[train_y], test_x[order], names[test_y][order])
    for name, value in renamed.metrics.items():
        assert value == pytest.approx(validated.metrics[name]), name
    order = np.random.default_rng(0).permutation(len(train_y))
    paper = linear_svm(train_x[order], train_y[order], test_x, test_y, protocol="paper")
    assert paper.metrics == linear_svm(*split, protocol="paper").metrics


def test_jobs_and_repetition_do_not_change_the_result_and_the_seed_does(split, validated):
    assert linear_svm(*split, jobs=2) == validated
    assert linear_svm(*split, seed=1).records != validated.records
    assert not np.array_equal(stratified_folds(split[1], 5, 0)[0][1], stratified_folds(split[1], 5, 1)[0][1])


def test_the_result_survives_the_disk_with_fewer_folds_recorded(split, tmp_path):
    train_x, train_y, test_x, test_y = split
    keep = np.r_[np.flatnonzero(train_y != 4), np.flatnonzero(train_y == 4)[:3]]
    result = linear_svm(train_x[keep], train_y[keep], test_x, test_y)
    assert result.constants["folds"] == 3 and result.constants["folds_asked"] == 5
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result
    assert len(str(result).splitlines()) == 2


def test_bad_input_is_one_line(split):
    train_x, train_y, test_x, test_y = split
    broken = train_x.copy()
    broken[5, 5] = np.inf
    cases = {
        "training split: .* in 1 feature rows": (broken, train_y, test_x, test_y),
        "test split: found labels of shape": (train_x, train_y, test_x, test_y[1:]),
        "test split: found features of shape": (train_x, train_y, test_x[:0], test_y[:0]),
        "found 63 test features, expected 64": (train_x, train_y, test_x[:, 1:], test_y),
        r"test labels \[12\] that are absent": (train_x, train_y, test_x, np.where(test_y == 3, 12, test_y)),
        "found 1 training class": (train_x, train_y * 0, test_x, test_y * 0),
    }
    for message, arrays in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            linear_svm(*arrays)
        assert "\n" not in str(error.value)
    for C in (0.0, -1.0, np.nan):
        with pytest.raises(ValueError, match="expected a positive number"):
            linear_svm(*split, protocol="paper", C=C)
    with pytest.raises(ValueError, match='found protocol "other"'):
        linear_svm(*split, protocol="other")


@pytest.mark.parametrize("protocol", ["paper", "validated"])
def test_answers_are_those_of_the_machine_that_is_scored(split, protocol):
    train_x, train_y, test_x, test_y = split
    result, answers = answer_linear_svm(*split, protocol=protocol)
    assert result == linear_svm(*split, protocol=protocol)
    assert result.metrics["accuracy"] == pytest.approx(100 * accuracy_score(test_y, answers))
    machine = SVC(kernel="linear", C=result.constants["C"])
    if result.constants["scaling"] == "standardized":
        machine = make_pipeline(StandardScaler(), machine)
    np.testing.assert_array_equal(answers, machine.fit(train_x, train_y).predict(test_x))


def test_a_cost_that_would_not_be_used_is_refused():
    data = EvaluationData()
    with pytest.raises(ValueError, match=r"found C 0\.01 for the validated variant.*leave --C out, or give --variant"):
        Linear(C=0.01).check_settings(data)
    Linear().check_settings(data)
    Linear(variant="paper", C=0.01).check_settings(data)
    assert Linear(variant="paper").facts() == {"linear SVM": "raw features, C = 0.1"}
