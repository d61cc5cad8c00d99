"""Predictions as the files that a benchmark's server takes, in the benchmark's own numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from crosspoint.renderers.atomic import atomic_write
from crosspoint.scene.data.lidar_dataset import LidarDataset


def write_submission(dataset: LidarDataset, predicted: Iterable[np.ndarray], out: Path) -> list[Path]:
    """Write a file for each frame; those that are there are written over.

    SemanticKITTI and ScribbleKITTI: `sequences/NN/predictions/NNNNNN.label`, uint32, 0 for returns without a position.
    nuScenes: `<token>_lidarseg.bin`, uint8 from 1 to 16, as its server refuses 0. SemanticPOSS, SemanticSTF, SynLiDAR,
    DAPS-3D and RELLIS-3D have no server; theirs are the files of labels that the datasets hold, in a folder
    `predictions` beside that of the sweeps, as their authors' tools read them.

    Args:
        dataset: one that has such a format, of single sweeps.
        predicted: for each of its frames in order, the class (N,) of each point, counted from 0.
        out: folder of the files.

    Returns:
        The files.

    Raises:
        FileNotFoundError: if a sweep is not there.
        ValueError: if the dataset has no such format, or predictions do not fit the frames.
    """
    written = []
    answers = list(predicted)
    if len(answers) != len(dataset):
        raise ValueError(
            f"found predictions of {len(answers)} frames, expected {len(dataset)}, those of {dataset.name}: predict all"
        )
    for index, classes in enumerate(answers):
        place, numbers = dataset.submission(index, np.asarray(classes))
        with atomic_write(out / place) as file:
            file.write(numbers.tobytes())
        written.append(out / place)
    return written


def write_panoptic_submission(
    dataset: LidarDataset, answers: Iterable[tuple[np.ndarray, np.ndarray]], out: Path
) -> list[Path]:
    """Write a file of classes and objects for each frame; those that are there are written over.

    SemanticKITTI: `sequences/NN/predictions/NNNNNN.label`, uint32, the object in the upper 16 bits, 0 for returns
    without a position. nuScenes: `<token>_panoptic.npz`, uint16 `data` of 1,000 × the challenge's class + the object's
    number within its class, 0 for returns without a position.

    Args:
        dataset: one that has such a format, of single sweeps.
        answers: for each of its frames in order, the class (N,) of each point, counted from 0, and its object (N,), 0
            for none.
        out: folder of the files.

    Returns:
        The files.

    Raises:
        FileNotFoundError: if a sweep is not there.
        ValueError: if the dataset has no such format, or answers do not fit the frames.
    """
    written, given = [], list(answers)
    if len(given) != len(dataset):
        raise ValueError(
            f"found predictions of {len(given)} frames, expected {len(dataset)}, those of {dataset.name}: predict all"
        )
    for index, (classes, objects) in enumerate(given):
        place, content = dataset.panoptic_submission(index, np.asarray(classes), np.asarray(objects))
        with atomic_write(out / place) as file:
            file.write(content)
        written.append(out / place)
    return written


def written_numbers(class_of_label: Mapping[int, int], where: str) -> np.ndarray:
    """The number that each class is written as, the first one that is read as this class: (K,) uint32.

    Args:
        class_of_label: the class of each number, or `IGNORED`.
        where: the dataset, for the error.

    Raises:
        ValueError: if a class has no number.
    """
    found: dict[int, int] = {}
    for label, place in class_of_label.items():
        found.setdefault(place, label)
    classes = range(max(found, default=-1) + 1)
    missing = [place for place in classes if place not in found]
    if missing or not classes:
        raise ValueError(
            f"found no number for the classes {missing} in {where}, expected one for each: write predictions of the "
            "dataset's own classes"
        )
    return np.array([found[place] for place in classes], dtype="<u4")


def first_numbers(class_of_label: Mapping[int, int], count: int) -> list[int]:
    """The number that each of `count` classes is written as, as of `written_numbers`; empty where a class has none."""
    found: dict[int, int] = {}
    for label, place in class_of_label.items():
        found.setdefault(place, label)
    numbers = [found.get(place) for place in range(count)]
    return [] if None in numbers else [number for number in numbers if number is not None]


def spread_objects(objects: np.ndarray, kept: np.ndarray, where: str) -> np.ndarray:
    """An object for each return of a file: (M,) int64, 0 for those that are no points.

    Args:
        objects: (N,) numbers from 0 to 65,535.
        kept: (M,) bool, which returns are points.
        where: which frame, for the error.

    Raises:
        ValueError: if there are not as many numbers as points, or one does not fit 16 bits.
    """
    points = int(kept.sum())
    if objects.shape != (points,) or objects.dtype.kind not in "iu":
        raise ValueError(
            f"found objects of shape {objects.shape} and type {objects.dtype} for {where}, expected {points} whole "
            "numbers, one for each point of one sweep"
        )
    if len(objects) and not 0 <= int(objects.min()) <= int(objects.max()) <= 0xFFFF:
        raise ValueError(f"found the objects {objects.min()}…{objects.max()} for {where}, expected 0 to {0xFFFF}")
    spread = np.zeros(len(kept), dtype=np.int64)
    spread[kept] = objects
    return spread


def spread_classes(classes: np.ndarray, numbers: np.ndarray, kept: np.ndarray, where: str, other: int) -> np.ndarray:
    """A number for each return of a file.

    Args:
        classes: (N,) predicted, counted from 0.
        numbers: (K,) the benchmark's number of each class, of the type of its files.
        kept: (M,) bool, which returns are points.
        where: which frame, for the error.
        other: number of the returns that are no points.

    Returns:
        (M,) of the type of `numbers`.

    Raises:
        ValueError: if there are not as many predictions as points, or one is no class.
    """
    points = int(kept.sum())
    if classes.shape != (points,) or classes.dtype.kind not in "iu":
        raise ValueError(
            f"found predictions of shape {classes.shape} and type {classes.dtype} for {where}, expected {points} whole "
            "numbers, one for each point of one sweep"
        )
    if len(classes) and not 0 <= int(classes.min()) <= int(classes.max()) < len(numbers):
        raise ValueError(
            f"found the classes {classes.min()}…{classes.max()} for {where}, expected 0 to {len(numbers) - 1}"
        )
    spread = np.full(len(kept), other, dtype=numbers.dtype)
    spread[kept] = numbers[classes]
    return spread
