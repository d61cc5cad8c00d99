import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from eval import Result, few_shot
from eval.fewshot import draw_task


@pytest.fixture(scope="module")
def pool():
    generator = np.random.default_rng(0)
    labels = np.repeat(np.arange(8) * 3, 15)
    features = generator.normal(size=(8, 32)).repeat(15, axis=0) + 2 * generator.normal(size=(120, 32))
    order = generator.permutation(120)
    return (features * np.geomspace(1e-2, 1e2, 32))[order].astype(np.float32), labels[order]


SMALL = {"ways": 4, "shots": 5, "queries": 10, "runs": 6}


def test_each_task_can_be_had_again_with_scikit_learn(pool):
    features, labels = pool
    result = few_shot(*pool, **SMALL, C=0.5)
    for row in result.records:
        support, query = draw_task(labels, 4, 5, 10, row["seed"])
        names = np.arange(4)  # in the order of the draw: libsvm breaks ties of its votes by it
        machine = make_pipeline(StandardScaler(), SVC(kernel="linear", C=0.5))
        machine.fit(features[support.ravel()], names.repeat(5))
        score = 100 * machine.score(features[query.ravel()], names.repeat(10))
        assert row["accuracy"] == pytest.approx(score)
        assert (labels[support] == labels[query][:, :1]).all()
    scores = [row["accuracy"] for row in result.records]
    assert result.metrics["accuracy"] == pytest.approx(sum(scores) / 6)
    assert result.metrics["accuracy_std"] == pytest.approx(np.sqrt(np.var(scores, ddof=0)))
    assert 30 < result.metrics["accuracy"] < 100


def test_a_task_has_distinct_classes_and_samples(pool):
    labels = pool[1]
    for seed in range(20):
        support, query = draw_task(labels, 4, 5, 10, seed)
        assert support.shape == (4, 5) and query.shape == (4, 10)
        assert len(set(np.concatenate([support.ravel(), query.ravel()]))) == 60
        rows = labels[np.concatenate([support, query], axis=1)]
        assert (rows == rows[:, :1]).all() and len(set(rows[:, 0])) == 4


def test_classes_and_samples_are_drawn_uniformly(pool):
    labels = pool[1]
    drawn = np.zeros(len(labels))
    for seed in range(2000):
        drawn[draw_task(labels, 2, 3, 3, seed)[0]] += 1
    expected = 2000 * 2 / 8 * 3 / 15  # 100, standard deviation 9.7
    assert abs(drawn - expected).max() < 4.5 * 9.7


def test_jobs_do_not_change_the_result_and_the_seed_does(pool, tmp_path):
    result = few_shot(*pool, **SMALL)
    assert few_shot(*pool, **SMALL, jobs=3) == result
    assert few_shot(*pool, **SMALL, seed=1).records != result.records
    assert len({row["seed"] for row in result.records}) == 6
    longer = few_shot(*pool, **SMALL | {"runs": 9})
    assert longer.records[:6] == result.records
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result


def test_scale_of_the_features_and_names_of_the_classes_do_not_matter(pool):
    features, labels = pool
    result = few_shot(*pool, **SMALL)
    assert few_shot(features * 2.0**20, labels, **SMALL).metrics == result.metrics
    assert few_shot(features, labels * 7 + 1, **SMALL).metrics == result.metrics


def test_separate_classes_are_told_apart_and_random_ones_are_not(pool):
    _, labels = pool
    assert few_shot(np.eye(25)[labels], labels, **SMALL).metrics == {"accuracy": 100.0, "accuracy_std": 0.0}
    noise = np.random.default_rng(0).normal(size=(120, 32))
    accuracy = few_shot(noise, labels, **SMALL | {"runs": 50}).metrics["accuracy"]
    assert abs(accuracy - 25) < 5  # 2,000 answers: standard deviation about 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ways": 9}, "found 8 classes in the pool, expected at least 9"),
        ({"shots": 6}, r"found 15 samples of class 0 \(8 such classes\), expected at least 16"),
        ({"queries": 0}, "0 queries"),
        ({"ways": 1}, "1 ways"),
        ({"runs": 0}, "0 runs"),
        ({"C": 0.0}, "positive"),
    ],
)
def test_small_pools_and_bad_numbers_are_refused(pool, change, message):
    with pytest.raises(ValueError, match=message):
        few_shot(*pool, **SMALL | change)


def test_the_class_that_is_too_small_is_named(pool):
    features, labels = pool
    keep = np.r_[np.flatnonzero(labels != 9), np.flatnonzero(labels == 9)[:7]]
    with pytest.raises(ValueError, match=r"found 7 samples of class 9 \(1 such"):
        few_shot(features[keep], labels[keep], **SMALL)
    with pytest.raises(ValueError, match="pool: found labels of shape"):
        few_shot(features, labels[1:], **SMALL)
