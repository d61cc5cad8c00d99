"""Answers of a trained network, as `crosspoint evaluate semseg --save_dir` leaves them, and how good they are."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.segmentation_scores import class_ious, confusion_matrix

FILE = "predictions.npz"


def frame_predictions(path: Path, frame: int, *, frames: int, points: int) -> np.ndarray:
    """The answers of one frame: (N,) int64.

    Args:
        path: the file (`predicted`, the class of every point of all frames; `offsets`, where each frame begins, and the
            end), or its folder.
        frame: place of the frame among those measured.
        frames: how many the dataset has.
        points: how many the frame has, N.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else, or answers for other frames.
    """
    file = path / FILE if path.is_dir() else path
    if not file.is_file():
        raise FileNotFoundError(f"found no file {file}, expected one that `evaluate semseg --save_dir {path}` leaves")
    predicted, offsets = _read(file)
    if len(offsets) - 1 != frames:
        raise ValueError(
            f"found answers for {len(offsets) - 1} frames in {file}, expected {frames}: show the split "
            "that was measured"
        )
    answers = predicted[offsets[frame] : offsets[frame + 1]]
    if len(answers) != points:
        raise ValueError(
            f"found answers for {len(answers)} points of frame {frame} in {file}, expected {points}: show the dataset "
            "and the split that were measured"
        )
    return answers.astype(np.int64)


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


def _read(file: Path) -> tuple[np.ndarray, np.ndarray]:
    """`predicted` (M,) and `offsets` (F + 1,) that fit each other."""
    try:
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as content:
            predicted, offsets = content["predicted"], content["offsets"]
    except (KeyError, TypeError, AttributeError, EOFError, ValueError, zipfile.BadZipFile, zlib.error):
        raise ValueError(
            f"found no arrays `predicted` and `offsets` in {file}, expected what `evaluate semseg --save_dir` leaves"
        ) from None
    whole = all(array.ndim == 1 and array.dtype.kind in "iu" for array in (predicted, offsets))
    if (
        not whole
        or len(offsets) == 0
        or offsets[0] != 0
        or offsets[-1] != len(predicted)
        or (np.diff(offsets) < 0).any()
    ):
        raise ValueError(
            f"found offsets {offsets.shape} that do not divide the answers {predicted.shape} in {file}, expected where "
            "each frame begins, and the end: measure anew"
        )
    return predicted, offsets
