"""`crosspoint show`: a frame as a picture, and as a page that turns its cloud."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from crosspoint.renderers.atomic import atomic_write
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import IGNORED, LidarSample
from crosspoint.scene.data.sparse_depth import DEPTH, with_depth
from crosspoint.scene.viz.colorings import Coloring
from crosspoint.scene.viz.depth import draw_depth
from crosspoint.scene.viz.found_boxes import confident, draw_found_boxes
from crosspoint.scene.viz.object_colors import by_object, true_objects
from crosspoint.scene.viz.page import write_page
from crosspoint.scene.viz.picture import draw_frame
from crosspoint.scene.viz.point_features import PointFeatures
from crosspoint.scene.viz.predictions import Answers

DPI = 120


def show(
    frame: LidarSample,
    out: Path,
    *,
    classes: Sequence[str],
    predictions: np.ndarray | Answers | None = None,
    regions: Tensor | None = None,
    box_classes: Sequence[str] = (),
    features: np.ndarray | None = None,
    chosen: int | None = None,
    weak_classes: Sequence[str] = (),
    things: Sequence[str] = (),
) -> list[Path]:
    """Write `<out>/<frame>.png` and `<out>/<frame>.html`, atomically; `<frame>` is its name without what paths dislike.

    The picture holds every image with its points colored by depth, and the cloud from above, colored by class where
    there are labels or predictions, by height otherwise; predictions stand beside the truth in both. Boxes are drawn in
    all, and on the page, which needs nothing else, no network among it.

    Args:
        frame: N points and V images, which may be none.
        out: folder, made where absent.
        classes: names of the labels; empty where nothing is labeled.
        predictions: what a network says: (N,) integers, labels or `IGNORED`; or `Answers`. Objects are drawn as classes
            are; where boxes were found, or depth is told, the picture shows them beside the truth, and nothing else.
        regions: (V, H, W) integers, superpixels of each image, whose outlines are drawn.
        box_classes: names of the boxes' labels, which give them their colors; empty draws all in white.
        features: (N, C) of all points, which are colored by their principal components, and by cosine similarity to
            one of them; on the page a click chooses another one.
        chosen: row of that point; None takes the one in the middle of the first image, box or cloud.
        weak_classes: names of the weak labels from 1 on; points are colored by the pixel map "weak_labels" where they
            are seen, beside the truth.
        things: names of the classes whose objects the field "instance" numbers.

    Returns:
        The two files.

    Raises:
        ValueError: if the predictions, regions or features do not fit the frame, a label or weak label is no class, the
            images see no point, or there is no such point to compare with.
    """
    said = predictions if isinstance(predictions, Answers) else Answers(predictions)
    if regions is not None:
        frame = replace(frame, pixel_maps={**frame.pixel_maps, "superpixels": regions})
    _check(frame, classes, said, box_classes)
    _check_weak_labels(frame, weak_classes)
    if len(frame.images):
        frame = pair_points(frame)
    described = None if features is None else PointFeatures.of(frame, features, chosen)
    further: list[Coloring] = []
    if said.objects is not None:
        if "label" in frame.point_fields and "instance" in frame.point_fields:
            further.append(by_object("true objects", true_objects(frame, classes, things)))
        further.append(by_object("objects found", said.objects))
    name = re.sub(r"[^A-Za-z0-9.-]+", "-", frame.name).strip("-.")[:120] or "frame"
    picture, page = out / f"{name}.png", out / f"{name}.html"
    if said.boxes is not None and said.scores is not None:
        figure = draw_found_boxes(frame, said.boxes, said.scores, box_classes)
    elif said.depth is not None:
        figure = _depth_figure(frame, said.depth)
    else:
        figure = draw_frame(frame, classes, said.classes, box_classes, described, weak_classes, further)
    with atomic_write(picture) as file:
        figure.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
    found = None if said.boxes is None or said.scores is None else confident(said.boxes, said.scores)
    write_page(frame, page, classes, said.classes, box_classes, described, weak_classes, further, found)
    return [picture, page]


def _depth_figure(frame: LidarSample, told: np.ndarray) -> Figure:
    """What is told of the part of each image at its bottom, in the middle, beside what was measured there."""
    measured, shape = with_depth(frame), told.shape[1:]
    sizes = [frame.image_size] * len(frame.images) if shape == frame.image_size else frame.image_sizes.tolist()
    if len(told) != len(sizes) or any(own[0] < shape[0] or own[1] < shape[1] for own in sizes):
        raise ValueError(
            f"found the depth of images {told.shape} for {frame.name}, expected at most "
            f"{(len(sizes), *frame.image_size)}: show the dataset that was measured"
        )
    images, depth = frame.images.numpy(), measured.pixel_maps[DEPTH].float().numpy()
    parts = []
    for view, (height, width) in enumerate(sizes):
        left = (width - shape[1]) // 2
        rows, columns = slice(height - shape[0], height), slice(left, left + shape[1])
        parts.append((images[view, :, rows, columns], depth[view, rows, columns]))
    shown, truth = (np.stack(part) for part in zip(*parts, strict=True))
    return draw_depth(shown, truth, told)


def _check(frame: LidarSample, classes: Sequence[str], said: Answers, box_classes: Sequence[str]) -> None:
    count = len(frame.points)
    if count == 0:
        raise ValueError(f"found no point in {frame.name}, expected some to draw")
    rows = int((~frame.points.isfinite().all(dim=1)).sum())
    if rows:
        raise ValueError(f"found {rows} points with NaN or infinite numbers in {frame.name}, expected none: drop them")
    truth = frame.point_fields.get("label")
    for what, labels in (("labels", None if truth is None else truth.numpy()), ("predictions", said.classes)):
        if labels is None:
            continue
        if labels.shape != (count,) or labels.dtype.kind not in "iu":
            raise ValueError(
                f"found {what} {labels.shape} {labels.dtype} for {frame.name}, expected one integer for each of its "
                f"{count} points"
            )
        low, high = int(labels.min()), int(labels.max())
        if low < IGNORED or high >= len(classes):
            raise ValueError(
                f"found {what} from {low} to {high} for {frame.name}, expected {IGNORED} to {len(classes) - 1}: "
                f"there are {len(classes)} classes"
            )
    kinds = [label for boxes in (frame.boxes, said.boxes) if boxes is not None for label in boxes.labels.tolist()]
    if box_classes and kinds and not 0 <= min(kinds) <= max(kinds) < len(box_classes):
        raise ValueError(
            f"found boxes of labels from {min(kinds)} to {max(kinds)} in {frame.name}, expected 0 to "
            f"{len(box_classes) - 1}: there are {len(box_classes)} classes of boxes"
        )


def _check_weak_labels(frame: LidarSample, weak_classes: Sequence[str]) -> None:
    if not weak_classes:
        return
    weak = frame.pixel_maps.get("weak_labels")
    if weak is None:
        raise ValueError(
            f"found no pixel map weak_labels in {frame.name}, expected one of {len(weak_classes)} classes: "
            "give the dataset weak_labels"
        )
    low, high = (int(weak.min()), int(weak.max())) if weak.numel() else (0, 0)
    if low < 0 or high > len(weak_classes):
        raise ValueError(
            f"found weak labels from {low} to {high} in {frame.name}, expected 0 to {len(weak_classes)}: there are "
            f"{len(weak_classes)} weak classes"
        )
