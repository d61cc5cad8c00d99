"""Data that a page needs of a frame, as JSON; arrays are base64 of little-endian numbers, as short as may be."""

from __future__ import annotations

import base64
from collections.abc import Sequence

import numpy as np

from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.viz import colors
from crosspoint.scene.viz.boxes import box_kinds
from crosspoint.scene.viz.colorings import (
    Categorical,
    Coloring,
    Continuous,
    by_class,
    by_height,
    by_image,
    by_intensity,
    by_weak_label,
)
from crosspoint.scene.viz.outlines import box_lines, camera_lines
from crosspoint.scene.viz.point_features import PointFeatures, by_components
from crosspoint.scene.viz.similarity import reduced, reduction_error

STEPS = 65535  # into which the cloud's largest extent is divided: 3 mm of 200 m
_CAMERA = 1.5  # meters: the length of a camera's pyramid
_FRUSTUM = "#ffd257"


def payload(
    frame: LidarSample,
    classes: Sequence[str],
    predictions: np.ndarray | None,
    box_classes: Sequence[str] = (),
    features: PointFeatures | None = None,
    weak_classes: Sequence[str] = (),
    further: Sequence[Coloring] = (),
    found: Boxes | None = None,
) -> JsonObject:
    """Everything a page shows of a frame of N points; arguments as in `crosspoint.scene.viz.page.write_page`."""
    shown: list[Coloring] = [*by_class(frame, classes, predictions), *further]
    if weak_classes and len(frame.pair_point):
        shown.append(by_weak_label(frame, classes, weak_classes))
    shown.append(by_height(frame))
    if "intensity" in frame.point_fields:
        shown.append(by_intensity(frame))
    if len(frame.pair_point):
        shown.append(by_image(frame))
    if features is not None:
        shown.append(by_components(features))
    lines = []
    for kind in box_kinds(frame.boxes, box_classes):
        color, ends = colors.hexadecimal(kind.color), box_lines(kind.geometry)
        lines.append(_lines(kind.name, color, len(kind.geometry), ends))
    for kind in box_kinds(found, box_classes):
        light = (kind.color.astype(int) + 2 * 255) // 3  # beside the true boxes of the same class
        name = f"found: {kind.name.removeprefix('box: ')}"
        lines.append(_lines(name, colors.hexadecimal(light), len(kind.geometry), box_lines(kind.geometry)))
    if len(frame.images) and frame.cameras is not None:
        lines.append(_lines("cameras", _FRUSTUM, len(frame.cameras), camera_lines(frame.cameras, _CAMERA)))
    points = frame.points.numpy()
    reach = float(np.quantile(np.linalg.norm(points[:, :2], axis=1), 0.9))
    return {
        "title": frame.name,
        "count": len(frame.points),
        **quantized(points),
        "reach": max(reach, 1.0),
        "ground": colors.GROUND,
        "ramp": _base64(colors.ramp()),
        "colorings": [_coloring(coloring) for coloring in shown]
        + ([] if features is None else [_similarity(features)]),
        "lines": lines,
    }


def quantized(xyz: np.ndarray) -> JsonObject:
    """Points (N, 3), N > 0, as unsigned 16-bit numbers: x = origin + step · number, off by step / 2 at most."""
    origin = xyz.min(axis=0).astype(np.float64)
    step = max(float((xyz - origin).max()) / STEPS, 1e-6)
    numbers = np.rint((xyz - origin) / step).clip(0, STEPS)
    return {"points": _base64(numbers.astype("<u2")), "origin": origin.tolist(), "step": step}


def _coloring(coloring: Coloring) -> JsonObject:
    if isinstance(coloring, Categorical):
        table = [colors.hexadecimal(color) for color in coloring.colors]
        places = _base64(coloring.places.astype("<u2"))
        return {
            "kind": "categorical",
            "title": coloring.title,
            "places": places,
            "colors": table,
            "names": coloring.names,
        }
    if isinstance(coloring, Continuous):
        limits = [round(value, 3) for value in coloring.limits]
        return {"kind": "continuous", "title": coloring.title, "places": _base64(coloring.places), "limits": limits}
    return {"kind": "rgb", "title": coloring.title, "note": coloring.note, "of_points": _base64(coloring.of_points)}


def _similarity(features: PointFeatures) -> JsonObject:
    """Reduced features, from which the page computes the similarity to any point, and how far it is off."""
    rows = reduced(features.units)
    return {
        "kind": "similarity",
        "title": "similarity",
        "features": _base64(rows),
        "dimensions": rows.shape[1],
        "of": features.units.shape[1],
        "error": round(reduction_error(features.units, rows), 4),
        "chosen": features.chosen,
    }


def _lines(title: str, color: str, count: int, ends: np.ndarray) -> JsonObject:
    return {"title": title, "color": color, "count": count, "ends": np.round(ends, 3).ravel().tolist()}


def _base64(array: np.ndarray) -> str:
    return base64.b64encode(array.tobytes()).decode()
