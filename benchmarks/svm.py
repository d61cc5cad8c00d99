"""Five linear SVMs that differ in C: one Gram matrix for all of them, against one `SVC(kernel="linear")` after another.

libsvm's time depends on how far the classes overlap, so two sets of features are tried. Both resemble a network's:
float32, all dimensions shifted by a common positive vector, classes that differ in few directions. At full size
(ModelNet40's) the peer takes minutes, so one round is the default; `--samples 2460` gives a quarter of the problem.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from sklearn.svm import SVC

from benchmarks.measure import medians, options, peak_memory, report
from crosspoint.eval.classifiers.svm import accuracy, svm_predictions

COSTS = (0.01, 0.1, 1.0, 10.0, 100.0)
SPREADS = {"apart": 0.6, "overlapping": 0.3}  # of class means, in standard deviations within a class


def features(
    samples: int, dimensions: int, classes: int, spread: float, shares: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian classes in 64 directions with noise in all: (samples, dimensions) float32, (samples,) labels."""
    generator = np.random.default_rng(0)
    labels = generator.integers(classes, size=samples)
    if shares is not None:
        labels = generator.choice(classes, size=samples, p=shares)
    hidden = spread * generator.normal(size=(classes, 64))[labels] + generator.normal(size=(samples, 64))
    noise = 1.4 * generator.normal(size=(samples, dimensions))
    common = abs(generator.normal(size=dimensions))
    x = (hidden @ generator.normal(size=(64, dimensions)) + noise) / np.sqrt(dimensions) + common
    return x.astype(np.float32), labels


def one_by_one(x: np.ndarray, y: np.ndarray, test: np.ndarray) -> list[np.ndarray]:
    """What people write."""
    return [SVC(kernel="linear", C=cost).fit(x, y).predict(test) for cost in COSTS]


def main() -> None:
    """Run it."""
    parser = options("five linear SVMs")
    parser.add_argument("--samples", type=int, default=None, help="training samples (default 9840, quick 400)")
    args = parser.parse_args()
    report("svm", [row(name, spread, args) for name, spread in SPREADS.items()], args)


def row(name: str, spread: float, args: argparse.Namespace) -> dict[str, Any]:
    """Measure both ways on one set of features."""
    samples = args.samples or (400 if args.quick else 9840)
    dimensions, classes = (256, 10) if args.quick else (2048, 40)
    x, y = features(samples + samples // 4, dimensions, classes, spread)
    train, answers, test, truth = x[:samples], y[:samples], x[samples:], y[samples:]
    found: dict[str, list[np.ndarray]] = {}
    contenders = {
        "ours": lambda: found.update(ours=svm_predictions(train, answers, test, COSTS)),
        "SVC": lambda: found.update(SVC=one_by_one(train, answers, test)),
    }
    seconds = medians(contenders, args.rounds or 1)
    return {
        "classes": name,
        "samples": samples,
        "dimensions": dimensions,
        "accuracy": " ".join(f"{accuracy(each, truth):.1f}" for each in found["ours"]),
        "differing_answers": sum(int((a != b).sum()) for a, b in zip(found["ours"], found["SVC"], strict=True)),
        "ours_seconds": seconds["ours"],
        "SVC_seconds": seconds["SVC"],
        "faster": seconds["SVC"] / seconds["ours"],
        "ours_peak_mb": peak_memory(contenders["ours"]) / 2**20,
    }


if __name__ == "__main__":
    main()
