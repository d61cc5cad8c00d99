"""Errors of depth maps, as Eigen et al. (2014, https://arxiv.org/abs/1406.2283) measure them on KITTI.

Every figure is of one image, and a data set's is the mean over its images: images with many measured pixels count as
much as others.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from crosspoint.renderers.json_object import JsonObject

Area = Literal["whole", "garg", "eigen"]

NEAREST, FARTHEST = 1e-3, 80.0  # meters between which KITTI's depths count, and to which predictions are clipped
ERRORS = ("abs_rel", "sq_rel", "rmse", "rmse_log", "log10", "silog")
ACCURACIES = ("delta1", "delta2", "delta3")
NAMES = (*ERRORS, *ACCURACIES)
UNITS: JsonObject = {"sq_rel": "m", "rmse": "m", **dict.fromkeys(ACCURACIES, "%")}

# Rows and columns of the crops, as shares of an image's height and width: Garg et al. (2016,
# https://arxiv.org/abs/1603.04992), whom all follow, and Eigen et al.
AREAS: dict[Area, tuple[tuple[float, float], tuple[float, float]]] = {
    "whole": ((0.0, 1.0), (0.0, 1.0)),
    "garg": ((0.40810811, 0.99189189), (0.03594771, 0.96405229)),
    "eigen": ((0.3324324, 0.91351351), (0.03594771, 0.96405229)),
}


def area_mask(size: tuple[int, int], area: Area = "whole") -> np.ndarray:
    """Which pixels of an image of a size (H, W) count: (H, W) bool.

    Raises:
        ValueError: if there is no such area.
    """
    if area not in AREAS:
        raise ValueError(f"found the area {area!r}, expected one of: {', '.join(get_args(Area))}")
    (top, bottom), (left, right) = AREAS[area]
    height, width = size
    mask = np.zeros(size, dtype=bool)
    mask[int(top * height) : int(bottom * height), int(left * width) : int(right * width)] = True
    return mask


def depth_errors(
    predicted: np.ndarray,
    truth: np.ndarray,
    *,
    area: Area = "whole",
    nearest: float = NEAREST,
    farthest: float = FARTHEST,
) -> dict[str, float] | None:
    """Errors of one image, over the pixels of an area whose true depth lies between `nearest` and `farthest`.

    - abs_rel: mean of |p − g| / g; sq_rel: mean of (p − g)² / g, in meters.
    - rmse: root of the mean of (p − g)², in meters; rmse_log: the same of e = ln p − ln g.
    - log10: mean of |log₁₀ p − log₁₀ g|.
    - silog: 100 √(mean of e² − (mean of e)²), which a common factor of all predictions does not change.
    - delta1, delta2, delta3: percent of pixels with max(p / g, g / p) below 1.25, 1.25², 1.25³.

    Args:
        predicted: (H, W) meters, which are clipped to the range.
        truth: (H, W) meters, 0 where nothing was measured.
        area: of the image.
        nearest: meters that a true depth must exceed.
        farthest: meters below which it must be.

    Returns:
        None where no pixel counts.

    Raises:
        ValueError: if shapes differ, or a prediction that counts is not finite.
    """
    if predicted.ndim != 2 or predicted.shape != truth.shape:
        raise ValueError(
            f"found depth of shape {predicted.shape} for a truth of shape {truth.shape}, expected the same (H, W)"
        )
    height, width = truth.shape
    counted = area_mask((height, width), area) & (truth > nearest) & (truth < farthest)
    if not counted.any():
        return None
    p, g = predicted[counted].astype(np.float64), truth[counted].astype(np.float64)
    if not np.isfinite(p).all():
        raise ValueError(f"found NaN or infinite depth at {int((~np.isfinite(p)).sum())} pixels, expected finite ones")
    p = p.clip(nearest, farthest)
    e, ratio = np.log(p) - np.log(g), np.maximum(p / g, g / p)
    variance = max(0.0, float((e**2).mean() - e.mean() ** 2))  # rounding may bring that of a constant below 0
    errors = {
        "abs_rel": (abs(p - g) / g).mean(),
        "sq_rel": ((p - g) ** 2 / g).mean(),
        "rmse": np.sqrt(((p - g) ** 2).mean()),
        "rmse_log": np.sqrt((e**2).mean()),
        "log10": abs(e).mean() / np.log(10),
        "silog": 100 * np.sqrt(variance),
        **{name: 100 * (ratio < 1.25**power).mean() for power, name in enumerate(ACCURACIES, start=1)},
    }
    return {name: float(value) for name, value in errors.items()}


def mean_errors(images: Sequence[dict[str, float] | None]) -> dict[str, float]:
    """The mean of each figure over the images in which a pixel counts.

    Raises:
        ValueError: if there is no such image.
    """
    counted = [errors for errors in images if errors is not None]
    if not counted:
        raise ValueError(
            f"found no pixel of {len(images)} images with a depth that counts, expected some: check the calibration, "
            "and the range and the area that are measured"
        )
    return {name: float(np.mean([errors[name] for errors in counted])) for name in NAMES}
