"""The folder of a pre-training run, and the trainer that fills it: the same for every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import lightning
import yaml
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only

from crosspoint.renderers.atomic import atomic_write
from crosspoint.training.callbacks import AtomicCheckpoints, EpochReport, StopOnDivergence
from crosspoint.training.config import TrainingConfig
from crosspoint.training.lightning_module import PairDataModule
from crosspoint.training.trainer import fit

LAST, BEST, CONFIG = "last.ckpt", "best.ckpt", "config.yaml"
IGNORED_ON_RESUME = {
    *("out", "data.workers", "data.root", "sparse_backend"),
    *("training.devices", "training.accelerator", "training.nodes", "training.compile"),
}


class RunConfig(Protocol):
    """A frozen dataclass that decides a run."""

    @property
    def out(self) -> Path:
        """Its folder."""

    @property
    def training(self) -> TrainingConfig:
        """How long and on what."""


def last_checkpoint(config: RunConfig, resume: bool) -> Path | None:
    """The checkpoint to go on from; None for a run that begins.

    Raises:
        ValueError: if the folder holds a run that may not be gone on with.
    """
    saved, last = config.out / CONFIG, config.out / LAST
    if not first_process():  # the folder is the first process's, which may have begun to fill it
        return last if resume and last.exists() else None
    if not saved.exists():
        return None
    if not resume:
        raise ValueError(
            f"found a run in {config.out}, expected a new folder: pass --resume true to go on, or choose another --out"
        )
    changed = _differences(yaml.safe_load(saved.read_text()), _settings(config))
    if changed:
        raise ValueError(
            f"found other settings than those the run in {config.out} began with ({'; '.join(changed)}), expected the "
            "same: resume with its config.yaml, or choose another --out"
        )
    return last if last.exists() else None


def run(
    config: RunConfig,
    module: lightning.LightningModule,
    data: PairDataModule,
    *,
    last: Path | None,
    callbacks: Sequence[Callback] = (),
    progress: bool = False,
) -> None:
    """Write the configuration, then train, a checkpoint after every epoch.

    Args:
        config: of the run; all that can be checked has been.
        module: what is trained.
        data: on what.
        last: checkpoint to go on from, see `last_checkpoint`.
        callbacks: of the method.
        progress: show a progress bar.

    Raises:
        ValueError: if the loss stops being finite.
    """
    if first_process() and not (config.out / CONFIG).exists():
        with atomic_write(config.out / CONFIG) as file:
            file.write(yaml.safe_dump(_settings(config), sort_keys=False).encode())
    training = config.training
    trainer = lightning.Trainer(
        accelerator=training.accelerator,
        devices=training.devices,
        num_nodes=training.nodes,
        precision=training.precision,
        sync_batchnorm=training.sync_batchnorm,
        max_epochs=training.epochs,
        use_distributed_sampler=False,  # EpochSampler shares the items out itself
        callbacks=[
            StopOnDivergence(),
            *callbacks,
            RichProgressBar() if progress else EpochReport(),
            ModelCheckpoint(
                config.out, filename=Path(LAST).stem, save_on_train_epoch_end=True, enable_version_counter=False
            ),
        ],
        plugins=[AtomicCheckpoints()],
        logger=[CSVLogger(config.out, name="csv"), TensorBoardLogger(config.out, name="tensorboard")],
        log_every_n_steps=min(50, data.batches),
        enable_progress_bar=progress,
        enable_model_summary=False,
    )
    fit(trainer, module, datamodule=data, ckpt_path=last, weights_only=True)


def first_process() -> bool:
    """Whether this is the first process, as the launcher (Lightning, torchrun, SLURM) says, before they meet."""
    return getattr(rank_zero_only, "rank", 0) == 0


def _settings(config: RunConfig) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(asdict(config))  # type: ignore[call-overload] # protocols cannot ask for dataclasses
    return plain


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
        elif before != after and name not in IGNORED_ON_RESUME:
            changed.append(f"{name}: {before} then, {after} now")
    return changed
