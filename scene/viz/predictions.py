"""Answers of a trained network on a frame, as `crosspoint evaluate … --save_dir` leaves them, and how good they are."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
import torch

from crosspoint.renderers.arrays import read_arrays, read_header
from crosspoint.renderers.files import FAULTS, reading, regular_file, short
from crosspoint.scene.data.sample import IGNORED, Boxes
from crosspoint.scene.segmentation_scores import class_ious, confusion_matrix

FILE = "predictions.npz"
BLOCK = 2**20  # bytes unpacked at once


@dataclass(frozen=True, eq=False)
class Answers:
    """What a network says of a frame; None for what it says nothing of.

    Args:
        classes: (N,) int64, of each point.
        objects: (N,) int64, of each point, 0 for none.
        boxes: that were found.
        scores: (n,) of them, from 0 to 1.
        depth: (V, h, w) float32 meters, of the lower middle part of each image.
    """

    classes: np.ndarray | None = None
    objects: np.ndarray | None = None
    boxes: Boxes | None = None
    scores: np.ndarray | None = None
    depth: np.ndarray | None = None


def frame_answers(path: Path, frame: int, *, frames: int, points: int) -> Answers:
    """All that the file of a network's answers says of a frame: of semseg, panoptic, detection or depth.

    Args:
        path: the file, or its folder.
        frame: place of the frame among those measured.
        frames: how many the dataset has.
        points: how many the frame has.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else, answers for other frames, or none of this one.
    """
    file = path / FILE if path.is_dir() else path
    regular_file(file, f"one that `evaluate semseg --save_dir {path}` leaves")
    held: set[str] = set()
    if zipfile.is_zipfile(file):
        with reading(file, "answers of a network", "measure anew"), zipfile.ZipFile(file) as archive:
            held = {name.removesuffix(".npy") for name in archive.namelist()}
    if {"boxes", "scores"} <= held:
        return _found_boxes(file, frame, frames)
    if {"shown", "frames"} <= held:
        return Answers(depth=_told_depth(file, frame))
    classes = frame_predictions(path, frame, frames=frames, points=points)
    if "instance" not in held:
        return Answers(classes)
    return Answers(classes, frame_predictions(path, frame, frames=frames, points=points, array="instance"))


def frame_predictions(path: Path, frame: int, *, frames: int, points: int, array: str = "predicted") -> np.ndarray:
    """The answers of one frame: (N,) int64.

    Args:
        path: the file (`predicted`, the class of every point of all frames; `offsets`, where each frame begins, and the
            end), or its folder.
        frame: place of the frame among those measured.
        frames: how many the dataset has.
        points: how many the frame has, N.
        array: "predicted", the classes, or "instance", the objects, which `evaluate panoptic` leaves, too.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else, or answers for other frames.
    """
    file = path / FILE if path.is_dir() else path
    regular_file(file, f"one that `evaluate semseg --save_dir {path}` leaves")
    try:
        with file.open("rb") as opened, zipfile.ZipFile(opened) as archive:
            return _answers(archive, file, frame, frames, points, array)
    except FAULTS as error:
        if str(error).startswith("found "):
            raise
        raise ValueError(
            f"found no arrays `{array}` and `offsets` in {file}, expected what `evaluate semseg --save_dir` leaves"
        ) from None


def agreement(labels: np.ndarray, predictions: np.ndarray) -> tuple[float, float] | None:
    """How many of the labeled points are right, and the mean IoU of the classes that truth or prediction has there.

    Args:
        labels: (N,) integers, or `IGNORED`.
        predictions: (N,) integers.

    Returns:
        Both from 0 to 1, of this frame alone; None where no point has a label.
    """
    if (labels == IGNORED).all():
        return None
    classes = 1 + int(max(labels.max(), predictions.max()))
    given = np.where(predictions == IGNORED, classes, predictions)  # no answer is a wrong one, and no class of its own
    predicted, truth = (torch.from_numpy(array.astype(np.int64)) for array in (given, labels))
    confusion = confusion_matrix(predicted, truth, classes + 1, ignored=IGNORED).numpy()
    return float(np.trace(confusion) / confusion.sum()), float(np.nanmean(class_ious(confusion)[:classes]))


def _found_boxes(file: Path, frame: int, frames: int) -> Answers:
    arrays = read_arrays(file, "boxes that a detector found")
    with reading(file, "boxes that a detector found", "measure anew"):
        boxes, labels, scores, offsets = (arrays[name] for name in ("boxes", "labels", "scores", "offsets"))
        if len(offsets) != frames + 1:
            raise ValueError(
                f"found answers for {len(offsets) - 1} frames in {file}, expected {frames}: show the split that was "
                "measured"
            )
        whole = len(boxes) == len(labels) == len(scores) == offsets[-1] and offsets[0] == 0
        if not whole or boxes.shape[1:] != (7,) or (np.diff(offsets) < 0).any() or not np.isfinite(boxes).all():
            raise ValueError(f"boxes of shape {short(boxes.shape)} with {short(scores.shape)} scores")
        part = slice(int(offsets[frame]), int(offsets[frame + 1]))
        geometry = torch.from_numpy(boxes[part].astype(np.float64))
        found = Boxes(geometry, torch.from_numpy(labels[part].astype(np.int64)))
        return Answers(boxes=found, scores=scores[part].astype(np.float64))


def _told_depth(file: Path, frame: int) -> np.ndarray:
    arrays = read_arrays(file, "the depth that a network told")
    with reading(file, "the depth that a network told", "measure anew"):
        kept = arrays["frames"].tolist()
        if frame not in kept:
            raise ValueError(
                f"found the depth of the frames {', '.join(map(str, kept)) or 'none'} in {file}, expected one of them: "
                "choose another --frame"
            )
        told = arrays["shown"][kept.index(frame)].astype(np.float32)
        if told.ndim != 3:
            raise ValueError(f"depth of shape {short(told.shape)}")
        depth: np.ndarray = told
        return depth


def _answers(archive: zipfile.ZipFile, file: Path, frame: int, frames: int, points: int, array: str) -> np.ndarray:
    """The answers of one frame, of which alone the numbers are unpacked into memory."""
    with archive.open(f"{array}.npy") as predicted, archive.open("offsets.npy") as places:
        answers, starts = read_header(predicted, file), read_header(places, file)
        whole = all(len(each.shape) == 1 and each.dtype.kind in "iu" for each in (answers, starts))
        if whole and starts.shape[0] > 0 and starts.shape[0] != frames + 1:
            raise ValueError(
                f"found answers for {starts.shape[0] - 1} frames in {file}, expected {frames}: show the split "
                "that was measured"
            )
        offsets = _numbers(places, starts.bytes, starts.dtype) if whole else np.zeros(0, dtype=np.int64)
        if (
            len(offsets) == 0
            or offsets[0] != 0
            or offsets[-1] != answers.shape[0]
            or (offsets[1:] < offsets[:-1]).any()
        ):
            raise ValueError(
                f"found offsets {short(starts.shape)} that do not divide the answers {short(answers.shape)} in {file}, "
                "expected where each frame begins, and the end: measure anew"
            )
        start, end = int(offsets[frame]), int(offsets[frame + 1])
        if end - start != points:
            raise ValueError(
                f"found answers for {end - start} points of frame {frame} in {file}, expected {points}: show the "
                "dataset and the split that were measured"
            )
        left = start * answers.dtype.itemsize
        while left and (skipped := predicted.read(min(left, BLOCK))):
            left -= len(skipped)
        return _numbers(predicted, points * answers.dtype.itemsize, answers.dtype).astype(np.int64)


def _numbers(member: IO[bytes], size: int, dtype: np.dtype) -> np.ndarray:
    content = member.read(size)
    if len(content) != size:
        raise ValueError("cut off")
    return np.frombuffer(content, dtype)
