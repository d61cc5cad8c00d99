"""A guard that ends a training whose loss is not finite, and keeps what is needed to find out why."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from crosspoint.renderers.atomic import atomic_write

FOLDER = "diverged"


class StopOnDivergence(Callback):
    """End the run at the first loss that is not finite; the checkpoint of the epoch before stays.

    The loss is looked at before each backward pass, so the weights are still those that gave it. With a folder, the
    first process to see one writes `diverged/rank-<n>.pt`: the batch, the weights, and the numbers that decide every
    draw of the step. Of several processes only the epoch's mean ends the run, as the others would wait for one that
    has left.

    Args:
        folder: of the run; None writes nothing.
        replay: the command that replays the step, but for the file, which is added; empty where there is none.
        remedy: what a user may do.
    """

    def __init__(self, folder: Path | None, *, replay: str = "", remedy: str) -> None:
        self.folder = folder
        self.replay = replay
        self.remedy = remedy
        self.batch: Any = None
        self.batch_idx = 0
        self.written: Path | None = None

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Hold on to the batch of this step."""
        self.batch, self.batch_idx = batch, batch_idx

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Look at the loss."""
        if bool(torch.isfinite(loss.detach())):
            return
        if self.folder is not None and self.written is None:
            self.written = self._write(trainer, pl_module)
        if trainer.world_size == 1:
            raise ValueError(self._message(float(loss.detach()), trainer))

    def on_train_batch_end(self, *_: object) -> None:
        """Let go of the batch."""
        self.batch = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The mean over processes is the same on all of them."""
        loss = trainer.callback_metrics["train/loss"]
        if not bool(torch.isfinite(loss)):
            raise ValueError(self._message(float(loss), trainer))

    def _message(self, loss: float, trainer: Trainer) -> str:
        told = f"found a loss of {loss} in epoch {trainer.current_epoch + 1}, expected a finite one: {self.remedy}"
        if self.written is None:
            return told
        how = f"; {self.replay} {self.written} replays the step" if self.replay else f"; {self.written} has the batch"
        return told + how

    def _write(self, trainer: Trainer, pl_module: LightningModule) -> Path:
        assert self.folder is not None
        path = self.folder / FOLDER / f"rank-{trainer.global_rank}.pt"
        content = {
            "rank": trainer.global_rank,
            "processes": trainer.world_size,
            "epoch": trainer.current_epoch,
            "batch_idx": self.batch_idx,
            "step": trainer.global_step,
            "command": f"{self.replay} {path}".strip(),
            "batch": _plain_tensors(self.batch),
            "state_dict": {name: tensor.detach().cpu() for name, tensor in pl_module.state_dict().items()},
        }
        draw_seed: Callable[[int], int] | None = getattr(pl_module, "draw_seed", None)
        if draw_seed is not None:
            content["draw_seed"] = draw_seed(self.batch_idx)
        with atomic_write(path) as file:
            torch.save(content, file)
        return path


def _plain_tensors(value: Any) -> Any:
    """Tensors in dicts and lists, by the names of fields, so that any reader of tensors can open the file."""
    if isinstance(value, Tensor):
        return value.detach().cpu()
    named: Callable[[], dict[str, object]] | None = getattr(value, "_asdict", None)  # of a NamedTuple
    if named is not None:
        value = named()
    if isinstance(value, dict):
        return {str(name): _plain_tensors(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_tensors(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if is_dataclass(value):
        return {entry.name: _plain_tensors(getattr(value, entry.name)) for entry in fields(value)}
    return str(value)
