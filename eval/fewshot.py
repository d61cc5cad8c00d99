"""Few-shot classification with a linear SVM on frozen features.

The protocol of CrossPoint (CVPR 2022, https://arxiv.org/abs/2203.00680): every run draws new classes and new samples
of one pool (the training split), fits a scaler and an SVM on the support set and answers the queries. Point-BERT and
its successors fine-tune on ten stored folds instead; their figures do not compare with these.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from eval.results import Result
from eval.svm import accuracy, check_features


def few_shot(
    features: np.ndarray,
    labels: np.ndarray,
    *,
    ways: int = 5,
    shots: int = 10,
    queries: int = 20,
    runs: int = 10,
    C: float = 1.0,
    seed: int = 0,
    jobs: int = 1,
) -> Result:
    """Mean and population standard deviation over `runs` tasks of the accuracy on `ways * queries` queries, in percent.

    Args:
        features: (n, C) features of the pool.
        labels: (n,) labels.
        ways: classes in a task.
        shots: labelled samples of each class.
        queries: samples of each class to answer.
        runs: number of tasks; CrossPoint reports 10.
        C: of the SVM.
        seed: of all tasks; each task's own seed is in `records`, and `draw_task` draws it again.
        jobs: threads, -1 for one per core; the result does not depend on it.

    Raises:
        ValueError: if shapes do not fit, a value is not finite or not positive, or the pool is too small.
    """
    features, labels = np.asarray(features), np.asarray(labels)
    check_features(features, labels, "pool")
    if min(ways - 1, shots, queries, runs) < 1:
        raise ValueError(
            f"found {ways} ways, {shots} shots, {queries} queries and {runs} runs, expected 2 ways and 1 of the others"
        )
    if not (np.isfinite(C) and C > 0):
        raise ValueError(f"found C {C}, expected a positive number")
    classes, members = np.unique(labels, return_counts=True)
    if len(classes) < ways:
        raise ValueError(f"found {len(classes)} classes in the pool, expected at least {ways} for {ways} ways")
    small = members < shots + queries
    if small.any():
        raise ValueError(
            f"found {members[small][0]} samples of class {classes[small][0]} ({small.sum()} such classes), expected at "
            f"least {shots + queries} of each ({shots} shots + {queries} queries): ask for fewer, or leave them out"
        )
    seeds = [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(runs)]
    # Threads: libsvm releases the interpreter, and the features are shared.
    scores = Parallel(n_jobs=jobs, prefer="threads")(
        delayed(_run)(features, *draw_task(labels, ways, shots, queries, each), C) for each in seeds
    )
    records: list[dict[str, Any]] = [{"seed": s, "accuracy": a} for s, a in zip(seeds, scores, strict=True)]
    constants = {
        "ways": ways,
        "shots": shots,
        "queries": queries,
        "runs": runs,
        "C": float(C),
        "scaling": "standardised on the support set",
        "seed": seed,
        "pool": len(labels),
        "classes": len(classes),
        "features": features.shape[1],
    }
    metrics = {"accuracy": float(np.mean(scores)), "accuracy_std": float(np.std(scores))}
    return Result("few_shot", metrics, constants, records)


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


def _run(features: np.ndarray, support: np.ndarray, query: np.ndarray, C: float) -> float:
    """Accuracy in percent of one task; its classes are numbered in the order they were drawn."""
    scaler = StandardScaler().fit(features[support.ravel()])
    ways = np.arange(len(support))
    machine = SVC(kernel="linear", C=C)
    machine.fit(scaler.transform(features[support.ravel()]), ways.repeat(support.shape[1]))
    answers = machine.predict(scaler.transform(features[query.ravel()]))
    return accuracy(answers, ways.repeat(query.shape[1]))
