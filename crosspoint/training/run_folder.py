"""The folder of a pre-training run: its configuration, its checkpoints, and whether a run may go on in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import yaml
from lightning.pytorch.utilities import rank_zero_only

from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.files import cut
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import read_yaml
from crosspoint.renderers.sole_writer import sole_writer

Given = ParamSpec("Given")
Left = TypeVar("Left")

LAST, BEST, CONFIG = "last.ckpt", "best.ckpt", "config.yaml"
IGNORED_ON_RESUME = {
    *("out", "data.dataset.init_args.root", "encoder.init_args.sparse_backend"),
    *("compute.accelerator", "compute.devices", "compute.nodes", "compute.workers", "compute.compile"),
}

LATER = {"probe.samples"}  # settings that runs of earlier versions do not have, and that move no weights


def first_process() -> bool:
    """Whether this is the first process, as the launcher (Lightning, torchrun, SLURM) says, before they meet."""
    return getattr(rank_zero_only, "rank", 0) == 0


def writes_alone(train: Callable[Given, Left]) -> Callable[Given, Left]:
    """A training that is the only writer of the folder that its keyword `out` names; of its processes, the first is.

    None names no folder.
    """

    @wraps(train)
    def alone(*args: Given.args, **kwargs: Given.kwargs) -> Left:
        out: Any = kwargs.get("out")
        with nullcontext() if out is None or not first_process() else sole_writer(out):
            return train(*args, **kwargs)

    return alone


def check_free(out: Path, resume: bool) -> None:
    """Refuse a folder that holds a run which is not to go on, before data are opened.

    Raises:
        ValueError: if it holds one.
    """
    if first_process() and not resume and (out / CONFIG).exists():
        raise ValueError(
            f"found a run in {out}, expected a new folder: pass --resume true to go on, or choose another --out"
        )


def last_checkpoint(out: Path, settings: JsonObject, resume: bool) -> Path | None:
    """The checkpoint to go on from; None for a run that begins.

    Args:
        out: the folder.
        settings: of the run, as `config.yaml` holds them.
        resume: whether a run that is there may go on.

    Raises:
        ValueError: if the folder holds a run that may not go on, or one of other settings.
    """
    saved, last = out / CONFIG, out / LAST
    if not first_process():  # the folder is the first process's, which may have begun to fill it
        return last if resume and last.exists() else None
    check_free(out, resume)
    if not saved.exists():
        return None
    begun = read_yaml(saved, dict[str, Any], "the configuration of a run", "restore it, or choose another --out")
    method = begun.get("method")
    if not isinstance(method, dict) or "class_path" not in method:
        raise ValueError(
            f"found a run of an earlier version in {out}, expected one of this version: finish it with the version "
            "that began it, or choose another --out"
        )
    changed = differences(begun, settings)
    if changed:
        raise ValueError(
            f"found other settings than those the run in {out} began with ({'; '.join(changed)}), expected the "
            "same: resume with its config.yaml, or choose another --out"
        )
    if not last.exists():
        return None
    check_progress(last, settings["training"]["epochs"])
    return last


def check_progress(path: Path, epochs: int) -> None:
    """Refuse a checkpoint whose count of epochs cannot be: a training would end at once, or begin anew on its weights.

    Args:
        path: the checkpoint.
        epochs: of the whole run.

    Raises:
        ValueError: if it has no such count, or one outside of the run.
    """
    content = read_checkpoint(path)
    epoch = content.get("epoch")
    if type(epoch) is int and 0 <= epoch < epochs and isinstance(content.get("loops"), dict):
        return
    whole = isinstance(content.get("loops"), dict)
    found = f"the epoch {cut(epoch)}" if whole else "no progress of the training"
    raise ValueError(
        f"found {found} in {path}, expected one from 0 to {epochs - 1}: the file was changed; remove it, and the run "
        "begins anew"
    )


def write_settings(out: Path, settings: JsonObject) -> None:
    """Write `config.yaml` where there is none; the first process does."""
    if first_process() and not (out / CONFIG).exists():
        with atomic_write(out / CONFIG) as file:
            file.write(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True).encode())


def differences(old: JsonObject, new: JsonObject, prefix: str = "") -> list[str]:
    """What changed between two trees of settings, one line a key; keys that move no result are left out."""
    changed: list[str] = []
    for key in {**old, **new}:
        name, before, after = f"{prefix}{key}", old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            changed += differences(before, after, f"{name}.")
        elif name in LATER and key not in old:
            continue
        elif before is None and after is False:  # a switch that an earlier version did not have was off
            continue
        elif before != after and name not in IGNORED_ON_RESUME:
            changed.append(f"{name}: {cut(before)} then, {cut(after)} now")
    return changed
