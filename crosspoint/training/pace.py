"""Pace of a training: how long it will take, said before it starts, after its first steps, and on the way."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback

log = logging.getLogger("crosspoint")

FIRST = 10  # steps after which the rest is estimated; the first of all is left out, as it sets things up
BETWEEN = 60.0  # seconds between two lines of a run without a progress bar
LONG = 60.0  # seconds: a run that is over sooner is told by its epochs alone


class Pace(Callback):
    """Steps before a training, seconds a step and the hour of its end after ten, and a line a minute on the way.

    Args:
        lines: whether lines on the way are written, which a progress bar makes needless.
        clock: seconds that only grow.
        now: the time of day.
    """

    def __init__(
        self,
        lines: bool = True,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        self.lines = lines
        self.clock = clock
        self.now = now
        self.steps = 0  # of this process, batches
        self.total = 0
        self.began = self.told = 0.0
        self.speaks = True

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say how many steps there are."""
        batches, epochs = int(trainer.num_training_batches), int(trainer.max_epochs or 1)
        self.steps, self.total = 0, batches * (epochs - trainer.current_epoch)
        self.speaks = trainer.is_global_zero
        self.began = self.told = self.clock()
        done = f", from epoch {trainer.current_epoch + 1} on" if trainer.current_epoch else ""
        device = str(pl_module.device).replace("cpu", "the CPU").replace("cuda", "GPU ")
        self._say(
            f"training on {device}: {epochs:,} {'epoch' if epochs == 1 else 'epochs'} of {batches:,} "
            f"{'step' if batches == 1 else 'steps'}{done}, {self.total:,} steps in all"
        )

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """After the tenth step say when the training will end; later how far it is."""
        self.steps += 1
        now = self.clock()
        if self.steps == 1:
            self.began = self.told = now
        elif self.steps == FIRST:
            seconds = (now - self.began) / (FIRST - 1)
            left = seconds * (self.total - FIRST)
            self.told = now
            if left >= LONG:
                self._say(f"{seconds:.2g} s a step: {self._end(left)}; memory {_memory(pl_module.device)}")
        elif self.lines and now - self.told >= BETWEEN and self.steps < self.total:
            self.told = now
            left = (now - self.began) / (self.steps - 1) * (self.total - self.steps)
            epoch = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            self._say(f"{epoch}, step {batch_idx + 1:,}/{int(trainer.num_training_batches):,}: {self._end(left)}")

    def _end(self, left: float) -> str:
        """How long there is left, and when the training ends."""
        end = self.now() + timedelta(seconds=left)
        return f"about {duration(left)} left, until {end:%Y-%m-%d %H:%M}"

    def _say(self, text: str) -> None:
        if self.speaks:
            log.info("%s", text)


def duration(seconds: float) -> str:
    """A time span in the largest units: "3 days 4 h", "2 h 5 min", "40 s"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min"
    days, hours = divmod(hours, 24)
    return f"{days} {'day' if days == 1 else 'days'} {hours} h"


def _memory(device: torch.device) -> str:
    """The most that this process has taken so far, of a GPU's memory, too."""
    taken = ["not known"]
    if sys.platform != "win32":
        import resource

        unit = 1 if sys.platform == "darwin" else 2**10  # bytes of what the system counts
        taken = [f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30:.1f} GiB"]
    if device.type == "cuda":
        taken.append(f"{torch.cuda.max_memory_allocated(device) / 2**30:.1f} GiB of the GPU's")
    return ", ".join(taken)
