"""`pretrain`: a method, a dataset and settings → a folder with checkpoints; for objects and scenes alike."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.callbacks import Callback

from crosspoint.checkpoints.record import Record
from crosspoint.datasets.pairs import PairDataset
from crosspoint.datasets.splits import split_holdout, stratified_subset
from crosspoint.methods.method import Method
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.plugins import describe, plain
from crosspoint.renderers.json_object import JsonObject
from crosspoint.training.beginning import LongerSchedule, finished_run, keep_best, load_beginning
from crosspoint.training.compilation import compile_networks, on_a_copy
from crosspoint.training.config import Compute, ProbeConfig, ResolvedTraining, TrainingConfig
from crosspoint.training.divergence import StopOnDivergence
from crosspoint.training.lightning_module import Pretraining, SampleDataModule
from crosspoint.training.loggers import STANDARD, Names, logger_names, make_loggers
from crosspoint.training.probe import HoldOut, HoldOutProbe, Measure
from crosspoint.training.rankme import RankMe
from crosspoint.training.run_folder import BEST, LAST, first_process, last_checkpoint, write_settings, writes_alone
from crosspoint.training.trainer import fit, make_trainer

REPLAY = "crosspoint replay"


@writes_alone
def pretrain(
    method: Method,
    dataset: Any,
    *,
    out: Path,
    seed: int = 0,
    training: TrainingConfig | None = None,
    compute: Compute | None = None,
    probe: ProbeConfig | None = None,
    measure: Measure | None = None,
    resume: bool = False,
    weights: str | Path | None = None,
    extend: str | Path | None = None,
    logger: Names | None = None,
    progress: bool = False,
) -> Path:
    """Train a method, and return the checkpoint to use: the best on the hold-out, or the last without a probe.

    `out` then holds `last.ckpt` (after every epoch; training goes on from it exactly), `best.ckpt` where a probe
    chose it, `config.yaml`, and what its loggers write: `csv/version_*/metrics.csv` and TensorBoard events by default.

    Args:
        method: networks with their first weights, and settings.
        dataset: what it learns from.
        out: folder of the run.
        seed: of the order of samples, the hold-out, and all that a step draws.
        training: optimization; what it leaves open is the method's own.
        compute: hardware.
        probe: how the encoder is watched; None takes `ProbeConfig()` where there are classes to probe.
        measure: measures an encoder on the hold-out, for example `crosspoint.eval.probe_hold_out`; its "accuracy"
            picks the best checkpoint. Without one, nothing is held out.
        resume: go on from `last.ckpt` if the folder has one; a finished run is returned as it is.
        weights: file that the run begins with, whatever `load_pretrained` reads: all weights of a run of the same
            method, else those of the encoder; every one must fit.
        extend: folder of a finished run of the same settings and fewer epochs, which goes on in `out`: its weights,
            optimizer and draws. The rate goes on where the cosine of all epochs has it.
        logger: csv, tensorboard, wandb, mlflow, several of them, or none; None takes csv and tensorboard. It decides
            nothing of the training, and may change when a run is resumed.
        progress: show a progress bar.

    Raises:
        ValueError: if the folder holds a run and `resume` is False, or a run with other settings, or is being written
            to; if `weights` do not fit, or `extend` is no finished run of these settings; if data and method do not fit
            each other, or a setting is one that the method does not read; if the loss stops being finite.
        FileNotFoundError: if there are no data, or nothing at `weights` or `extend`.
        ImportError: if networks are to be compiled and there is no compiler, or a logger's package is missing.
    """
    resolved, compute = (training or TrainingConfig()).resolved(method.recipe), compute or Compute()
    loggers = logger_names(logger, STANDARD)
    fields = getattr(method.encoder, "fields", ())
    if fields and isinstance(dataset, PairDataset):
        dataset = dataset.with_fields(fields)
    labels = method.labels(dataset)
    if probe is not None and labels is None:
        raise ValueError(
            f"found probe settings for {type(method).__name__}, expected none: it learns from data without a class "
            "for each sample; leave probe out"
        )
    if not isinstance(method.encoder, PointEncoder):
        raise ValueError(
            f"found an encoder of type {type(method.encoder).__name__}, expected one that extends "
            "crosspoint.PointEncoder: checkpoints have to say how it is built"
        )
    probe = None if labels is None or measure is None else probe or ProbeConfig()
    settings = run_settings(method, dataset, out, seed, resolved, compute, probe)
    begins = {name: str(path) for name, path in (("weights", weights), ("extend", extend)) if path is not None}
    settings |= begins
    last = last_checkpoint(out, settings, resume)
    start = finished_run(Path(extend), settings) if extend is not None and last is None else last
    if weights is not None and start is None:
        load_beginning(method, weights)
    samples = method.training_samples(dataset, prepare=first_process() and last is None)
    trained, held = np.arange(len(samples)), np.zeros(0, dtype=np.int64)
    if probe is not None and labels is not None:
        trained, held = split_holdout(labels, probe.holdout, seed)
    data = SampleDataModule(
        samples,
        trained,
        batch_size=resolved.batch_size,
        workers=compute.workers,
        seed=seed,
        collate=method.collate,
        min_batch=method.min_batch,
    )
    if compute.compile:
        compile_networks(method, compute.accelerator)
        measure = measure and on_a_copy(measure)
    record = Record(settings["encoder"], method.inputs(dataset), settings["image_encoder"], _without_folder(settings))
    softer = ", or raise method.temperature" if hasattr(method, "temperature") else ""
    callbacks: list[Callback] = [StopOnDivergence(out, replay=REPLAY, remedy=f"lower training.learning_rate{softer}")]
    if probe is not None and measure is not None and labels is not None and len(held):
        fit_on = trained[labels[trained] >= 0]
        if probe.samples is not None:
            fit_on = fit_on[stratified_subset(labels[fit_on], probe.samples, seed)]
        hold_out = HoldOut.of(dataset, fit_on, held, probe.points)
        callbacks.append(HoldOutProbe(measure, hold_out, probe.every, out / BEST))
    if extend is not None and last is None:
        callbacks.append(LongerSchedule(Path(extend)))
    watched = held if len(held) else trained
    callbacks.append(RankMe(samples, watched, method, batch_size=resolved.batch_size, seed=seed))
    trainer = make_trainer(
        compute,
        epochs=resolved.epochs,
        callbacks=callbacks,
        checkpoint=out / LAST,
        loggers=make_loggers(loggers, out),
        progress=progress,
    )
    batches = data.batches(trainer.world_size)
    trainer.log_every_n_steps = min(50, batches)  # type: ignore[attr-defined] # Lightning sets it, undeclared
    write_settings(out, settings)
    if extend is not None:
        keep_best(Path(extend), out)
    if first_process():
        method.planned(batches * resolved.epochs)
    fit(trainer, Pretraining(method, resolved, seed, record), data, resume_from=start)
    return out / BEST if (out / BEST).exists() else out / LAST


def run_settings(
    method: Method,
    dataset: Any,
    out: Path,
    seed: int,
    training: ResolvedTraining,
    compute: Compute,
    probe: ProbeConfig | None,
) -> JsonObject:
    """All that decides a run, as its config.yaml holds it; `crosspoint pretrain --config` reads it again."""
    images = method.image_encoder
    made = describe(method)
    made["init_args"].pop("image_encoder", None)  # None, where the method takes none: it has its own key
    tree: JsonObject = {
        "out": str(out),
        "seed": seed,
        "data": {"dataset": describe(dataset)},
        "encoder": describe(method.encoder),
        "image_encoder": None if images is None else describe(images),
        "method": made,
        "training": asdict(training),
        "compute": asdict(compute),
        "probe": None if probe is None else asdict(probe),
    }
    plain_tree: JsonObject = plain(tree)
    return plain_tree


def _without_folder(settings: JsonObject) -> JsonObject:
    """What a checkpoint keeps: it may be moved."""
    return {name: value for name, value in settings.items() if name != "out"}
