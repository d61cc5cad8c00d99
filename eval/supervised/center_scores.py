"""Average precision by the distance of centers, on any frames with boxes, as nuScenes' detection challenge counts.

Caesar et al. 2020, https://arxiv.org/abs/1903.11027, section 4.1, by the code that equals the devkit's
(`crosspoint.eval.metrics.detection.nuscenes`). Three things differ, as most datasets say nothing of them: all labeled
boxes count, whatever their distance and the returns in them; the heading counts for every class, by the whole turn; and
velocity and attribute are left out, of the score too.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from crosspoint.eval.metrics.detection.nuscenes import DISTANCES, ERRORS, class_scores
from crosspoint.eval.metrics.detection.nuscenes_matching import Stacked
from crosspoint.eval.supervised.box_scores import check_frames
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.datasets.nuscenes_boxes import NO_ATTRIBUTE, NuScenesBoxes
from crosspoint.scene.detection.found_boxes import FoundBoxes

KNOWN = ERRORS[:3]  # translation, scale, orientation
AP_WEIGHT = 5
SIZES = (1e-6, 1e6)  # meters: a labeled box may have no extent, and one that was found any


def center_scores(
    found: Sequence[FoundBoxes], truth: Sequence[Boxes], names: Sequence[str]
) -> tuple[dict[str, float], list[JsonObject]]:
    """Figures of all classes, and a row for each.

    Args:
        found: of each frame.
        truth: likewise.
        names: of the classes.

    Returns:
        "map_centers", the mean AP in percent over the classes that occur and the distances 0.5, 1, 2 and 4 m;
        "translation_error" in meters, "scale_error" (1 − IoU of boxes put onto each other) and "orientation_error" in
        radians, means over these classes of what is found within 2 m, 1 where nothing is; and "nds_like" in percent,
        (5 · mean AP + Σ max(0, 1 − error)) / 8. Of each class its name, "ap_centers", AP at each distance and the
        errors, None where it has no object.

    Raises:
        ValueError: if there is no frame or no object, or there are detections of another number of frames.
    """
    check_frames(found, truth)
    rows, aps, errors = [], [], []
    for label, name in enumerate(names):
        labeled = Stacked([_of_class(boxes, label) for boxes in truth])
        ap, error = class_scores(labeled, Stacked([_of_class(boxes, label) for boxes in found]), 0)
        there = len(labeled.labels) > 0
        if there:
            aps.append(100 * ap)
            errors.append(error[: len(KNOWN)])
        values = [100 * float(ap.mean()), *(100 * ap).tolist(), *error[: len(KNOWN)].tolist()]
        keys = ["ap_centers", *(f"ap_{distance:g}m" for distance in DISTANCES), *(f"{each}_error" for each in KNOWN)]
        rows.append({"class": name, **{key: value if there else None for key, value in zip(keys, values, strict=True)}})
    mean_ap, means = float(np.mean(aps)), np.mean(errors, axis=0)
    right = 100 * np.maximum(0, 1 - means).sum()
    figures = {"map_centers": mean_ap, "nds_like": float((AP_WEIGHT * mean_ap + right) / (AP_WEIGHT + len(KNOWN)))}
    return figures | {f"{name}_error": float(value) for name, value in zip(KNOWN, means, strict=True)}, rows


def _of_class(boxes: Boxes | FoundBoxes, label: int) -> NuScenesBoxes:
    """The boxes of one class, under the number 0, of which no velocity and no attribute is known."""
    own = (boxes.labels == label).numpy()
    geometry, count = boxes.geometry.double().numpy()[own], int(own.sum())
    geometry = np.concatenate([geometry[:, :3], geometry[:, 3:6].clip(*SIZES), geometry[:, 6:]], axis=1)
    scores = boxes.scores.double().numpy()[own] if isinstance(boxes, FoundBoxes) else None
    kind = np.zeros(count, dtype=np.int64)
    return NuScenesBoxes(geometry, kind, np.zeros((count, 2)), np.full(count, NO_ATTRIBUTE), scores)
