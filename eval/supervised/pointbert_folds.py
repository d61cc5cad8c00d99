"""Few-shot classification on stored folds by training, as papers report it.

Point-BERT, Point-MAE (Pang et al., ECCV 2022, https://arxiv.org/abs/2203.06604) and their successors fine-tune on each
task of `crosspoint.eval.protocols.pointbert_folds` for 150 epochs and report the best epoch on its test part. A task
has no clouds to choose an epoch by: the figure here is the last epoch's. Theirs is also given, under its own name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from crosspoint.datasets.clouds import Clouds
from crosspoint.eval.features import feature_key
from crosspoint.eval.protocols.few_shot import SETTINGS
from crosspoint.eval.protocols.pointbert_folds import evaluate_folds
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.classification import Mode, fine_tune
from crosspoint.eval.supervised.config import FinetuneConfig, Resources

FOLDS = FinetuneConfig(epochs=150)


def folds_finetune(
    root: str | Path,
    encoder: nn.Module,
    *,
    mode: Mode = "finetuned",
    recipe: FinetuneConfig = FOLDS,
    settings: Sequence[tuple[int, int]] = SETTINGS,
    folds: int = 10,
    points: int | None = 1024,
    normalize: bool = True,
    seed: int = 0,
    resources: Resources | None = None,
    cache: Path | None = None,
    progress: bool = False,
) -> Result:
    """Accuracy on stored folds of classifiers that start from an encoder, each trained on one fold, in percent.

    - 5way_10shot, 5way_10shot_std: mean and population deviation over the folds, after the last epoch.
    - 5way_10shot_best_on_test, 5way_10shot_best_on_test_std: the same of each fold's best epoch, which is what papers
      report; no figure to choose by.

    Args:
        root: folder of the settings' folders.
        encoder: maps (B, N, 3) points to (B, C) features; it is not changed.
        mode: as in `fine_tune`.
        recipe: of training; DGCNN's for 150 epochs by default, where Point-MAE has AdamW.
        settings: pairs of ways and shots.
        folds: of each setting, from number 0.
        points: of a cloud, None for all.
        normalize: scale clouds into the unit sphere.
        seed: of all folds' heads, orders, augmentation and dropout.
        resources: what it runs on.
        cache: folder that keeps the figures of each fold, known by all that decides them: interrupted, the same call
            goes on from the last whole fold.
        progress: show a bar, where the output is a terminal.

    Raises:
        FileNotFoundError: if a file is missing, before any is read.
        ValueError: as `evaluate_folds` and `fine_tune`, or if a file of the cache is damaged.
    """
    resources = resources or Resources()

    def answer(
        train: np.ndarray, train_y: np.ndarray, test: np.ndarray, test_y: np.ndarray, fold_seed: int
    ) -> dict[str, float]:
        decides: list[Any] = [feature_key(encoder, train), feature_key(encoder, test)]
        decides += [train_y.tolist(), test_y.tolist()]
        decides += [mode, recipe.constants(), resources.precision, resources.devices, fold_seed]
        path = (
            None if cache is None else cache / f"fold-{hashlib.sha256(json.dumps(decides).encode()).hexdigest()}.json"
        )
        if path is not None and path.is_file():
            return _figures(Result.load(path))
        classes = [f"class {number}" for number in range(int(train_y.max()) + 1)]
        result = fine_tune(
            encoder,
            Clouds(train, train_y, classes, "fold", "train"),
            Clouds(test, test_y, classes, "fold", "test"),
            mode=mode,
            recipe=recipe,
            validation=0.0,
            seed=fold_seed,
            resources=resources,
        )
        if path is not None:
            result.save(path)
        return _figures(result)

    return evaluate_folds(
        root,
        answer,
        protocol=f"folds/{mode}",
        settings=settings,
        folds=folds,
        points=points,
        normalize=normalize,
        seed=seed,
        constants={"mode": mode, **recipe.constants(), "precision": resources.precision},
        progress=progress,
    )


def _figures(result: Result) -> dict[str, float]:
    return {name: result.metrics[name] for name in ("accuracy", "accuracy_best_on_test")}
