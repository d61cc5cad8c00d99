"""Semantic segmentation of scenes: how good an encoder is, as it is or as a beginning, at naming every point.

The protocols of SLidR (Sautier et al., 2022, https://arxiv.org/abs/2203.16258), which later papers kept: a linear
probe, and fine-tuning on 1 to 100 % of the labels. They report the last epoch, on the validation split of a dataset.
Beside them stands a probe of two layers, trained as the linear one is, and what ScaLR (Puy et al., 2024,
https://arxiv.org/abs/2310.17504) adds to fine-tuning: a rate that falls from layer to layer towards the input.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import nn

from crosspoint.eval.results import Result
from crosspoint.eval.supervised.classification import linear_head
from crosspoint.eval.supervised.cloud_training import check_free, save_network
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.corrupted_frames import Corruptions, check_corruptions, under_corruptions
from crosspoint.eval.supervised.frame_training import interrupted_training
from crosspoint.eval.supervised.labeled_frames import (
    EncodedFrames,
    LabeledFrames,
    VoxelExamples,
    in_dataset_order,
    label_step,
)
from crosspoint.eval.supervised.network_record import frames_record
from crosspoint.eval.supervised.on_validation import OnValidation
from crosspoint.eval.supervised.scene_encoder import check_classes, check_encoder, starting_encoder
from crosspoint.eval.supervised.segmenter import (
    PROBES,
    Mode,
    SegmentationConfig,
    SegmentationTraining,
    Segmenter,
    measure_segmenter,
)
from crosspoint.eval.supervised.trainer import Fitted, fit_and_choose, seeded
from crosspoint.eval.supervised.turned_views import MOST_VIEWS
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.ops.shared_mlp import SharedMLP
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.ranges import in_range
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.scene.segmentation_scores import class_rows, segmentation_scores
from crosspoint.training.loggers import Names, check_loggers
from crosspoint.training.run_folder import writes_alone

RECIPE = SegmentationConfig()
RESOURCES = Resources(evaluation_batch=4)  # frames; their points are many


@writes_alone
def semantic_segmentation(
    encoder: PointEncoder,
    train: LidarDataset,
    test: LidarDataset,
    *,
    voxels: VoxelConfig,
    mode: Mode = "finetuned",
    recipe: SegmentationConfig = RECIPE,
    validation: LidarDataset | None = None,
    fraction: float = 1.0,
    corruptions: Corruptions = "none",
    tta: int = 1,
    seed: int = 0,
    resources: Resources | None = None,
    progress: bool = False,
    out: Path | None = None,
    logger: Names | None = None,
) -> Result:
    """Mean IoU of a segmenter that starts from an encoder, over all raw points of the test frames, in percent.

    - miou, miou_absent_as_100, point_accuracy: of the epoch with the highest mIoU on the validation frames, and of the
      last epoch where there are none. `crosspoint.scene.segmentation_scores` defines them.
    - miou_last_epoch: what papers report.
    - miou_one_view: of the chosen epoch without test-time augmentation, where there is one.
    - validation_miou: of the chosen epoch, where there are validation frames.
    - those of `under_corruptions`, where corruptions are asked for.

    The records are a row for each epoch, then a row for each class: its IoU, None where neither truth nor prediction
    has it, and its row of the confusion matrix. The encoder itself is not changed. The same arguments give the same
    result on a CPU; a GPU adds in varying order.

    Args:
        encoder: a (pre-trained) network that describes voxels.
        train: frames to learn from, with labels.
        test: frames to measure on, of the same classes.
        voxels: how space is cut, best as in pre-training.
        mode: "linear" trains one linear layer on the encoder, whose weights and BatchNorms are held still, "mlp" two
            with BatchNorm and ReLU between them; "finetuned" trains all under a linear layer, "scratch" from random
            weights in the encoder's place.
        recipe: of training.
        validation: frames that choose the epoch; None takes the last one. Neighboring frames of one drive are nearly
            the same, so no share of `train` is set aside here.
        fraction: of the training frames that labels are taken of: 0.01 takes every hundredth, from the first on, unless
            the dataset takes shares otherwise (`LidarDataset.thinned`): nuScenes takes whole scenes.
        corruptions: "robo3d" measures the network of the chosen epoch on corrupted test frames, too.
        tta: views of each test frame, turned about z and mirrored, whose probabilities are averaged at every point;
            1 sees the frame as it is, `crosspoint.eval.supervised.turned_views` says which others there are. Validation
            frames are seen as they are.
        seed: of the head, random weights, the order, the augmentation and corruptions.
        resources: what it runs on.
        progress: show progress bars.
        out: new folder for `network.safetensors`, a `Segmenter`'s weights of the chosen epoch, and `predictions.npz`
            (predicted, the class of every point of all test frames, int16; offsets, where each frame begins, and the
            end). Interrupted, the same call goes on from the last whole epoch.
        logger: csv, tensorboard, wandb, mlflow, several of them, which write to `out`; None takes none.

    Raises:
        ImportError: if a logger's package is not installed.
        ValueError: if datasets do not fit together, have no frame or no labels, if the encoder has other inputs than
            the voxels, if `out` is taken or being written to, or if the loss stops being finite.
    """
    check_free(out)
    check_loggers(logger, out)
    in_range("tta", tta, 1, MOST_VIEWS)
    recipe, resources = _check(encoder, train, test, validation, voxels, mode, recipe), resources or RESOURCES
    learned = LabeledFrames(train, voxels, every=label_step(fraction), augment=recipe.augment)
    held = None if validation is None else LabeledFrames(validation, voxels)
    tested = LabeledFrames(test, voxels)
    if corruptions != "none":
        check_corruptions(test, voxels)
    with seeded(seed):
        network = build_segmenter(encoder, len(train.classes), mode, recipe)
    trained, fitted = _train(network, learned, held, recipe, resources, seed, progress, out, logger)
    measure = partial(measure_segmenter, network, resources=resources, device=resources.device)
    last, answers = measure(tested, views=tta)
    chosen = last
    if fitted.epoch < len(fitted.records):
        trained.load_state_dict(fitted.weights)
        chosen, answers = measure(tested, views=tta)
    if out is not None:
        answers = in_dataset_order(answers, tested.indices)
        offsets = np.cumsum([0, *map(len, answers)])
        standardized = mode in PROBES and recipe.standardize
        head = {"standardize": standardized, "hidden": recipe.hidden if mode == "mlp" else None}
        record = frames_record("points", network.encoder, voxels, train, head)
        save_network(out, network, record, predicted=np.concatenate(answers), offsets=offsets)
    row = fitted.records[fitted.epoch - 1]
    metrics = segmentation_scores(chosen) | {key: row[key] for key in ("validation_miou",) if key in row}
    metrics["miou_last_epoch"] = segmentation_scores(last)["miou"]
    if tta > 1:
        metrics["miou_one_view"] = segmentation_scores(measure(tested)[0])["miou"]
    corrupted: list[JsonObject] = []
    if corruptions != "none":
        miou = partial(_miou, network, resources, tta)
        figures, corrupted = under_corruptions(miou, test, voxels, metrics["miou"], seed)
        metrics |= figures
    constants = {
        "mode": mode,
        "data": train.name,
        "train": len(learned),
        "fraction": fraction,
        "validation": 0 if held is None else len(held),
        "validation_data": None if validation is None else validation.name,
        "test": len(tested),
        "test_data": test.name,
        "classes": len(train.classes),
        "voxels": asdict(voxels),
        "tta": tta,
        **asdict(recipe),
        **fitted.constants,
        "epoch": fitted.epoch,
    }
    records = [*fitted.records, *class_rows(chosen, train.classes), *corrupted]
    return Result(f"semseg/{mode}", metrics, constants, records)


def _figures(frames: VoxelExamples, resources: Resources, network: Segmenter, device: torch.device) -> dict[str, float]:
    return segmentation_scores(measure_segmenter(network, frames, resources, device)[0])


def _miou(network: Segmenter, resources: Resources, views: int, frames: LabeledFrames) -> float:
    return segmentation_scores(measure_segmenter(network, frames, resources, resources.device, views=views)[0])["miou"]


def build_segmenter(encoder: PointEncoder, classes: int, mode: Mode, recipe: SegmentationConfig) -> Segmenter:
    """The network before its first step; its random weights come from torch's global generator."""
    start = starting_encoder(encoder, random=mode == "scratch", norm_momentum=recipe.norm_momentum)
    hidden, standardized = recipe.hidden if mode == "mlp" else None, mode in PROBES and recipe.standardize
    head = point_head(encoder.feature_dim, classes, hidden=hidden, standardize=standardized)
    return Segmenter(start, head, freeze_encoder=mode in PROBES).eval()


def point_head(features: int, classes: int, *, hidden: int | None, standardize: bool) -> nn.Module:
    """(M, features) → (M, classes): one linear layer, or two.

    Args:
        features: of a voxel.
        classes: how many.
        hidden: units of the hidden layer; None for one layer.
        standardize: bring the features to mean 0 and deviation 1 first.
    """
    if hidden is None:
        return linear_head(features, classes) if standardize else nn.Linear(features, classes)
    first = [nn.BatchNorm1d(features, affine=False)] if standardize else []
    return nn.Sequential(*first, SharedMLP(features, hidden, slope=0.0), nn.Linear(hidden, classes))


def _train(
    network: Segmenter,
    train: LabeledFrames,
    validation: LabeledFrames | None,
    recipe: SegmentationConfig,
    resources: Resources,
    seed: int,
    progress: bool,
    folder: Path | None,
    logger: Names | None,
) -> tuple[Segmenter, Fitted]:
    """Train the network in place; what weights of an epoch fit is the network, or one that shares its head."""
    settings = [network.freeze_encoder, asdict(train.voxels), asdict(recipe), seed]
    unfinished = interrupted_training(folder, network, train, validation, resources, "semseg", settings)
    learned: VoxelExamples = train
    held: VoxelExamples | None = validation
    trained, encoder = network, network.encoder
    if encoder is not None and network.freeze_encoder and not recipe.augment:
        trained, resources = Segmenter(None, network.head), replace(resources, workers=0)
        room = int(resources.kept_features * 1e9) // (1 if validation is None else 2)
        encode = partial(EncodedFrames, encoder, device=resources.device, keep=room, progress=progress)
        learned, held = encode(train), None if validation is None else encode(validation)
    training = SegmentationTraining(trained.train(), learned, recipe, resources, seed)
    measurement = OnValidation("miou", None if held is None else partial(_figures, held, resources))
    assert recipe.epochs is not None
    fitted = fit_and_choose(
        training, measurement, epochs=recipe.epochs, progress=progress, unfinished=unfinished, logger=logger
    )
    network.cpu()
    return trained, fitted


def _check(
    encoder: PointEncoder,
    train: LidarDataset,
    test: LidarDataset,
    validation: LidarDataset | None,
    voxels: VoxelConfig,
    mode: Mode,
    recipe: SegmentationConfig,
) -> SegmentationConfig:
    """Refuse what does not fit together; the recipe of the mode."""
    if mode not in get_args(Mode):
        raise ValueError(f"found the mode {mode!r}, expected one of: {', '.join(get_args(Mode))}")
    check_encoder(encoder, voxels)
    check_classes(train, [test] if validation is None else [validation, test])
    return recipe.of(mode)
