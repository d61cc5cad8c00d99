"""What can be said against a study before anything is measured."""

from __future__ import annotations

import numpy as np

from crosspoint.checkpoints.load import TrainedOn
from crosspoint.eval.classifiers.cross_validation import stratified_folds
from crosspoint.eval.classifiers.svm import check_split
from crosspoint.eval.encoder_target import warn_of_mismatch
from crosspoint.eval.protocols.few_shot import task_pool
from crosspoint.eval.protocols.pointbert_folds import find_folds, stored_settings
from crosspoint.eval.protocols.retrieval import RANKS
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.evaluation_run import EvaluationRun
from crosspoint.eval.study.protocols import VALIDATION, recipe
from crosspoint.eval.supervised.classification import CLASSIFICATION
from crosspoint.eval.supervised.part_segmentation import PARTS
from crosspoint.eval.supervised.splits import split_clouds


def check_study(study: StudyConfig) -> dict[tuple[str, str], str]:
    """Refuse what cannot be measured, in seconds.

    Returns:
        Why methods are left out of protocols, by name and protocol.

    Raises:
        FileNotFoundError: if checkpoints or data are missing.
        ValueError: if one of them cannot be used, or a protocol can be run on none of the checkpoints.
    """
    rows = study.rows
    reasons = {
        (row.name, protocol): reason
        for row in rows
        for protocol in study.chosen
        if (reason := row.unsupported(protocol))
    }
    for protocol in study.chosen:
        if all((row.name, protocol) in reasons for row in rows):
            raise ValueError(
                f"{protocol}: found {reasons[rows[0].name, protocol]}, expected at least one checkpoint that has it: "
                "leave the protocol out"
            )
    for protocol in study.chosen:
        try:
            _check_data(study, protocol)
        except ValueError as error:
            raise ValueError(f"{protocol}: {error}") from error
    cloud = study.clouds("test").points[:1]
    for row in rows:
        EvaluationRun(study, row, 0).measured.features(cloud, progress=False)
        for checkpoint in () if row.random_init else row.checkpoints:
            clouds = TrainedOn(study.cloud_points, checkpoint.config.get("k"))
            warn_of_mismatch(checkpoint.trained_on, clouds, checkpoint.path, study.normalize)
    return reasons


def _check_data(study: StudyConfig, protocol: str) -> None:
    """One protocol's data, with features of zero where it asks for features."""
    if protocol == "folds":
        assert study.folds is not None
        find_folds(study.folds, stored_settings(study.folds))
    elif protocol == "partseg":
        clouds = study.part_clouds
        split_clouds(clouds["train"], clouds["test"], clouds["val"], 1.0, study.seed)
        recipe(PARTS, study)
    elif protocol == "crossmodal":
        _check_ranks(len(study.rendered_set[0]), "rendered shapes")
    elif protocol == "retrieval":
        _check_ranks(len(study.clouds("test")) - 1, "other clouds")
    elif protocol == "fewshot":
        labels = study.clouds(study.split).labels
        nothing = np.zeros((len(labels), 1))
        if not study.few_shot_settings or len({*study.few_shot_settings}) < len(study.few_shot_settings):
            raise ValueError(f"found ways {study.ways} and shots {study.shots}, expected some of both, each once")
        for ways, shots in study.few_shot_settings:
            task_pool(nothing, labels, ways, shots, study.queries, study.runs, 1.0, study.small_classes)
    else:
        train, test = study.clouds("train"), study.clouds("test")
        check_split(np.zeros((len(train), 1)), train.labels, np.zeros((len(test), 1)), test.labels)
        if protocol == "knn" or (protocol == "linear" and study.svm == "validated"):
            stratified_folds(train.labels, 5, study.seed)
        if protocol == "finetune":
            split_clouds(train, test, VALIDATION, 1.0, study.seed)
            recipe(CLASSIFICATION, study)


def _check_ranks(items: int, what: str) -> None:
    if items < max(RANKS):
        raise ValueError(f"found {items} {what}, expected at least {max(RANKS)}, as recall@{max(RANKS)} counts them")
