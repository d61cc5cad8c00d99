"""Panoptic segmentation of scenes: how good an encoder is, as a beginning, at telling objects apart.

The task of CSC (Chen et al., 2024, https://github.com/chenhaomingbob/CSC) and CMCR (https://arxiv.org/abs/2412.08973):
a panoptic network is fine-tuned on few labeled frames, and measured by panoptic quality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from crosspoint.eval.metrics.panoptic_quality import panoptic_rows, panoptic_scores
from crosspoint.eval.panoptic.config import BranchConfig, Mode, PanopticConfig
from crosspoint.eval.panoptic.grouping import GroupingConfig
from crosspoint.eval.panoptic.instance_frames import InstanceFrames, thing_classes
from crosspoint.eval.panoptic.network import PanopticSegmenter
from crosspoint.eval.panoptic.training import PanopticTraining, measure_panoptic
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.cloud_training import check_free, save_network
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.frame_training import interrupted_training
from crosspoint.eval.supervised.labeled_frames import in_dataset_order, label_step
from crosspoint.eval.supervised.network_record import frames_record
from crosspoint.eval.supervised.on_validation import OnValidation
from crosspoint.eval.supervised.scene_encoder import check_classes, check_encoder, starting_encoder
from crosspoint.eval.supervised.trainer import Fitted, fit_and_choose, seeded
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.plugins import plain
from crosspoint.renderers.ranges import in_range
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.training.loggers import Names, check_loggers
from crosspoint.training.run_folder import writes_alone

RECIPE = PanopticConfig()
BRANCH = BranchConfig()
GROUPING = GroupingConfig()
RESOURCES = Resources(evaluation_batch=4)  # frames; their points are many


@dataclass(frozen=True)
class Rules:
    """How a network is measured: which classes have objects, how they are found, and which mistakes count."""

    things: Tensor
    grouping: GroupingConfig
    least_points: int


@writes_alone
def panoptic_segmentation(
    encoder: PointEncoder,
    train: LidarDataset,
    test: LidarDataset,
    *,
    voxels: VoxelConfig,
    mode: Mode = "finetuned",
    recipe: PanopticConfig = RECIPE,
    branch: BranchConfig = BRANCH,
    grouping: GroupingConfig = GROUPING,
    things: Sequence[str] | None = None,
    least_points: int | None = None,
    validation: LidarDataset | None = None,
    fraction: float = 1.0,
    seed: int = 0,
    resources: Resources | None = None,
    progress: bool = False,
    out: Path | None = None,
    logger: Names | None = None,
) -> Result:
    """Panoptic quality of a network that starts from an encoder, over all raw points of the test frames, in percent.

    - pq, sq, rq, pq_dagger, those of things and of stuff, miou: of the epoch with the highest PQ on the validation
      frames, and of the last epoch where there are none. `crosspoint.eval.metrics.panoptic_quality` defines them.
    - pq_last_epoch: the last epoch's.
    - validation_pq: of the chosen epoch, where there are validation frames.

    The records are a row for each epoch, then a row for each class. The encoder itself is not changed. The same
    arguments give the same result on a CPU; a GPU adds in varying order.

    Args:
        encoder: a (pre-trained) network that describes voxels.
        train: frames to learn from, with labels and instances.
        test: frames to measure on, of the same classes.
        voxels: how space is cut, best as in pre-training.
        mode: "finetuned" trains all, "scratch" from random weights in the encoder's place; "frozen" holds the encoder
            still, with its BatchNorms, and trains the linear layer and the instance branch.
        recipe: of training.
        branch: size of the instance branch.
        grouping: how objects are found in what the network says.
        things: names of the classes with objects; None for those that the dataset names.
        least_points: of a segment that counts as a mistake; None for what the dataset's benchmark says.
        validation: frames that choose the epoch; None takes the last one.
        fraction: of the training frames that labels are taken of, as in `semantic_segmentation`.
        seed: of all random weights, the order, the augmentation, and what DropBlock drops.
        resources: what it runs on.
        progress: show progress bars.
        out: new folder for `network.safetensors`, a `PanopticSegmenter`'s weights of the chosen epoch, and
            `predictions.npz` (predicted and instance, the class and the object of every point of all test frames,
            int16; offsets, where each frame begins, and the end). Interrupted, the same call goes on from the last
            whole epoch.
        logger: csv, tensorboard, wandb, mlflow, several of them, which write to `out`; None takes none.

    Raises:
        ImportError: if a logger's package is not installed.
        ValueError: if datasets do not fit together, have no frame, no labels or no objects, if a thing is no class, if
            the encoder has other inputs than the voxels, if `out` is taken or being written to, or if the loss stops
            being finite.
    """
    check_free(out)
    check_loggers(logger, out)
    if mode not in get_args(Mode):
        raise ValueError(f"found the mode {mode!r}, expected one of: {', '.join(get_args(Mode))}")
    in_range("least_points", least_points, 1, 1_000_000)
    check_encoder(encoder, voxels)
    check_classes(train, [test] if validation is None else [validation, test])
    resources = resources or RESOURCES
    rules = Rules(thing_classes(train, things), grouping, train.least_points if least_points is None else least_points)
    learned = InstanceFrames(train, voxels, every=label_step(fraction), augment=recipe.augment)
    held = None if validation is None else InstanceFrames(validation, voxels)
    tested = InstanceFrames(test, voxels)
    learned.check_objects(rules.things)
    with seeded(seed):
        start = starting_encoder(encoder, random=mode == "scratch", norm_momentum=recipe.norm_momentum)
        network = PanopticSegmenter(start, len(train.classes), branch, freeze_encoder=mode == "frozen").eval()
    fitted = _train(network, learned, held, rules, recipe, branch, resources, seed, progress, out, logger)
    device, kept = resources.device, out is not None

    def measured(keep: bool) -> Any:
        return measure_panoptic(
            network, tested, rules.things, grouping, rules.least_points, resources, device, keep=keep
        )

    chosen_is_last = fitted.epoch == len(fitted.records)
    last, answers = measured(kept and chosen_is_last)
    chosen = last
    if not chosen_is_last:
        network.load_state_dict(fitted.weights)
        chosen, answers = measured(kept)
    if out is not None:
        answers = in_dataset_order(answers, tested.indices)
        classes, objects = (np.concatenate(part) for part in zip(*answers, strict=True))
        offsets = np.cumsum([0, *(len(answer[0]) for answer in answers)])
        things_named = [train.classes[place] for place in _places(rules.things)]
        head = {"branch": plain(branch), "grouping": asdict(grouping), "things": things_named}
        record = frames_record("panoptic", network.encoder, voxels, train, head)
        save_network(out, network, record, predicted=classes, instance=objects, offsets=offsets)
    row, places = fitted.records[fitted.epoch - 1], _places(rules.things)
    metrics = panoptic_scores(chosen, places) | {key: row[key] for key in ("validation_pq",) if key in row}
    metrics["pq_last_epoch"] = panoptic_scores(last, places)["pq"]
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
        "things": [train.classes[place] for place in places],
        "least_points": rules.least_points,
        "voxels": asdict(voxels),
        "branch": plain(branch),
        "grouping": asdict(grouping),
        **plain(recipe),
        **fitted.constants,
        "epoch": fitted.epoch,
    }
    records = [*fitted.records, *panoptic_rows(chosen, train.classes, places)]
    return Result(f"panoptic/{mode}", metrics, constants, records)


def _train(
    network: PanopticSegmenter,
    train: InstanceFrames,
    validation: InstanceFrames | None,
    rules: Rules,
    recipe: PanopticConfig,
    branch: BranchConfig,
    resources: Resources,
    seed: int,
    progress: bool,
    folder: Path | None,
    logger: Names | None,
) -> Fitted:
    """Train the network in place."""
    measured = [rules.things.tolist(), asdict(rules.grouping), rules.least_points]
    settings = [network.freeze_encoder, asdict(train.voxels), plain(recipe), plain(branch), seed, measured]
    unfinished = interrupted_training(folder, network, train, validation, resources, "panoptic", settings)
    training = PanopticTraining(network.train(), train, rules.things, recipe, resources, seed)
    measurement = OnValidation("pq", None if validation is None else partial(_figures, validation, rules, resources))
    fitted = fit_and_choose(
        training, measurement, epochs=recipe.epochs, progress=progress, unfinished=unfinished, logger=logger
    )
    network.cpu()
    return fitted


def _figures(
    frames: InstanceFrames, rules: Rules, resources: Resources, network: PanopticSegmenter, device: torch.device
) -> dict[str, float]:
    sums, _ = measure_panoptic(network, frames, rules.things, rules.grouping, rules.least_points, resources, device)
    return panoptic_scores(sums, _places(rules.things))


def _places(things: Tensor) -> list[int]:
    return things.nonzero()[:, 0].tolist()
