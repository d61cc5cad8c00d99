"""Figures that papers report, to stand beside measured ones: where data and protocol are the same.

Their C, and often their checkpoint, were chosen on the test split. Few-shot and fine-tuning on stored folds is left
out: its protocol has no column here.
"""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One line of a paper."""

    method: str
    figures: dict[tuple[str, str], float]  # (protocol, data) → percent
    source: str


CROSSPOINT = "Afham et al., CVPR 2022, https://arxiv.org/abs/2203.00680"
COMPARED = f"as compared in {CROSSPOINT}"
M2AE = "Zhang et al., NeurIPS 2022, https://arxiv.org/abs/2205.14401"


def _linear(modelnet40: float, scanobjectnn: float | None = None) -> dict[tuple[str, str], float]:
    figures = {("linear", "modelnet40"): modelnet40}
    return figures if scanobjectnn is None else {**figures, ("linear", "scanobjectnn/obj_bg"): scanobjectnn}


def _parts(instance_miou: float, category_miou: float | None = None) -> dict[tuple[str, str], float]:
    figures = {("partseg", "shapenetpart"): instance_miou}
    return figures if category_miou is None else {**figures, ("partseg_category", "shapenetpart"): category_miou}


PUBLISHED = (
    Published("PointNet + Jigsaw", _linear(87.3, 55.2), COMPARED),
    Published("PointNet + STRL", _linear(88.3, 74.2), COMPARED),
    Published("PointNet + Rotation", _linear(88.6), COMPARED),
    Published("PointNet + OcCo", _linear(88.7, 69.5), COMPARED),
    Published("PointNet + CrossPoint", _linear(89.1, 75.6), CROSSPOINT),
    Published("DGCNN + Jigsaw", _linear(90.6, 59.5), COMPARED),
    Published("DGCNN + STRL", _linear(90.9, 77.9), COMPARED),
    Published("DGCNN + Rotation", _linear(90.8), COMPARED),
    Published("DGCNN + OcCo", _linear(89.2, 78.3), COMPARED),
    Published("DGCNN + CrossPoint", {**_linear(91.2, 81.7), **_parts(85.5)}, CROSSPOINT),
    Published("DGCNN + CrossMoCo", _linear(91.49), "Paul et al., CRV 2023, as paperswithcode.com lists it"),
    Published("DGCNN + IAE", _linear(92.06), "Yan et al., ICCV 2023, https://github.com/SimingYan/IAE"),
    Published("DGCNN + MM-Point", _linear(92.4, 87.8), "Yu and Song, AAAI 2024, https://arxiv.org/abs/2402.10002"),
    Published("Point-BERT", _linear(87.4), f"as compared in {M2AE}"),
    Published("Point-MAE", _linear(91.0), f"as compared in {M2AE}"),
    Published("Point-M2AE", {**_linear(92.87, 84.12), **_parts(86.51, 84.86)}, M2AE),
    Published("I2P-MAE", _linear(93.35, 87.09), "Zhang et al., CVPR 2023, https://arxiv.org/abs/2212.06785"),
    Published("ReCon", {**_linear(93.4), **_parts(86.4)}, "Qi et al., ICML 2023, https://arxiv.org/abs/2302.02318"),
    Published("PointGPT-B", _parts(86.5), "Chen et al., NeurIPS 2023, https://arxiv.org/abs/2305.11487"),
    Published("Point-JEPA", _linear(93.7), "Saito et al., 2024, https://arxiv.org/abs/2404.16432"),
)
