"""Error under corruptions, relative to a baseline: mCE and RmCE of ModelNet-C, mCE and mRR of Robo3D.

Ren et al., ICML 2022, https://arxiv.org/abs/2202.03377, section 3.3: CE of a corruption is the error of a network over
that of the baseline, RCE the loss of accuracy from clean clouds over that of the baseline. mCE and RmCE are their
means. Accuracies of the baseline are those that https://github.com/ldkong1205/PointCloud-C divides by. Robo3D (Kong et
al., ICCV 2023, https://arxiv.org/abs/2303.17597) divides errors of mIoU, summed over severities, by those of a
MinkUNet-18, from https://github.com/ldkong1205/Robo3D, docs/results; mRR is what is left of the clean mIoU.
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

# mIoU of a supervised MinkUNet-18, mean over three severities, by the dataset that the corrupted frames are of.
MINKUNET18 = {
    "nuscenes": {
        "motion_blur": 0.7339,
        "beam_missing": 0.6854,
        "crosstalk": 0.2658,
        "incomplete_echo": 0.6383,
        "cross_sensor": 0.5095,
        "fog": 0.5364,
        "wet_ground": 0.7391,
        "snow": 0.4035,
    },
    "semantickitti": {
        "motion_blur": 0.3292,
        "beam_missing": 0.5632,
        "crosstalk": 0.5834,
        "incomplete_echo": 0.5443,
        "cross_sensor": 0.4605,
        "fog": 0.5587,
        "wet_ground": 0.5399,
        "snow": 0.5328,
    },
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


def mean_frame_error(shares: Mapping[str, float], dataset: str) -> float | None:
    """Mean over corruptions of (1 − mIoU) / (1 − mIoU of the baseline), Robo3D's mCE; None where it has no baseline.

    Args:
        shares: mIoU from 0 to 1, mean over the severities, by corruption.
        dataset: of the frames.

    Raises:
        ValueError: if they are of other corruptions.
    """
    baseline = MINKUNET18.get(dataset)
    return None if baseline is None else mean_corruption_error(shares, baseline)


def mean_resilience(clean: float, shares: Mapping[str, float]) -> float:
    """Mean over corruptions of mIoU as a share of the clean mIoU, Robo3D's mRR; 0 where the clean mIoU is."""
    return sum(shares.values()) / len(shares) / clean if clean > 0 else 0.0


def _check(accuracies: Mapping[str, float], baseline: Mapping[str, float]) -> None:
    if accuracies.keys() != baseline.keys():
        raise ValueError(f"found accuracies of {', '.join(accuracies)}, expected {', '.join(baseline)}")
