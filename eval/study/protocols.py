"""How each protocol of a study is measured on one network."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from crosspoint.checkpoints.dual_encoder import load_dual_encoder, trained_image_size
from crosspoint.eval.protocols.crossmodal import retrieve_modalities
from crosspoint.eval.protocols.few_shot import few_shot_table
from crosspoint.eval.protocols.knn import knn_classify
from crosspoint.eval.protocols.linear_svm import answer_linear_svm
from crosspoint.eval.protocols.pointbert_folds import folds_svm, stored_settings
from crosspoint.eval.protocols.retrieval import nearest_items, retrieve_within
from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.evaluation_run import EvaluationRun
from crosspoint.eval.study.query_selection import NEAREST, choose_queries
from crosspoint.eval.supervised.classification import CLASSIFICATION, fine_tune
from crosspoint.eval.supervised.cloud_training import ENCODER, NETWORK, PREDICTIONS
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.part_segmentation import PARTS, check_encoder, segment_parts

VALIDATION = 0.1  # share of the training clouds that chooses the epoch of fine-tuned classification

Measured = tuple[Result, dict[str, np.ndarray]]  # figures, and arrays that the report shows


def linear(subject: EvaluationRun) -> Measured:
    """Linear SVM, and its answers."""
    study = subject.study
    result, predicted = answer_linear_svm(
        subject.features("train"),
        study.clouds("train").labels,
        subject.features("test"),
        study.clouds("test").labels,
        protocol=study.svm,
        seed=subject.seed,
        jobs=study.jobs,
    )
    return result, {"predicted": predicted}


def knn(subject: EvaluationRun) -> Measured:
    """Nearest neighbors, their number by cross-validation."""
    study = subject.study
    result = knn_classify(
        subject.features("train"),
        study.clouds("train").labels,
        subject.features("test"),
        study.clouds("test").labels,
        protocol="validated",
        seed=subject.seed,
        jobs=study.jobs,
    )
    return result, {}


def retrieval(subject: EvaluationRun) -> Measured:
    """Retrieval within the test split."""
    return retrieve_within(subject.features("test"), subject.study.clouds("test").labels), {}


def fewshot(subject: EvaluationRun) -> Measured:
    """CrossPoint's few-shot tasks, all settings."""
    study = subject.study
    result = few_shot_table(
        subject.features(study.split),
        study.clouds(study.split).labels,
        settings=study.few_shot_settings,
        queries=study.queries,
        runs=study.runs,
        small_classes=study.small_classes,
        seed=subject.seed,
        jobs=study.jobs,
    )
    return result, {}


def folds(subject: EvaluationRun) -> Measured:
    """Point-BERT's stored tasks, all settings that lie there, by an SVM."""
    study = subject.study
    assert study.folds is not None
    settings = stored_settings(study.folds)
    result = folds_svm(
        study.folds,
        partial(subject.measured.features, progress=False),  # of the folds there is a bar already
        settings=settings,
        points=study.cloud_points,
        normalize=study.normalize,
        progress=True,
    )
    return result, {}


def crossmodal(subject: EvaluationRun) -> Measured:
    """Views and shapes of the rendered set, and what some views find."""
    study = subject.study
    clouds, rendered = study.rendered_set
    seed = subject.seed if subject.method.random_init else None
    result, projected = retrieve_modalities(
        load_dual_encoder(subject.checkpoint, k=study.k, seed=seed),
        clouds,
        rendered,
        image_size=trained_image_size(subject.checkpoint),
        device=study.device_name,
        progress=True,
    )
    queries = choose_queries(clouds.labels, study.seed)
    asked = projected.images[queries * result.constants["views"]]  # the first view of each
    found = nearest_items(asked, projected.shapes, min(NEAREST, len(clouds)))
    return result, {"queries": queries, "found": found}


def finetune(subject: EvaluationRun) -> Measured:
    """Fine-tuned classification."""
    study = subject.study
    result = fine_tune(
        subject.encoder,
        study.clouds("train"),
        study.clouds("test"),
        recipe=recipe(CLASSIFICATION, study),
        validation=VALIDATION,
        seed=subject.seed,
        resources=_resources(study),
        progress=sys.stderr.isatty(),
        out=_fresh(subject.folder / "finetune"),
    )
    return result, {}


def partseg(subject: EvaluationRun) -> Measured:
    """Fine-tuned part segmentation; its answers lie beside the network."""
    study, clouds = subject.study, subject.study.part_clouds
    result = segment_parts(
        check_encoder(subject.encoder),
        clouds["train"],
        clouds["test"],
        recipe=recipe(PARTS, study),
        k=study.k or 40,
        validation=clouds["val"],
        seed=subject.seed,
        resources=_resources(study),
        progress=sys.stderr.isatty(),
        out=_fresh(subject.folder / "partseg"),
    )
    return replace(result, constants={**result.constants, "points": study.part_points}), {}


MEASURES: dict[str, Callable[[EvaluationRun], Measured]] = {
    "linear": linear,
    "knn": knn,
    "retrieval": retrieval,
    "fewshot": fewshot,
    "folds": folds,
    "crossmodal": crossmodal,
    "finetune": finetune,
    "partseg": partseg,
}


def recipe(standard: FinetuneConfig, study: StudyConfig) -> FinetuneConfig:
    """A protocol's own recipe, with the epochs and the optimizer that the user asks for."""
    return replace(standard, epochs=study.epochs or standard.epochs, optimizer=study.optimizer or standard.optimizer)


def _resources(study: StudyConfig) -> Resources:
    return Resources(accelerator="cpu" if study.device_name == "cpu" else "auto")


def _fresh(folder: Path) -> Path:
    """A folder without the network of a run whose result was never written; unfinished training stays, to go on."""
    for name in (NETWORK, ENCODER, PREDICTIONS):
        (folder / name).unlink(missing_ok=True)
    return folder
