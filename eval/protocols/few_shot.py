"""Few-shot classification with a linear SVM on frozen features: the family `svm`.

The protocol of CrossPoint (CVPR 2022, https://arxiv.org/abs/2203.00680): every run draws new classes and new samples
of one pool (the training split), fits a scaler and an SVM on the support set and answers the queries. Point-BERT and
its successors fine-tune on ten stored folds instead (`crosspoint.eval.protocols.pointbert_folds`); their figures do not
compare with these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np
from joblib import Parallel, delayed
from sklearn.preprocessing import StandardScaler

from crosspoint.eval.arrays import as_array
from crosspoint.eval.classifiers.svm import accuracy, check_features, svm_predictions
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import clouds_label
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol, on_dataset
from crosspoint.eval.results import Result
from crosspoint.renderers.json_object import JsonObject

SETTINGS = ((5, 10), (5, 20), (10, 10), (10, 20))  # ways and shots that the papers report
SCALING = "standardized on the support set"
SmallClasses = Literal["refuse", "leave out"]


@dataclass(frozen=True)
class FewShot(Protocol):
    """Few-shot accuracy of a linear SVM on frozen features (CrossPoint's protocol), for all ways with all shots.

    Args:
        split: name of the split that tasks are drawn from; CrossPoint draws from train
        ways: classes in a task, one number or a list
        shots: labeled samples of each class, one number or a list
        queries: samples of each class to answer
        runs: number of tasks of each setting
        small_classes: what happens to classes with too few members for a task
    """

    name = "fewshot"
    unread = frozenset({"allow_overlap"})
    study_flags: ClassVar[Mapping[str, str]] = {
        flag: flag for flag in ("split", "ways", "shots", "queries", "runs", "small_classes")
    }

    split: str = "train"
    ways: int | list[int] = field(default_factory=lambda: [5, 10])
    shots: int | list[int] = field(default_factory=lambda: [10, 20])
    queries: int = 20
    runs: int = 10
    small_classes: SmallClasses = "refuse"

    @property
    def settings(self) -> list[tuple[int, int]]:
        """Ways and shots."""
        ways, shots = ([each] if isinstance(each, int) else each for each in (self.ways, self.shots))
        return [(way, shot) for way in ways for shot in shots]

    def feature_splits(self) -> tuple[str, ...]:
        """Of the pool."""
        return (self.split,)

    def check_settings(self, data: EvaluationData) -> None:
        """Refuse no setting, and one that is given twice."""
        if not self.settings or len({*self.settings}) < len(self.settings):
            raise ValueError(f"found ways {self.ways} and shots {self.shots}, expected some of both, each once")

    def check(self, data: EvaluationData) -> None:
        """Refuse pools with too few classes or members."""
        labels = data.clouds(self.split).labels
        for ways, shots in self.settings:
            task_pool(np.zeros((len(labels), 1)), labels, ways, shots, self.queries, self.runs, 1.0, self.small_classes)

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `few_shot_table`."""
        pool = run.data.clouds(self.split)
        result = few_shot_table(
            run.features(self.split),
            pool.labels,
            settings=self.settings,
            queries=self.queries,
            runs=self.runs,
            small_classes=self.small_classes,
            seed=run.seed,
            jobs=run.jobs,
        )
        return on_dataset(result, f"{pool.name} ({self.split})"), {}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Accuracy of each setting."""
        label = clouds_label(data.clouds(self.split), data.root)
        return [task_column("few-shot", *each, label, self.name) for each in self.settings]

    def facts(self) -> dict[str, str]:
        """How tasks were drawn."""
        return {"few-shot": f"{self.runs} tasks of {self.queries} queries a class, drawn from {self.split}"}


def task_column(title: str, ways: int, shots: int, data: str, protocol: str) -> Column:
    """The column of one setting of ways and shots."""
    return Column(f"{title} {ways}-way {shots}-shot, {data}", protocol, f"{ways}way_{shots}shot")


def few_shot_table(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    settings: Sequence[tuple[int, int]] = SETTINGS,
    queries: int = 20,
    runs: int = 50,
    C: float = 1.0,
    small_classes: SmallClasses = "refuse",
    seed: int = 0,
    jobs: int = 1,
) -> Result:
    """`few_shot` for several (ways, shots): "5way_10shot" and "5way_10shot_std" are the accuracy and its deviation.

    Each setting's figures and tasks are those of `few_shot` with the same seed. CrossPoint's script makes 50 runs, its
    paper reports 10.

    Args:
        features: (n, C) features of the pool.
        labels: (n,) labels.
        settings: pairs of ways and shots.
        queries: samples of each class to answer.
        runs: number of tasks of each setting.
        C: of the SVM.
        small_classes: what happens to classes with fewer members than a setting's shots and queries.
        seed: of all tasks.
        jobs: threads, -1 for one per core; the result does not depend on it.

    Raises:
        ValueError: as `few_shot`, before any task is run, or if there is no setting or one is given twice.
    """
    features, labels = as_array(features), as_array(labels)
    if not settings or len({*settings}) < len(settings):
        raise ValueError(f"found settings {[*settings]}, expected pairs of ways and shots, each once")
    for ways, shots in settings:
        task_pool(features, labels, ways, shots, queries, runs, C, small_classes)
    own = ("ways", "shots", "pool", "classes")  # constants of each setting; the others are all settings'
    metrics: dict[str, float] = {}
    made: list[JsonObject] = []
    records: list[JsonObject] = []
    for ways, shots in settings:
        result = few_shot(
            features,
            labels,
            ways=ways,
            shots=shots,
            queries=queries,
            runs=runs,
            C=C,
            small_classes=small_classes,
            seed=seed,
            jobs=jobs,
        )
        name = f"{ways}way_{shots}shot"
        metrics |= {name: result.metrics["accuracy"], f"{name}_std": result.metrics["accuracy_std"]}
        made.append({key: result.constants[key] for key in own})
        records += [{"ways": ways, "shots": shots, **row} for row in result.records]
    shared = {key: value for key, value in result.constants.items() if key not in own}
    return Result("few_shot/svm", metrics, {"settings": made} | shared, records)


def few_shot(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    ways: int = 5,
    shots: int = 10,
    queries: int = 20,
    runs: int = 10,
    C: float = 1.0,
    small_classes: SmallClasses = "refuse",
    seed: int = 0,
    jobs: int = 1,
) -> Result:
    """Mean and population standard deviation over `runs` tasks of the accuracy on `ways * queries` queries, in percent.

    Args:
        features: (n, C) features of the pool.
        labels: (n,) labels.
        ways: classes in a task.
        shots: labeled samples of each class.
        queries: samples of each class to answer.
        runs: number of tasks; CrossPoint reports 10.
        C: of the SVM.
        small_classes: what happens to classes with fewer members than `shots + queries`.
        seed: of all tasks; each task's own seed is in `records`, and `draw_task` draws it again from the labels that
            are not left out.
        jobs: threads, -1 for one per core; the result does not depend on it.

    Raises:
        ValueError: if shapes do not fit, a value is not finite or not positive, or the pool is too small.
    """
    features, labels = as_array(features), as_array(labels)
    features, labels = task_pool(features, labels, ways, shots, queries, runs, C, small_classes)
    seeds = [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(runs)]
    # Threads: libsvm releases the interpreter, and the features are shared.
    scores = Parallel(n_jobs=jobs, prefer="threads")(
        delayed(_run)(features, *draw_task(labels, ways, shots, queries, each), C) for each in seeds
    )
    records: list[JsonObject] = [{"seed": s, "accuracy": a} for s, a in zip(seeds, scores, strict=True)]
    constants = {
        "ways": ways,
        "shots": shots,
        "queries": queries,
        "runs": runs,
        "C": float(C),
        "scaling": SCALING,
        "small_classes": small_classes,
        "seed": seed,
        "pool": len(labels),
        "classes": len(np.unique(labels)),
        "features": features.shape[1],
    }
    metrics = {"accuracy": float(np.mean(scores)), "accuracy_std": float(np.std(scores))}
    return Result("few_shot/svm", metrics, constants, records)


def task_pool(
    features: np.ndarray,
    labels: np.ndarray,
    ways: int,
    shots: int,
    queries: int,
    runs: int,
    C: float,
    small_classes: SmallClasses,
) -> tuple[np.ndarray, np.ndarray]:
    """Those of features (n, C) and labels (n,) that tasks are drawn from.

    Raises:
        ValueError: if there are too few, or a number is out of range.
    """
    check_features(features, labels, "pool")
    if min(ways - 1, shots, queries, runs) < 1:
        raise ValueError(
            f"found {ways} ways, {shots} shots, {queries} queries and {runs} runs, expected 2 ways and 1 of the others"
        )
    if not (np.isfinite(C) and C > 0):
        raise ValueError(f"found C {C}, expected a positive number")
    if small_classes not in ("refuse", "leave out"):
        raise ValueError(f'found small_classes "{small_classes}", expected "refuse" or "leave out"')
    classes, members = np.unique(labels, return_counts=True)
    small = members < shots + queries
    if small.any() and small_classes == "refuse":
        raise ValueError(
            f"found {members[small][0]} samples of class {classes[small][0]} ({small.sum()} such classes), expected at "
            f"least {shots + queries} of each ({shots} shots + {queries} queries): ask for fewer, or leave them out"
        )
    large = np.isin(labels, classes[~small])
    count = len(classes) - int(small.sum())
    if count < ways:
        enough = f"with {shots + queries} samples ({shots} shots + {queries} queries) " if small.any() else ""
        raise ValueError(f"found {count} classes {enough}in the pool, expected at least {ways} for {ways} ways")
    return features[large], labels[large]


def draw_task(labels: np.ndarray, ways: int, shots: int, queries: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw one task: `ways` classes, and of each class `shots` support and `queries` query samples, none twice.

    Args:
        labels: (n,) labels of the pool, with enough classes and members.
        ways: number of classes.
        shots: support samples of each class.
        queries: query samples of each class.
        seed: decides the draw.

    Returns:
        Indices into the pool of the support (ways, shots) and query (ways, queries) samples, a row for each class.
    """
    generator = np.random.default_rng(seed)
    drawn = [
        generator.choice(np.flatnonzero(labels == label), shots + queries, replace=False)
        for label in generator.choice(np.unique(labels), ways, replace=False)
    ]
    support, query = np.split(np.stack(drawn), [shots], axis=1)
    return support, query


def support_accuracy(
    support_x: np.ndarray, support_y: np.ndarray, query_x: np.ndarray, query_y: np.ndarray, C: float
) -> float:
    """Accuracy in percent of `make_pipeline(StandardScaler(), SVC(kernel="linear", C=C))`, the same one.

    Args:
        support_x: (s, C) features.
        support_y: (s,) labels.
        query_x: (q, C) features.
        query_y: (q,) labels.
        C: of the SVM.
    """
    scaler = StandardScaler().fit(support_x)
    answers = svm_predictions(scaler.transform(support_x), support_y, scaler.transform(query_x), [C])[0]
    return accuracy(answers, query_y)


def _run(features: np.ndarray, support: np.ndarray, query: np.ndarray, C: float) -> float:
    """Accuracy in percent of one task; its classes are numbered in the order they were drawn."""
    ways = np.arange(len(support))
    known, asked = features[support.ravel()], features[query.ravel()]
    return support_accuracy(known, ways.repeat(support.shape[1]), asked, ways.repeat(query.shape[1]), C)
