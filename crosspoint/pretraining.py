"""A pre-training run from its configuration: data, method, trainer, checkpoints, resume."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import torch
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from crosspoint.callbacks import AtomicCheckpoints, EpochReport, HoldOut, HoldOutProbe, StopOnDivergence
from crosspoint.compilation import compile_encoders, on_a_copy
from crosspoint.configuration import DataConfig, PretrainConfig
from crosspoint.crosspoint import CrossPoint
from crosspoint.datasets.pairs import PairDataset
from crosspoint.encoders import build_encoder
from crosspoint.fitting import fit
from crosspoint.images import ImageEncoder
from crosspoint.module import PairModule, Pretraining
from renderers.atomic import writing

LAST, BEST, CONFIG = "last.ckpt", "best.ckpt", "config.yaml"
FREE_TO_CHANGE = {
    *("out", "data.workers", "data.root"),
    *("training.devices", "training.accelerator", "training.nodes", "training.compile"),
}

Probe = Callable[[nn.Module, HoldOut], dict[str, float]]


def pretrain(
    config: PretrainConfig, *, probe: Probe | None = None, resume: bool = False, progress: bool = False
) -> Path:
    """Train, and return the checkpoint to use: the best on the hold-out, or the last where nothing was probed.

    `config.out` then holds `last.ckpt` (after every epoch; training goes on from it exactly), `best.ckpt`,
    `config.yaml`, TensorBoard events and `csv/version_*/metrics.csv`.

    Args:
        config: the run.
        probe: measures an encoder on the hold-out, e.g. `eval.probe_hold_out`; its "accuracy" picks the best.
        resume: go on from `last.ckpt` if the folder has one; a finished run is returned as it is.
        progress: show a progress bar.

    Raises:
        ValueError: if the folder holds a run and `resume` is False, or a run with another configuration; if the data
            do not fit the configuration; if the loss stops being finite.
        FileNotFoundError: if there are no data.
        ImportError: if encoders are to be compiled and there is no compiler.
    """
    last = _last_checkpoint(config, resume)
    dataset = open_pairs(config.data)
    trained, held = split_holdout(dataset.labels, config.data.holdout, config.seed)
    training = config.training
    data = PairModule(dataset, trained, batch_size=training.batch_size, workers=config.data.workers, seed=config.seed)
    method = build_method(config)
    if training.compile:
        compile_encoders(method, training.accelerator)
        probe = probe and on_a_copy(probe)
    callbacks = _callbacks(config, dataset, trained, held, probe, progress)
    batches = len(trained) // training.batch_size
    points = config.method.clouds.points or len(dataset.read_points(0))
    module = Pretraining(method, training, config.seed, points)
    _write_configuration(config)  # all that can be checked has been
    trainer = _trainer(config, callbacks, batches, progress)
    fit(trainer, module, datamodule=data, ckpt_path=last, weights_only=True)
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

    A class keeps at least one item for training; without labels nothing is held out, as nothing could be probed.
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


def _trainer(config: PretrainConfig, callbacks: list[Callback], batches: int, progress: bool) -> lightning.Trainer:
    """Lightning's trainer, as the configuration wants it; `batches` in an epoch."""
    training = config.training
    return lightning.Trainer(
        accelerator=training.accelerator,
        devices=training.devices,
        num_nodes=training.nodes,
        precision=training.precision,
        sync_batchnorm=training.sync_batchnorm,
        max_epochs=training.epochs,
        use_distributed_sampler=False,  # EpochSampler shares the items out itself
        callbacks=callbacks,
        plugins=[AtomicCheckpoints()],
        logger=[CSVLogger(config.out, name="csv"), TensorBoardLogger(config.out, name="tensorboard")],
        log_every_n_steps=min(50, batches),
        enable_progress_bar=progress,
        enable_model_summary=False,
    )


def _callbacks(
    config: PretrainConfig,
    dataset: PairDataset,
    fit: np.ndarray,
    held: np.ndarray,
    probe: Probe | None,
    progress: bool,
) -> list[Callback]:
    """Probe, best and last checkpoint, report, guard."""
    callbacks: list[Callback] = [StopOnDivergence()]
    if probe is not None and len(held) > 0:
        labelled = fit[dataset.labels[fit] >= 0]
        every = config.training.probe_every
        callbacks.append(
            HoldOutProbe(probe, HoldOut.of(dataset, labelled, held, config.data.probe_points), every, config.out / BEST)
        )
    callbacks.append(RichProgressBar() if progress else EpochReport())
    callbacks.append(
        ModelCheckpoint(
            config.out, filename=Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
        )
    )
    return callbacks


def _last_checkpoint(config: PretrainConfig, resume: bool) -> Path | None:
    """The checkpoint to go on from; None for a run that begins.

    Raises:
        ValueError: if the folder holds a run that may not be gone on with.
    """
    saved, last = config.out / CONFIG, config.out / LAST
    if _rank() != 0:  # the folder is the first process's, which may have begun to fill it
        return last if resume and last.exists() else None
    if not saved.exists():
        return None
    if not resume:
        raise ValueError(
            f"found a run in {config.out}, expected a new folder: pass --resume true to go on, or choose another --out"
        )
    changed = _differences(yaml.safe_load(saved.read_text()), _plain(asdict(config)))
    if changed:
        raise ValueError(
            f"found other settings than those the run in {config.out} began with ({'; '.join(changed)}), expected the "
            "same: resume with its config.yaml, or choose another --out"
        )
    return last if last.exists() else None


def _write_configuration(config: PretrainConfig) -> None:
    if _rank() == 0 and not (config.out / CONFIG).exists():
        with writing(config.out / CONFIG) as file:
            file.write(yaml.safe_dump(_plain(asdict(config)), sort_keys=False).encode())


def _rank() -> int:
    """Of this process, as its launcher (Lightning, torchrun, SLURM) says, before they meet."""
    return getattr(rank_zero_only, "rank", 0)


def _plain(value: Any) -> Any:
    """Paths and tuples as YAML knows them."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return str(value) if isinstance(value, Path) else value


def _differences(old: dict[str, Any], new: dict[str, Any], prefix: str = "") -> list[str]:
    changed: list[str] = []
    for key in {**old, **new}:
        name, before, after = f"{prefix}{key}", old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changed += _differences(before, after, f"{name}.")
        elif before != after and name not in FREE_TO_CHANGE:
            changed.append(f"{name}: {before} then, {after} now")
    return changed
