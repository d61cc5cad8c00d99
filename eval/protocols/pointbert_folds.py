"""Few-shot classification on stored folds: the family `folds`.

Point-BERT (Yu et al., CVPR 2022, https://arxiv.org/abs/2111.14819) drew ten tasks for each of four settings from
ModelNet40 once, and published them. Point-MAE and its successors report the mean and the deviation over these folds of
a fine-tuned network. The tasks of `crosspoint.eval.protocols.few_shot` are drawn anew: figures of the two families do
not compare.

A file `<ways>way_<shots>shot/<fold>.pkl` is a pickled dict. "train" holds `ways * shots` tuples from ModelNet40's
training split and "test" `ways * 20` from its test split: points (8192, 6) float32, coordinates and normals with y up,
in the order of farthest point sampling; the number of the class in the task, from 0; its number in ModelNet40.
The code that wrote them: https://github.com/Julie-tang00/Point-BERT/blob/master/datasets/generate_few_shot_data.py
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track

from crosspoint.eval.classifiers.svm import check_features
from crosspoint.eval.protocols.few_shot import SCALING, SETTINGS, support_accuracy
from crosspoint.eval.restricted_pickle import RestrictedUnpickler, StoredArray, check_sizes
from crosspoint.eval.results import Result
from crosspoint.renderers.json_object import JsonObject
from crosspoint.transforms import unit_sphere

SOURCE = "https://github.com/Julie-tang00/Point-BERT/blob/master/DATASET.md"
SETTING = re.compile(r"(\d+)way_?(\d+)shot")  # name of a folder

# (training points, training labels, test points, test labels, seed) → "accuracy" in percent, and others "accuracy_<x>"
Evaluation = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray, int], Mapping[str, float]]


@dataclass(frozen=True)
class Fold:
    """One stored task; labels number its classes from 0."""

    train_points: np.ndarray  # (ways * shots, N, 3) float32, y up
    train_labels: np.ndarray  # (ways * shots,) int64
    test_points: np.ndarray  # (m, N, 3) float32, y up
    test_labels: np.ndarray  # (m,) int64


def folds_svm(
    root: str | Path,
    features: Callable[[np.ndarray], np.ndarray],
    *,
    settings: Sequence[tuple[int, int]] = SETTINGS,
    folds: int = 10,
    points: int | None = 1024,
    normalize: bool = True,
    C: float = 1.0,
    progress: bool = False,
) -> Result:
    """Accuracy on stored folds of a linear SVM on frozen features, standardized on the support set as in `few_shot`.

    The literature fine-tunes on these folds (`crosspoint.eval.supervised.pointbert_folds`); this is the frozen
    encoder's figure on the same tasks. Nothing is drawn.

    Args:
        root: folder of the settings' folders.
        features: maps (n, N, 3) points to (n, C) features of a frozen encoder.
        settings: pairs of ways and shots.
        folds: of each setting, from number 0.
        points: of a cloud, None for all.
        normalize: scale clouds into the unit sphere.
        C: of the SVM.
        progress: show a bar, where the output is a terminal.

    Raises:
        FileNotFoundError: if a file is missing, before any is read.
        ValueError: as `evaluate_folds`, or if the features are not (n, C) and finite, or C is not positive.
    """
    if not (np.isfinite(C) and C > 0):
        raise ValueError(f"found C {C}, expected a positive number")

    def answer(
        train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray, _: int
    ) -> Mapping[str, float]:
        train_x, test_x = features(train), features(test)
        check_features(train_x, train_y, "support set")
        check_features(test_x, test_y, "queries")
        return {"accuracy": support_accuracy(train_x, train_y, test_x, test_y, C)}

    return evaluate_folds(
        root,
        answer,
        protocol="folds/svm",
        settings=settings,
        folds=folds,
        points=points,
        normalize=normalize,
        constants={"C": float(C), "scaling": SCALING},
        progress=progress,
    )


def evaluate_folds(
    root: str | Path,
    evaluate: Evaluation,
    *,
    protocol: str = "folds/finetune",
    settings: Sequence[tuple[int, int]] = SETTINGS,
    folds: int = 10,
    points: int | None = 1024,
    normalize: bool = True,
    seed: int = 0,
    constants: JsonObject | None = None,
    on_fold: Callable[[JsonObject], None] | None = None,
    progress: bool = False,
) -> Result:
    """Mean accuracy over the folds of each setting, "5way_10shot", and its population deviation, "5way_10shot_std".

    A figure "accuracy_best_on_test" beside it becomes "5way_10shot_best_on_test", with its own deviation.

    Args:
        root: folder of the settings' folders.
        evaluate: trains on a fold's training part, and answers with figures of its test part in percent; the seed is
            the fold's own, and in `records`.
        protocol: name of the result.
        settings: pairs of ways and shots.
        folds: of each setting, from number 0.
        points: of a cloud, None for all.
        normalize: scale clouds into the unit sphere.
        seed: of all folds' seeds.
        constants: what else decides the figures.
        on_fold: takes each row of `records` as soon as it is known, so that an interrupt loses one fold.
        progress: show a bar, where the output is a terminal.

    Raises:
        FileNotFoundError: if a file is missing, before any is read.
        ValueError: if a file does not hold such a fold, a number is out of range, a setting is given twice, or
            `evaluate` returns no accuracy.
    """
    if not settings or len({*settings}) < len(settings):
        raise ValueError(f"found settings {[*settings]}, expected pairs of ways and shots, each once")
    paths = find_folds(root, settings, folds)
    seeds = [int(child.generate_state(1)[0]) for child in np.random.SeedSequence(seed).spawn(folds)]
    work = [(setting, fold) for setting in settings for fold in range(folds)]
    console = Console(stderr=True)
    records: list[JsonObject] = []
    for (ways, shots), number in track(work, "folds", console=console, disable=not (progress and console.is_terminal)):
        fold = read_fold(paths[ways, shots][number], ways, shots, points=points, normalize=normalize)
        given = (fold.train_points, fold.train_labels, fold.test_points, fold.test_labels)
        figures = {name: float(value) for name, value in evaluate(*given, seeds[number]).items()}
        for name, value in figures.items():
            if not 0 <= value <= 100:
                raise ValueError(f"found {name} {value}, expected a percentage: repair the evaluation function")
        records.append({"ways": ways, "shots": shots, "fold": number, "seed": seeds[number], **figures})
        if on_fold is not None:
            on_fold(records[-1])
    metrics: dict[str, float] = {}
    for ways, shots in settings:
        rows = [row for row in records if (row["ways"], row["shots"]) == (ways, shots)]
        for name in (key for key in rows[0] if key.startswith("accuracy")):
            scores = [row[name] for row in rows]
            figure = f"{ways}way_{shots}shot{name.removeprefix('accuracy')}"
            metrics |= {figure: float(np.mean(scores)), f"{figure}_std": float(np.std(scores))}
    facts = {
        "settings": [{"ways": ways, "shots": shots} for ways, shots in settings],
        "folds": folds,
        "points": "all" if points is None else points,
        "normalize": normalize,
        "seed": seed,
    }
    return Result(protocol, metrics, facts | (constants or {}), records)


def stored_settings(root: str | Path) -> list[tuple[int, int]]:
    """Ways and shots of the settings that lie in a folder, in ascending order.

    Raises:
        FileNotFoundError: if there is none.
    """
    folder = Path(root)
    names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
    found = {(int(match[1]), int(match[2])) for name in names if (match := SETTING.fullmatch(name))}
    if not found:
        raise FileNotFoundError(
            f"found no folder like 5way_10shot in {root}, expected the folds of Point-BERT: download ModelNetFewshot "
            f"from the links in {SOURCE}"
        )
    return sorted(found)


def find_folds(
    root: str | Path, settings: Sequence[tuple[int, int]] = SETTINGS, folds: int = 10
) -> dict[tuple[int, int], list[Path]]:
    """Paths of the folds of each setting, all of which exist.

    Folders may also be called `<ways>way<shots>shot`, as Point-BERT's description of its archive calls them.

    Raises:
        FileNotFoundError: if one is missing.
        ValueError: if `folds` is below 1.
    """
    if folds < 1:
        raise ValueError(f"found {folds} folds, expected at least 1")
    root = Path(root)
    paths = {}
    for ways, shots in settings:
        described = root / f"{ways}way{shots}shot"
        folder = described if described.is_dir() else root / f"{ways}way_{shots}shot"
        paths[ways, shots] = [folder / f"{fold}.pkl" for fold in range(folds)]
    missing = [path for each in paths.values() for path in each if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"found no file {missing[0]} ({len(missing)} of {len(settings) * folds} folds are missing), expected the "
            f"folds of Point-BERT: download ModelNetFewshot from the links in {SOURCE}"
        )
    return paths


def read_fold(path: Path, ways: int, shots: int, *, points: int | None = 1024, normalize: bool = True) -> Fold:
    """Read one fold with an unpickler that calls nothing which a file names.

    Args:
        path: the file.
        ways: classes that it must have.
        shots: training clouds of each class that it must have.
        points: of a cloud, None for all: the first of the file, which farthest point sampling chose first.
        normalize: center each stored cloud on its mean and scale it into the unit sphere, before points are taken,
            as Point-BERT does.

    Raises:
        ValueError: if the file is no pickle of plain containers and arrays, or holds something else than such a fold.
    """
    if points is not None and points < 1:
        raise ValueError(f"found {points} points, expected at least 1")
    try:
        with Path(path).open("rb") as file:
            check_sizes(file)
            stored = RestrictedUnpickler(file).load()
    except Exception as error:  # a damaged or a hostile file can make the unpickler fail in any way
        reason = str(error).encode("unicode_escape").decode()[:100] or type(error).__name__
        raise ValueError(
            f"found a pickle in {path} that cannot be read as plain arrays ({reason}), expected a fold of Point-BERT: "
            "download it again, and do not open it by other means"
        ) from error
    if not isinstance(stored, dict) or not {"train", "test"} <= stored.keys():
        raise ValueError(f"found {_named(stored)} in {path}, expected a dict of 'train' and 'test': is it a fold?")
    train_points, train_labels = _clouds(stored["train"], f"{path}, train", points, normalize)
    test_points, test_labels = _clouds(stored["test"], f"{path}, test", points, normalize)
    classes, members = np.unique(train_labels, return_counts=True)
    if classes.tolist() != list(range(ways)) or (members != shots).any():
        raise ValueError(
            f"found {len(train_labels)} training clouds of {len(classes)} classes ({members.min()} to {members.max()} "
            f"of each) in {path}, expected {shots} of each of 0…{ways - 1}: is the file in the folder of its setting?"
        )
    asked = np.unique(test_labels)
    if asked.tolist() != classes.tolist():
        raise ValueError(
            f"found {len(asked)} classes up to {asked[-1]} to test in {path}, expected all of 0…{ways - 1}"
        )
    return Fold(train_points, train_labels, test_points, test_labels)


def _clouds(entries: object, where: str, points: int | None, normalize: bool) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, N, 3) float32 and labels (n,) int64 of a list of (points, label, class)."""
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{where}: found {_named(entries)}, expected a list of clouds")
    clouds, labels = [], []
    for number, entry in enumerate(entries):
        if not (isinstance(entry, tuple | list) and len(entry) == 3 and isinstance(entry[0], StoredArray)):
            raise ValueError(f"{where}: found {_named(entry)} at {number}, expected (points, label, class)")
        stored, label = entry[0].array, entry[1]
        if stored.ndim != 2 or stored.shape[1] < 3 or len(stored) < (points or 1) or stored.dtype.kind != "f":
            raise ValueError(
                f"{where}: found {stored.dtype} points of shape {stored.shape} at {number}, expected (N, 3 or more) "
                f"floats with N at least {points or 1}: ask for fewer points"
            )
        if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < len(entries):
            raise ValueError(f"{where}: found {_named(label)} as label at {number}, expected a class's number from 0")
        cloud = torch.from_numpy(np.ascontiguousarray(stored[:, :3], dtype=np.float32))[None]
        if not cloud.isfinite().all():
            raise ValueError(f"{where}: found NaN or infinite coordinates at {number}, expected finite ones")
        clouds.append((unit_sphere(cloud) if normalize else cloud)[0, :points])
        labels.append(label)
    sizes = {len(cloud) for cloud in clouds}
    if len(sizes) > 1:
        raise ValueError(
            f"{where}: found clouds of {min(sizes)} to {max(sizes)} points, expected equal ones: ask for fewer"
        )
    return torch.stack(clouds).numpy(), np.array(labels, dtype=np.int64)


def _named(value: object) -> str:
    """What a value of any size is, for one line of an error."""
    if isinstance(value, int) and abs(value) < 1000:
        return str(value)
    return f"a {type(value).__name__}" + (f" of {len(value)}" if isinstance(value, list | tuple | dict) else "")
