"""Beginning of a run other than from random weights: those of a file, or a finished run that gets more epochs."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import lightning
from lightning.pytorch.callbacks import Callback

from crosspoint.checkpoints.adapters import ENCODER, read_weights
from crosspoint.checkpoints.files import load_weights_strict, read_checkpoint, require_file, strip_prefix
from crosspoint.fields import checked_fields, described
from crosspoint.methods.method import Method
from crosspoint.plugins import describe
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import read_yaml
from crosspoint.training.run_folder import BEST, CONFIG, LAST, check_progress, differences, first_process

log = logging.getLogger("crosspoint")


def load_beginning(method: Method, path: str | Path) -> None:
    """Give a method the weights of a file, each of them: all of a run of the same method, else those of its encoder.

    Args:
        method: with its first weights, which are replaced.
        path: whatever `load_pretrained` reads.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it cannot be read, or is of another architecture.
    """
    file = require_file(path)
    found = read_weights(file)
    given = found.record.encoder["init_args"].get("fields")
    begun = checked_fields(given if isinstance(given, list) else None)
    if begun != method.encoder.fields:
        raise ValueError(
            f"found an encoder of {described(begun)} in {file}, expected one of {described(method.encoder.fields)}, as "
            "encoder.fields says: begin with other weights, or set encoder.fields to what these had"
        )
    theirs = found.record.config.get("method")
    if isinstance(theirs, dict) and theirs.get("class_path") == describe(method)["class_path"]:
        load_weights_strict(method, found.state, file, type(method).__name__)
        log.info("begins with all weights of %s", file)
        return
    network = method.encoder
    load_weights_strict(network, strip_prefix(found.state, ENCODER), file, type(network).__name__)
    log.info("begins with the encoder of %s; all other weights are random", file)


def finished_run(run: Path, settings: JsonObject) -> Path:
    """The last checkpoint of a finished run, to go on from with more epochs.

    Args:
        run: its folder.
        settings: of the longer run; but for the epochs they are those of the finished one.

    Raises:
        FileNotFoundError: if there is no run, or its checkpoint is gone.
        ValueError: if it is not finished, has as many epochs already, or other settings.
    """
    if not (run / CONFIG).is_file():
        raise FileNotFoundError(f"found no {CONFIG} in {run}, expected the folder of a finished run: check its name")
    begun = read_yaml(run / CONFIG, dict[str, Any], "the configuration of a run", "restore it")
    trained, epochs = begun.get("training"), settings["training"]["epochs"]
    done = trained.get("epochs") if isinstance(trained, dict) else None
    if not isinstance(trained, dict) or type(done) is not int:
        raise ValueError(f"found no training.epochs in {run / CONFIG}, expected those of a finished run: restore it")
    if epochs <= done:
        raise ValueError(
            f"found {epochs} epochs for a run of {done} ({run}), expected more: give --training.epochs the number of "
            "all epochs together"
        )
    changed = differences(
        {**begun, "training": {**trained, "epochs": epochs}, "extend": settings.get("extend")}, settings
    )
    if changed:
        raise ValueError(
            f"found other settings than those of the run in {run} ({'; '.join(changed)}), expected the same but for "
            "training.epochs: begin a new run with --weights"
        )
    last = require_file(run / LAST)
    check_progress(last, done)
    reached = read_checkpoint(last)["epoch"] + 1
    if reached < done:
        raise ValueError(
            f"found a run in {run} that stopped after epoch {reached} of {done}, expected a finished one: finish it "
            f"with --out {run} --resume true"
        )
    return last


def keep_best(run: Path, out: Path) -> None:
    """Copy the best checkpoint of a finished run: it stays the best until a later epoch is better."""
    if first_process() and (run / BEST).is_file() and not (out / BEST).exists():
        with (run / BEST).open("rb") as source, atomic_write(out / BEST) as file:
            shutil.copyfileobj(source, file)


class LongerSchedule(Callback):
    """The rate of a longer run, from its first step on; a checkpoint brings the rate of the shorter one.

    Args:
        run: folder of the finished run.
    """

    def __init__(self, run: Path) -> None:
        self.run = run

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Put the rate where the longer cosine has it, and say so."""
        for config in trainer.lr_scheduler_configs:
            schedule: Any = config.scheduler  # a LambdaLR: functions of it are not in the checkpoint, but new
            groups = schedule.optimizer.param_groups
            before = groups[0]["lr"]
            rates = [
                base * factor(schedule.last_epoch)
                for base, factor in zip(schedule.base_lrs, schedule.lr_lambdas, strict=True)
            ]
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate
            schedule._last_lr = rates
            if trainer.is_global_zero:
                log.info(
                    "%s goes on after epoch %d: the learning rate had fallen to %.1e, rises to %.1e and falls along "
                    "the cosine of %d epochs; weights are not those of a run of %d epochs from the start",
                    *(self.run, trainer.current_epoch, before, rates[0], trainer.max_epochs, trainer.max_epochs),
                )
