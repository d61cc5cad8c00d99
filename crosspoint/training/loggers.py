"""Loggers by name: where the figures of a training go beside its checkpoints.

Each is imported when it is asked for. Nothing leaves the machine unless the environment says so: wandb writes to the
folder of the run until WANDB_MODE is "online", and MLflow to a database there until MLFLOW_TRACKING_URI names a server.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger

Names = list[str] | str  # of loggers, as a flag or a key gives them: a list, or one string with commas between

STANDARD = ("csv", "tensorboard")  # of pre-training
NONE = "none"


def _csv(out: Path) -> Logger:
    return CSVLogger(out, name="csv")


def _tensorboard(out: Path) -> Logger:
    return TensorBoardLogger(out, name="tensorboard")


def _wandb(out: Path) -> Logger:
    from lightning.pytorch.loggers import WandbLogger

    online = os.environ.get("WANDB_MODE") == "online"
    return WandbLogger(name=out.name, save_dir=out, project="crosspoint", offline=not online)


def _mlflow(out: Path) -> Logger:
    from lightning.pytorch.loggers import MLFlowLogger

    server = os.environ.get("MLFLOW_TRACKING_URI")
    if server:
        return MLFlowLogger(experiment_name="crosspoint", run_name=out.name, tracking_uri=server)
    return MLFlowLogger(
        experiment_name="crosspoint",
        run_name=out.name,
        tracking_uri=f"sqlite:///{(out / 'mlflow.db').absolute()}",
        artifact_location=str((out / "mlflow").absolute()),
    )


# What makes each, the package that it needs, and how that is installed.
LOGGERS: dict[str, tuple[Callable[[Path], Logger], str, str]] = {
    "csv": (_csv, "lightning", "lightning"),
    "tensorboard": (_tensorboard, "tensorboard", "tensorboard"),
    "wandb": (_wandb, "wandb", "wandb"),
    "mlflow": (_mlflow, "mlflow", "mlflow"),
}


def logger_names(given: Names | Sequence[str] | None, standard: Sequence[str] = ()) -> tuple[str, ...]:
    """Names of loggers, checked before any work is done.

    Args:
        given: "csv", "csv,wandb", a list of these, or "none"; None takes the standard ones.
        standard: those where none are named.

    Raises:
        ValueError: if one is unknown, or "none" stands beside others.
        ImportError: if its package is not installed.
    """
    if given is None:
        return tuple(standard)
    words = given.split(",") if isinstance(given, str) else list(given)
    names = tuple(dict.fromkeys(word.strip() for word in words if word.strip()))
    if NONE in names and len(names) > 1:
        raise ValueError(f"found the loggers {', '.join(names)}, expected none alone, or loggers without none")
    for name in names:
        if name != NONE and name not in LOGGERS:
            near = difflib.get_close_matches(name, [*LOGGERS, NONE], n=1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise ValueError(f"found the logger {name!r}, expected some of {', '.join(LOGGERS)}, or none{hint}")
        if name != NONE and find_spec(LOGGERS[name][1]) is None:
            _, package, install = LOGGERS[name]
            raise ImportError(
                f"found no package {package}, expected it for the logger {name}: pip install {install}, or take csv"
            )
    return tuple(name for name in names if name != NONE)


def make_loggers(names: Sequence[str], out: Path | None) -> list[Logger]:
    """The loggers of a training, by names that `logger_names` gave, which write to its folder; none without one."""
    return [] if out is None else [LOGGERS[name][0](out) for name in names]


def check_loggers(given: Names | None, out: Path | None) -> None:
    """Refuse, before any work, loggers that cannot be had.

    Args:
        given: names of loggers; None for none.
        out: folder of the training, where they write.

    Raises:
        ImportError: if a package is not installed.
        ValueError: if a name is unknown, or there is no folder.
    """
    names = logger_names(given)
    if names and out is None:
        raise ValueError(
            f"found the logger {names[0]} for a training without a folder, expected one: give --save_dir, or out"
        )
