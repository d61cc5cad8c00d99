"""Error under corruptions, relative to a baseline: mCE and RmCE of ModelNet-C.

Ren et al., ICML 2022, https://arxiv.org/abs/2202.03377, section 3.3: CE of a corruption is the error of a network over
that of the baseline, RCE the loss of accuracy from clean clouds over that of the baseline. mCE and RmCE are their
means. Accuracies of the baseline are those that https://github.com/ldkong1205/PointCloud-C divides by.
"""

from __future__ import annotations

from collections.abc import Mapping

# A supervised DGCNN on ModelNet-C: mean accuracy over five severities, and on clean clouds.
DGCNN_CLEAN = 0.926
DGCNN = {
    "scale": 0.906,
    "jitter": 0.684,
    "rotate": 0.785,
    "dropout_global": 0.752,
    "dropout_local": 0.793,
    "add_global": 0.705,
    "add_local": 0.725,
}


def mean_corruption_error(accuracies: Mapping[str, float], baseline: Mapping[str, float] = DGCNN) -> float:
    """Mean over corruptions of (1 − OA) / (1 − OA of the baseline): 1 for the baseline, less is better.

    Args:
        accuracies: from 0 to 1, by corruption.
        baseline: the same of the baseline.

    Raises:
        ValueError: if they are of other corruptions.
    """
    _check(accuracies, baseline)
    return sum((1 - accuracies[name]) / (1 - baseline[name]) for name in baseline) / len(baseline)


def relative_mean_corruption_error(
    clean: float,
    accuracies: Mapping[str, float],
    baseline_clean: float = DGCNN_CLEAN,
    baseline: Mapping[str, float] = DGCNN,
) -> float:
    """Mean over corruptions of (clean − OA) / (clean − OA of the baseline), each with its own clean accuracy.

    Raises:
        ValueError: if they are of other corruptions.
    """
    _check(accuracies, baseline)
    return sum((clean - accuracies[name]) / (baseline_clean - baseline[name]) for name in baseline) / len(baseline)


def _check(accuracies: Mapping[str, float], baseline: Mapping[str, float]) -> None:
    if accuracies.keys() != baseline.keys():
        raise ValueError(f"found accuracies of {', '.join(accuracies)}, expected {', '.join(baseline)}")
