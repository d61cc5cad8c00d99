"""The commands below `crosspoint evaluate`, one function a protocol; what they share is one dataclass.

Parameters become flags and YAML keys, docstrings the help.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any, Literal, get_type_hints

from crosspoint.checkpoints.dual_encoder import load_dual_encoder, trained_image_size
from crosspoint.eval.encoder_target import ClassificationTarget, EncoderTarget, chosen_device
from crosspoint.eval.protocols.crossmodal import retrieve_modalities
from crosspoint.eval.protocols.few_shot import SmallClasses, few_shot, few_shot_table
from crosspoint.eval.protocols.knn import Metric, Weights, knn_classify
from crosspoint.eval.protocols.linear_svm import linear_svm
from crosspoint.eval.protocols.pointbert_folds import folds_svm, stored_settings
from crosspoint.eval.protocols.retrieval import retrieve_within
from crosspoint.eval.segmentation_target import SegmentationTarget
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.study import report_study
from crosspoint.eval.supervised.classification import CLASSIFICATION, Mode, fine_tune
from crosspoint.eval.supervised.config import FinetuneConfig, Resources
from crosspoint.eval.supervised.part_segmentation import PARTS, check_encoder, segment_parts
from crosspoint.eval.supervised.part_segmentation import Mode as PartMode
from crosspoint.eval.supervised.pointbert_folds import FOLDS, folds_finetune
from crosspoint.eval.supervised.segmenter import Mode as SegmentationMode
from crosspoint.eval.supervised.segmenter import SegmentationConfig
from crosspoint.eval.supervised.semantic_segmentation import RECIPE as SEGMENTATION
from crosspoint.eval.supervised.semantic_segmentation import RESOURCES as SCENE_RESOURCES
from crosspoint.eval.supervised.semantic_segmentation import semantic_segmentation
from crosspoint.renderers import RenderedSet

RESOURCES = Resources()


def linear(
    measured: ClassificationTarget, protocol: Literal["validated", "paper"] = "validated", C: float = 0.1
) -> int:
    """Linear SVM on frozen features, trained on the train split and scored once on the test split.

    Args:
        measured: the encoder and the clouds
        protocol: validated: C and scaling by cross-validation; paper: raw features at the given C
        C: of the paper protocol
    """
    train, test = measured.clouds("train"), measured.clouds("test")
    train_x, test_x = measured.features(train.points), measured.features(test.points)
    result = linear_svm(
        train_x, train.labels, test_x, test.labels, protocol=protocol, C=C, seed=measured.seed, jobs=measured.jobs
    )
    return measured.report(result, train.name)


def fewshot(
    measured: ClassificationTarget,
    split: str = "train",
    ways: int = 5,
    shots: int = 10,
    all_settings: bool = False,
    queries: int = 20,
    runs: int = 10,
    small_classes: SmallClasses = "refuse",
) -> int:
    """Few-shot accuracy of a linear SVM on frozen features (CrossPoint's protocol).

    Args:
        measured: the encoder and the clouds
        split: the pool that tasks are drawn from; CrossPoint draws from train
        ways: classes in a task
        shots: labeled samples of each class
        all_settings: 5 and 10 ways by 10 and 20 shots in one table, instead of one setting
        queries: samples of each class to answer
        runs: number of tasks
        small_classes: what happens to classes with too few members
    """
    pool = measured.clouds(split)
    features = measured.features(pool.points)
    drawn: dict[str, Any] = {
        "queries": queries,
        "runs": runs,
        "small_classes": small_classes,
        "seed": measured.seed,
        "jobs": measured.jobs,
    }
    if all_settings:
        result = few_shot_table(features, pool.labels, **drawn)
    else:
        result = few_shot(features, pool.labels, ways=ways, shots=shots, **drawn)
    return measured.report(result, f"{pool.name} ({split})")


def knn(
    measured: ClassificationTarget,
    protocol: Literal["validated", "fixed"] = "validated",
    nearest: int = 20,
    metric: Metric = "cosine",
    weights: Weights = "uniform",
) -> int:
    """Vote of the nearest training samples on frozen features.

    Args:
        measured: the encoder and the clouds
        protocol: validated: how many vote is found by cross-validation; fixed: as given
        nearest: how many vote in the fixed protocol
        metric: between features
        weights: all alike, or exp(cosine / 0.07) as in instance discrimination
    """
    train, test = measured.clouds("train"), measured.clouds("test")
    train_x, test_x = measured.features(train.points), measured.features(test.points)
    result = knn_classify(
        train_x,
        train.labels,
        test_x,
        test.labels,
        protocol=protocol,
        k=nearest,
        metric=metric,
        weights=weights,
        seed=measured.seed,
        jobs=measured.jobs,
    )
    return measured.report(result, train.name)


def retrieval(measured: ClassificationTarget, split: str = "test") -> int:
    """Retrieval by cosine within one split: each cloud seeks the others of its class.

    Args:
        measured: the encoder and the clouds
        split: in which clouds seek each other
    """
    clouds = measured.clouds(split)
    result = retrieve_within(measured.features(clouds.points), clouds.labels)
    return measured.report(result, f"{clouds.name} ({split})")


def crossmodal(
    measured: ClassificationTarget, split: str = "test", views: int | None = None, image_size: int | None = None
) -> int:
    """Retrieval between views and clouds of a rendered set (--dataset rendered), by both branches of a checkpoint.

    Args:
        measured: the checkpoint, which must hold the image branch, and the set
        split: in which views seek shapes, and shapes views
        views: of each object, the first ones; null takes all
        image_size: of what the image branch sees; null takes the run's own, from config.yaml beside the checkpoint
    """
    if measured.dataset != "rendered":
        raise ValueError(f"found the dataset {measured.dataset}, expected rendered: views are needed, so render it")
    seed = measured.seed if measured.random_init else None
    result, _ = retrieve_modalities(
        load_dual_encoder(measured.checkpoint, k=measured.k, seed=seed),
        clouds := measured.clouds(split),
        RenderedSet(measured.root, split),
        views=views,
        image_size=image_size or trained_image_size(measured.checkpoint),
        device=chosen_device(measured.device),
        progress=True,
    )
    return measured.report(result, f"{clouds.name} ({split})")


def folds(
    measured: EncoderTarget,
    folds: Path,
    mode: Literal["svm", "finetuned", "scratch", "frozen"] = "svm",
    count: int = 10,
    C: float = 1.0,
    recipe: FinetuneConfig = FOLDS,
    resources: Resources = RESOURCES,
) -> int:
    """Point-BERT's stored few-shot tasks, all settings that lie there: an SVM on frozen features, or fine-tuned.

    Papers fine-tune; interrupted, the same command with --cache goes on from the last whole fold.

    Args:
        measured: the encoder; --cache keeps the figures of each fold, too
        folds: folder of 5way_10shot/0.pkl …
        mode: svm; or as finetune has them: all weights, all from random ones, or a linear head on the frozen encoder
        count: how many of each setting, from number 0
        C: of the SVM
        recipe: of training; the defaults are DGCNN's, for 150 epochs
        resources: what training runs on, instead of --device
    """
    shared: dict[str, Any] = {
        "settings": stored_settings(folds),
        "folds": count,
        "points": measured.cloud_points,
        "normalize": measured.normalize,
        "progress": True,
    }
    if mode == "svm":
        features = partial(measured.features, progress=False)  # of the folds there is a bar already
        result = folds_svm(folds, features, C=C, **shared)
    else:
        result = folds_finetune(
            folds,
            measured.encoder,
            mode=mode,
            recipe=recipe,
            seed=measured.seed,
            resources=resources,
            cache=measured.cache,
            **shared,
        )
    return measured.report(result, "modelnet40/folds")


def finetune(
    measured: ClassificationTarget,
    mode: Mode = "finetuned",
    validation: float = 0.1,
    fraction: float = 1.0,
    recipe: FinetuneConfig = CLASSIFICATION,
    resources: Resources = RESOURCES,
    network: Path | None = None,
) -> int:
    """Classification fine-tuned from the encoder; the epoch is chosen on a part of the training split.

    Args:
        measured: the encoder and the clouds
        mode: all weights, all from random ones, or a linear head on the frozen encoder
        validation: share of the training clouds that chooses the epoch
        fraction: of the labels that is trained on
        recipe: of training; the defaults are DGCNN's
        resources: what it runs on, instead of --device
        network: new folder for the trained network and its predictions
    """
    result = fine_tune(
        measured.encoder,
        measured.clouds("train"),
        test := measured.clouds("test"),
        mode=mode,
        recipe=recipe,
        validation=validation,
        fraction=fraction,
        seed=measured.seed,
        resources=resources,
        progress=sys.stderr.isatty(),
        out=network,
    )
    return measured.report(result, test.name)


def partseg(
    measured: ClassificationTarget,
    mode: PartMode = "finetuned",
    train_split: Literal["train", "trainval"] = "train",
    validation: float | None = None,
    fraction: float = 1.0,
    votes: int = 1,
    recipe: FinetuneConfig = PARTS,
    resources: Resources = RESOURCES,
    network: Path | None = None,
) -> int:
    """Part segmentation fine-tuned from a part-segmentation encoder, on ShapeNetPart's layout (--dataset shapenetpart).

    Args:
        measured: the encoder and the clouds; --k is 40 where it is not given
        mode: start from the encoder, or from random weights
        train_split: the original trains on trainval, with --validation 0
        validation: share of the training clouds that chooses the epoch; null takes the val split
        fraction: of the labeled clouds that is trained on
        votes: passes over each test cloud, averaged
        recipe: of training; the defaults are the original's
        resources: what it runs on, instead of --device
        network: new folder for the trained network and its predictions
    """
    encoder = check_encoder(measured.encoder)  # before data are read
    result = segment_parts(
        encoder,
        measured.clouds(train_split),
        test := measured.clouds("test"),
        mode=mode,
        recipe=recipe,
        k=measured.k or 40,
        validation=measured.clouds("val") if validation is None else validation,
        fraction=fraction,
        votes=votes,
        seed=measured.seed,
        resources=resources,
        progress=sys.stderr.isatty(),
        out=network,
    )
    return measured.report(result, test.name)


def semseg(
    measured: SegmentationTarget,
    mode: SegmentationMode = "linear",
    fraction: float = 1.0,
    recipe: SegmentationConfig = SEGMENTATION,
    resources: Resources = SCENE_RESOURCES,
    network: Path | None = None,
) -> int:
    """Semantic segmentation of LiDAR frames: a linear probe on an encoder of scenes, or fine-tuned; mIoU per point.

    Args:
        measured: the encoder and the frames
        mode: linear: one layer on the frozen encoder, BatchNorm and all; finetuned; or scratch, from random weights
        fraction: of the training frames whose labels are used: 0.01 takes every hundredth
        recipe: of training; the defaults are SLidR's
        resources: what it runs on
        network: new folder for the trained network and its answers
    """
    result = semantic_segmentation(
        measured.encoder,
        measured.train,
        measured.test,
        voxels=measured.voxels,
        mode=mode,
        recipe=recipe,
        validation=measured.validation,
        fraction=fraction,
        seed=measured.seed,
        resources=resources,
        progress=sys.stderr.isatty(),
        out=network,
    )
    return measured.report(result)


def everything(study: StudyConfig) -> int:
    """Several protocols on several checkpoints, in one folder: results.json, tables, report.html, pictures.

    Interrupted work goes on where it stopped: give the same command again.
    """
    return report_study(study)


PROTOCOLS: dict[str, Callable[..., int]] = {
    "all": everything,
    "linear": linear,
    "fewshot": fewshot,
    "folds": folds,
    "knn": knn,
    "retrieval": retrieval,
    "crossmodal": crossmodal,
    "finetune": finetune,
    "partseg": partseg,
    "semseg": semseg,
}


def subject(protocol: str) -> tuple[str, type]:
    """Name and dataclass of a protocol's first parameter: what is measured. Its fields are flags of their own."""
    function = PROTOCOLS[protocol]
    name = next(iter(signature(function).parameters))
    return name, get_type_hints(function)[name]


def call(protocol: str, values: dict[str, Any]) -> int:
    """Run one protocol on parsed values, those of its dataclass among them."""
    _, what = subject(protocol)
    measured = what(**{field.name: values.pop(field.name) for field in fields(what) if field.init})
    if isinstance(measured, EncoderTarget | SegmentationTarget):  # a study checks all its checkpoints itself
        measured.check()
    return PROTOCOLS[protocol](measured, **values)
