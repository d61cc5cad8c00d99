import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from crosspoint.eval import Result, few_shot
from crosspoint.eval.protocols.few_shot import draw_task, few_shot_table, support_accuracy


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


@pytest.mark.parametrize("seed", range(5))
def test_a_task_is_answered_as_scikit_learn_answers_it(seed):
    """Also where a column is constant, samples are copies and labels are words."""
    generator = np.random.default_rng(seed)
    y, asked = np.array(["b", "a", "d", "c"]).repeat(6), np.array(["a", "b", "c", "d"]).repeat(20)
    x, queries = (
        generator.normal(size=(24, 300)).astype(np.float32),
        generator.normal(size=(80, 300)).astype(np.float32),
    )
    x[:, 0], x[3] = 0.1, x[11]
    queries[:24] = x
    machine = make_pipeline(StandardScaler(), SVC(kernel="linear", C=2.0)).fit(x, y)
    assert support_accuracy(x, y, queries, asked, 2.0) == pytest.approx(100 * machine.score(queries, asked))


def test_a_table_holds_the_figures_and_the_tasks_of_each_setting(pool, tmp_path):
    settings = [(2, 3), (2, 5), (4, 5)]
    table = few_shot_table(*pool, settings=settings, queries=10, runs=5, C=0.5, seed=4)
    for ways, shots in settings:
        alone = few_shot(*pool, ways=ways, shots=shots, queries=10, runs=5, C=0.5, seed=4)
        name = f"{ways}way_{shots}shot"
        assert table.metrics[name] == alone.metrics["accuracy"]
        assert table.metrics[f"{name}_std"] == alone.metrics["accuracy_std"]
        rows = [row for row in table.records if (row["ways"], row["shots"]) == (ways, shots)]
        assert [{"seed": row["seed"], "accuracy": row["accuracy"]} for row in rows] == alone.records
    assert len(table.metrics) == 6 and len(table.records) == 15
    assert few_shot_table(*pool, settings=settings, queries=10, runs=5, C=0.5, seed=4, jobs=2) == table
    table.save(tmp_path / "table.json")
    assert Result.load(tmp_path / "table.json") == table


def test_the_papers_four_settings_are_the_default():
    labels = np.arange(10).repeat(40)
    table = few_shot_table(np.eye(10)[labels], labels, runs=2)
    names = ["5way_10shot", "5way_20shot", "10way_10shot", "10way_20shot"]
    assert list(table.metrics) == [name + end for name in names for end in ("", "_std")]
    assert [each["ways"] * each["shots"] for each in table.constants["settings"]] == [50, 100, 100, 200]


def test_small_classes_are_left_out_if_asked(pool):
    features, labels = pool
    keep = np.r_[np.flatnonzero(labels > 3), np.flatnonzero(labels == 3)[:12], np.flatnonzero(labels == 0)[:7]]
    small, left = (features[keep], labels[keep]), labels[keep] > 3
    result = few_shot(*small, **SMALL, small_classes="leave out")
    assert result.metrics == few_shot(small[0][left], small[1][left], **SMALL).metrics
    assert result.constants["classes"] == 6 and result.constants["small_classes"] == "leave out"
    table = few_shot_table(*small, settings=[(4, 2), (4, 5)], queries=10, runs=2, small_classes="leave out")
    assert [(each["classes"], each["pool"]) for each in table.constants["settings"]] == [(7, 102), (6, 90)]
    with pytest.raises(ValueError, match=r"found 6 classes with 15 samples \(5 shots \+ 10 queries\) in the pool"):
        few_shot(*small, **SMALL | {"ways": 7}, small_classes="leave out")


def test_a_table_is_refused_before_its_first_task(pool, monkeypatch):
    monkeypatch.setattr("crosspoint.eval.protocols.few_shot.support_accuracy", lambda *_: pytest.fail("a task was run"))
    for settings, message in (
        ([(2, 3), (9, 3)], "found 8 classes"),
        ([(2, 3), (2, 9)], "expected at least 19 of each"),
        ([(2, 3), (2, 3)], "each once"),
        ([], r"found settings \[\]"),
    ):
        with pytest.raises(ValueError, match=message):
            few_shot_table(*pool, settings=settings, queries=10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ways": 9}, "found 8 classes in the pool, expected at least 9"),
        ({"shots": 6}, r"found 15 samples of class 0 \(8 such classes\), expected at least 16"),
        ({"queries": 0}, "0 queries"),
        ({"ways": 1}, "1 ways"),
        ({"runs": 0}, "0 runs"),
        ({"C": 0.0}, "positive"),
        ({"small_classes": "drop"}, 'small_classes "drop"'),
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
