"""A pre-training run on scenes from its configuration, by the trainer that objects use."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import torch

from crosspoint.scene.checkpoints.scene_encoder import scene_encoder_record
from crosspoint.scene.data.batch import stack_samples
from crosspoint.scene.data.sample import SceneDataset
from crosspoint.scene.data.superpixels import SuperpixelCache, compute_superpixels
from crosspoint.scene.data.training_set import SceneTrainingSet
from crosspoint.scene.datasets.build import check_scenes, open_scenes
from crosspoint.scene.methods import PPKT, SimIPU, SLidR
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.models.pointnet2 import PointNet2, PointNet2Config
from crosspoint.scene.ops.sparse_conv import use_backend
from crosspoint.scene.training.config import SceneDataConfig, ScenePretrainConfig
from crosspoint.training.lightning_module import PairDataModule, Pretraining
from crosspoint.training.run_folder import LAST, first_process, last_checkpoint, run

log = logging.getLogger(__name__)


def pretrain_scenes(config: ScenePretrainConfig, *, resume: bool = False, progress: bool = False) -> Path:
    """Train, and return the checkpoint to use.

    `config.out` then holds `last.ckpt` (after every epoch; training goes on from it exactly), `config.yaml`,
    TensorBoard events and `csv/version_*/metrics.csv`.

    Args:
        config: the run.
        resume: go on from `last.ckpt` if the folder has one; a finished run is returned as it is.
        progress: show a progress bar.

    Raises:
        FileNotFoundError: if data or image weights are missing.
        ValueError: if the folder holds a run and `resume` is False, or a run with another configuration; if the data
            do not fit the configuration; if the loss stops being finite.
    """
    last = last_checkpoint(config, resume)
    dataset = open_frames(config.data)
    check_scenes(dataset)
    method = build_scene_method(config)
    regions = None
    if config.method.name == "slidr":
        regions = SuperpixelCache(config.method.regions_cache, config.method.regions)
        if first_process() and last is None:  # later ones, and other processes, find what is missing themselves
            log.info("superpixels of %d frames → %s", len(dataset), regions.folder)
            compute_superpixels(dataset, regions)
    data = config.data
    samples = SceneTrainingSet(
        dataset,
        config.augmentation,
        config.voxels,
        min_depth=data.min_depth,
        occlusion=data.occlusion,
        regions=regions,
    )
    training = config.training
    module = PairDataModule(
        samples,
        np.arange(len(samples)),
        batch_size=training.batch_size,
        workers=data.workers,
        seed=config.seed,
        collate=stack_samples,
        min_batch=1,
    )
    known = scene_encoder_record(method.encoder.config, config.voxels)
    run(
        config,
        Pretraining(method, training, config.seed, known),
        module,
        last=last,
        progress=progress,
    )
    return config.out / LAST


def open_frames(config: SceneDataConfig) -> SceneDataset:
    """The dataset that a configuration names."""
    options: dict[str, Any] = {} if config.split is None else {"split": config.split}
    if config.skip != 1:
        options["skip"] = config.skip
    return open_scenes(config.dataset, config.root, **options)


def build_scene_method(config: ScenePretrainConfig) -> PPKT | SLidR | SimIPU:
    """The networks with the random weights of `config.seed`; torch's global generator is left as it was."""
    method, image = config.method, config.image
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        if method.name == "simipu":
            return SimIPU(
                PointNet2(PointNet2Config.small() if method.pointnet2 == "small" else PointNet2Config()),
                network=image.network,
                weights=image.weights,
                projection=image.projection,
                temperature=method.temperature,
                points=method.points,
                reach=method.reach,
                seen_only=method.seen_only,
                view=method.view,
            )
        encoder, pixels = MinkUNet(config.encoder), PixelEncoder(image)
        use_backend(encoder, config.sparse_backend)
        if method.name == "ppkt":
            return PPKT(encoder, pixels, pairs=method.pairs, temperature=method.temperature)
        return SLidR(encoder, pixels, temperature=method.temperature)
