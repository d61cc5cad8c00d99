"""A pre-training run from its configuration: data, method, trainer, checkpoints, resume."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from crosspoint.checkpoints.load import encoder_record
from crosspoint.datasets.pairs import PairDataset
from crosspoint.methods.crosspoint import CrossPoint
from crosspoint.models.build import build_encoder
from crosspoint.models.image_encoder import ImageEncoder
from crosspoint.training.callbacks import HoldOut, HoldOutProbe
from crosspoint.training.compilation import compile_encoders, on_a_copy
from crosspoint.training.config import DataConfig, PretrainConfig
from crosspoint.training.lightning_module import PairDataModule, Pretraining
from crosspoint.training.run_folder import BEST, LAST, last_checkpoint, run

Probe = Callable[[nn.Module, HoldOut], dict[str, float]]


def pretrain(
    config: PretrainConfig, *, probe: Probe | None = None, resume: bool = False, progress: bool = False
) -> Path:
    """Train, and return the checkpoint to use: the best on the hold-out, or the last where nothing was probed.

    `config.out` then holds `last.ckpt` (after every epoch; training goes on from it exactly), `best.ckpt`,
    `config.yaml`, TensorBoard events and `csv/version_*/metrics.csv`.

    Args:
        config: the run.
        probe: measures an encoder on the hold-out, e.g. `crosspoint.eval.probe_hold_out`; its "accuracy" picks the
            best.
        resume: go on from `last.ckpt` if the folder has one; a finished run is returned as it is.
        progress: show a progress bar.

    Raises:
        ValueError: if the folder holds a run and `resume` is False, or a run with another configuration; if the data
            do not fit the configuration; if the loss stops being finite.
        FileNotFoundError: if there are no data.
        ImportError: if encoders are to be compiled and there is no compiler.
    """
    last = last_checkpoint(config, resume)
    dataset = open_pairs(config.data)
    trained, held = split_holdout(dataset.labels, config.data.holdout, config.seed)
    training = config.training
    data = PairDataModule(
        dataset, trained, batch_size=training.batch_size, workers=config.data.workers, seed=config.seed
    )
    method = build_method(config)
    if training.compile:
        compile_encoders(method, training.accelerator)
        probe = probe and on_a_copy(probe)
    points = config.method.clouds.points or len(dataset.read_points(0))
    known = encoder_record(method.encoder, points)
    run(
        config,
        Pretraining(method, training, config.seed, known),
        data,
        last=last,
        callbacks=_probes(config, dataset, trained, held, probe),
        progress=progress,
    )
    best = config.out / BEST
    return best if best.exists() else config.out / LAST


def build_method(config: PretrainConfig) -> CrossPoint:
    """The networks with the random weights of `config.seed`; torch's global generator is left as it was."""
    method = config.method
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        encoder = build_encoder(config.encoder)
        images = config.image_encoder
        image_encoder = ImageEncoder(images.network, weights=images.weights) if method.cross_weight > 0 else None
        return CrossPoint(
            encoder,
            image_encoder,
            **vars(method),
        )


def open_pairs(config: DataConfig) -> PairDataset:
    """The pairs a configuration names, checked before anything else starts."""
    if config.dataset == "shapenet":
        from crosspoint.datasets.shapenet import ShapeNetPairs

        return ShapeNetPairs(config.root, views=config.views, image_size=config.image_size or 224)
    from crosspoint.datasets.rendered import RenderedPairs

    return RenderedPairs(
        config.root, config.split, views=config.views, image_size=config.image_size, cache=config.cache
    )


def split_holdout(labels: np.ndarray, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices for training and for the hold-out, a share of every class; labels (n,), -1 where unknown.

    A class keeps at min_batch one item for training; without labels nothing is held out, as nothing could be probed.
    """
    if not 0 <= share < 1:
        raise ValueError(f"found a hold-out share of {share}, expected 0 ≤ share < 1: change data.holdout")
    generator = np.random.default_rng([seed, 1])
    held = [np.zeros(0, dtype=np.int64)]
    for label in np.unique(labels[labels >= 0]):
        members = generator.permutation(np.flatnonzero(labels == label))
        held.append(members[: min(round(share * len(members)), len(members) - 1)])
    holdout = np.sort(np.concatenate(held))
    return np.setdiff1d(np.arange(len(labels)), holdout), holdout


def _probes(
    config: PretrainConfig, dataset: PairDataset, fit: np.ndarray, held: np.ndarray, probe: Probe | None
) -> list[Callback]:
    """The probe, which keeps the best checkpoint, where something is held out for it."""
    if probe is None or len(held) == 0:
        return []
    labeled = fit[dataset.labels[fit] >= 0]
    data = HoldOut.of(dataset, labeled, held, config.data.probe_points)
    return [HoldOutProbe(probe, data, config.training.probe_every, config.out / BEST)]
