"""Depth estimation: how good an image network is, as it is or as a beginning, at telling how far away things are.

Fine-tuning is that of SimIPU (Li et al., 2022, https://arxiv.org/abs/2112.04680) on KITTI: `DepthConfig` has the
recipe, `DenseDepth` the decoder. A linear probe shows what is in the features themselves.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from crosspoint.eval.metrics.depth import UNITS
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.cloud_training import check_free, save_network
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.depth_config import DepthConfig, Mode
from crosspoint.eval.supervised.depth_frames import DepthExamples, DepthFrames, EncodedImages
from crosspoint.eval.supervised.depth_networks import DenseDepth, DepthEstimator, LinearDepth
from crosspoint.eval.supervised.depth_training import DepthTraining, measure_depth
from crosspoint.eval.supervised.frame_training import interrupted_training
from crosspoint.eval.supervised.labeled_frames import label_step
from crosspoint.eval.supervised.network_record import NetworkRecord
from crosspoint.eval.supervised.on_validation import OnValidation
from crosspoint.eval.supervised.trainer import Fitted, fit_and_choose, seeded
from crosspoint.models.image_stages import ImageStages
from crosspoint.plugins import describe, plain
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.training.loggers import Names, check_loggers
from crosspoint.training.run_folder import writes_alone

RECIPE = DepthConfig()
RESOURCES = Resources(evaluation_batch=4)  # frames; their images are many
SHOWN = 2  # frames whose predictions are kept, spread evenly


@writes_alone
def depth_estimation(
    encoder: ImageStages,
    train: LidarDataset,
    test: LidarDataset,
    *,
    mode: Mode = "finetuned",
    recipe: DepthConfig = RECIPE,
    validation: LidarDataset | None = None,
    fraction: float = 1.0,
    seed: int = 0,
    resources: Resources | None = None,
    progress: bool = False,
    out: Path | None = None,
    logger: Names | None = None,
) -> Result:
    """Errors of the depth that a network tells of each image of the test frames, means over the images.

    - abs_rel, sq_rel, rmse, rmse_log, log10, silog, delta1, delta2, delta3: of the epoch with the highest delta1 on the
      validation frames, and of the last epoch where there are none. `crosspoint.eval.metrics.depth` defines them;
      the deltas are in percent, sq_rel and rmse in meters.
    - abs_rel_last_epoch, delta1_last_epoch: what papers report.
    - validation_delta1: of the chosen epoch, where there are validation frames.

    The records are a row for each epoch. The encoder itself is not changed. The same arguments give the same result on
    a CPU; a GPU adds in varying order.

    Args:
        encoder: a (pre-trained) image network, by its stages.
        train: frames to learn from, with images, and with cameras or maps of depth (`with_depth`).
        test: frames to measure on.
        mode: "linear" trains one linear layer on the last two stages of the encoder, which is held still; "finetuned"
            trains all with DenseDepth's decoder, "scratch" from random weights in the encoder's place.
        recipe: of training and measuring.
        validation: frames that choose the epoch; None takes the last one. Neighboring frames of one drive are nearly
            the same, so no share of `train` is set aside here.
        fraction: of the training frames that are used: 0.01 takes every hundredth, from the first on, unless the
            dataset takes shares otherwise (`LidarDataset.thinned`).
        seed: of the decoder, random weights, the order and the augmentation.
        resources: what it runs on.
        progress: show progress bars.
        out: new folder for `network.safetensors`, a `DepthEstimator`'s weights of the chosen epoch, and
            `predictions.npz`: errors (n, 9), a row for each image of the test frames, NaN where it has no depth; shown,
            float16 (2, V, H, W), the depth of the frames that `shown_frames` counts; frames (2,), which those are in
            the dataset. Interrupted, the same call goes on from the last whole epoch.
        logger: csv, tensorboard, wandb, mlflow, several of them, which write to `out`; None takes none.

    Raises:
        ImportError: if a logger's package is not installed.
        ValueError: if a dataset has no frame, or none with images and depth; if the encoder has one stage, `out` is
            taken or being written to, or the loss stops being finite.
    """
    check_free(out)
    check_loggers(logger, out)
    if mode not in get_args(Mode):
        raise ValueError(f"found the mode {mode!r}, expected one of: {', '.join(get_args(Mode))}")
    recipe, resources = recipe.of(mode), resources or RESOURCES
    with seeded(seed):
        network = build_estimator(encoder, mode, recipe)
    learned = DepthFrames(train, recipe, every=label_step(fraction), augment=bool(recipe.augment))
    held = None if validation is None else DepthFrames(validation, recipe)
    tested = DepthFrames(test, recipe)
    trained, fitted = _train(network, learned, held, recipe, resources, seed, progress, out, logger)
    shown = shown_frames(len(tested))
    last = chosen = measure_depth(network, tested, recipe, resources, resources.device, shown=shown)
    if fitted.epoch < len(fitted.records):
        trained.load_state_dict(fitted.weights)
        chosen = measure_depth(network, tested, recipe, resources, resources.device, shown=shown)
    if out is not None:
        frames = np.stack(chosen.shown) if len({part.shape for part in chosen.shown}) == 1 else np.zeros((0, 0, 0, 0))
        places = np.array([tested.indices[place] for place in shown])
        head = {"kind": "linear" if mode == "linear" else "dense", "scale": recipe.scale, "farthest": recipe.farthest}
        record = NetworkRecord("depth", describe(encoder), None, [], head, train.name)
        save_network(out, network, record, errors=chosen.rows(), shown=frames, frames=places)
    row, of_last = fitted.records[fitted.epoch - 1], last.figures()
    metrics = {
        **chosen.figures(),
        **{key: row[key] for key in ("validation_delta1",) if key in row},
        **{f"{name}_last_epoch": of_last[name] for name in ("abs_rel", "delta1")},
    }
    constants = {
        "mode": mode,
        "network": encoder.arguments["network"],
        "data": train.name,
        "train": len(learned),
        "fraction": fraction,
        "validation": 0 if held is None else len(held),
        "validation_data": None if validation is None else validation.name,
        "test": len(tested),
        "test_data": test.name,
        "test_images": len(chosen.errors),
        "test_images_measured": sum(errors is not None for errors in chosen.errors),
        **plain(asdict(recipe)),
        **fitted.constants,
        "epoch": fitted.epoch,
        "units": {**UNITS, **{name: "%" for name in metrics if "delta" in name}},
    }
    return Result(f"depth/{mode}", metrics, constants, fitted.records)


def build_estimator(encoder: ImageStages, mode: Mode, recipe: DepthConfig) -> DepthEstimator:
    """The network before its first step; its random weights come from torch's global generator."""
    start = encoder.fresh() if mode == "scratch" else copy.deepcopy(encoder)
    linear = mode == "linear"
    head = LinearDepth(encoder.channels) if linear else DenseDepth(encoder.channels, recipe.farthest)
    return DepthEstimator(start, head, scale=recipe.scale, freeze_encoder=linear).eval()


def shown_frames(count: int) -> list[int]:
    """Places of some of `count` frames, spread evenly."""
    return sorted({*np.linspace(0, count - 1, SHOWN + 2).astype(int)[1:-1].tolist()})


def _train(
    network: DepthEstimator,
    train: DepthFrames,
    validation: DepthFrames | None,
    recipe: DepthConfig,
    resources: Resources,
    seed: int,
    progress: bool,
    folder: Path | None,
    logger: Names | None,
) -> tuple[DepthEstimator, Fitted]:
    """Train the network in place; what weights of an epoch fit is the network, or one that shares its head."""
    settings = [network.freeze_encoder, plain(asdict(recipe)), seed]
    unfinished = interrupted_training(folder, network, train, validation, resources, "depth", settings)
    learned: DepthExamples = train
    held: DepthExamples | None = validation
    trained = network
    if network.freeze_encoder and not recipe.augment and not recipe.mirror:
        room = int(resources.kept_features * 1e9) // (1 if validation is None else 2)
        learned = _encoded(network, train, resources, room, progress)
        held = None if validation is None else _encoded(network, validation, resources, room, progress)
        trained, resources = DepthEstimator(None, network.head), replace(resources, workers=0)
    training = DepthTraining(trained.train(), learned, recipe, resources, seed)
    measurement = OnValidation("delta1", None if held is None else partial(_figures, held, recipe, resources))
    fitted = fit_and_choose(
        training, measurement, epochs=recipe.epochs, progress=progress, unfinished=unfinished, logger=logger
    )
    network.cpu().eval()
    return trained, fitted


def _figures(
    frames: DepthExamples, recipe: DepthConfig, resources: Resources, network: DepthEstimator, device: torch.device
) -> dict[str, float]:
    return measure_depth(network, frames, recipe, resources, device).figures()


def _encoded(
    network: DepthEstimator, frames: DepthFrames, resources: Resources, room: int, progress: bool
) -> EncodedImages:
    """Frames as the frozen network sees them; it stays on the device where frames are left to encode."""
    device = resources.device
    network.to(device).eval()

    def encode(images: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            return network.encode(images.to(device))

    return EncodedImages(encode, frames, stages=2, keep=room, progress=progress)
