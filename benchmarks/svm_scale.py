"""Five linear SVMs that differ in C, by the Gram matrix of all samples and by those of pairs of classes, as n grows.

This is one fold and one scaling of the validated protocol, which has ten such and two fits more. Classes are as uneven
as ShapeNet's 55: the k-th has a share of 1/k. Seconds are of the processor, so work beside it counts less.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measure import options, report, resident
from benchmarks.svm import COSTS, features
from crosspoint.eval.classifiers.svm import GRAM_BYTES, svm_predictions


def main() -> None:
    """Run it."""
    parser = options("linear SVMs by all samples and by pairs of classes")
    parser.add_argument("--samples", type=int, nargs="+", default=None, help="default 2000 4000 8000, quick 400")
    parser.add_argument("--paths", nargs="+", choices=["all", "pairs"], default=["all", "pairs"])
    args = parser.parse_args()
    counts = args.samples or ([400] if args.quick else [2000, 4000, 8000])
    report("svm_scale", [row(count, path, args) for count in counts for path in args.paths], args)


def row(samples: int, path: str, args: argparse.Namespace) -> dict[str, Any]:
    """Measure one way at one size."""
    dimensions, classes = (256, 10) if args.quick else (2048, 55)
    shares = 1 / np.arange(1, classes + 1)
    x, y = features(samples + samples // 4, dimensions, classes, 0.3, shares / shares.sum())
    largest = np.sort(np.bincount(y[:samples]))[-2:].sum()
    memory = GRAM_BYTES if path == "all" else int(8 * largest**2)
    run = lambda: svm_predictions(x[:samples], y[:samples], x[samples:], COSTS, memory=memory)  # noqa: E731
    seconds, peak, answers = measured(run)
    return {
        "samples": samples,
        "dimensions": dimensions,
        "classes": classes,
        "largest_pair": int(largest),
        "path": path,
        "accuracy": " ".join(f"{100 * (each == y[samples:]).mean():.1f}" for each in answers),
        "cpu_seconds": seconds,
        "peak_mb": peak / 2**20,
    }


def measured(run: Callable[[], list[np.ndarray]]) -> tuple[float, int, list[np.ndarray]]:
    """Seconds of the processor, bytes by which the process grew at most, and the answers of a single run."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")
    before, start = resident("VmRSS"), time.process_time()
    answers = run()
    return time.process_time() - start, resident("VmHWM") - before, answers


if __name__ == "__main__":
    main()
