"""The Lightning trainer of every training, with and without labels, and its `fit`."""

from __future__ import annotations

import atexit
import gc
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import lightning
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, RichProgressBar
from lightning.pytorch.loggers import Logger

from crosspoint.ops.device import require_device
from crosspoint.renderers.atomic import FULL
from crosspoint.training.callbacks import AtomicCheckpoints, EpochReport
from crosspoint.training.config import Compute
from crosspoint.training.pace import Pace

LOADER_DIED = re.compile(r"DataLoader worker \(pid.*\) (is killed by|exited unexpectedly)")
# Gloo's and NCCL's words in the processes that live on, which torch gives as plain RuntimeErrors.
PEER_DIED = re.compile(r"gloo/transport/.*(?:by peer|timed? ?out)|remote process exited", re.DOTALL | re.IGNORECASE)


def make_trainer(
    compute: Compute,
    *,
    epochs: int,
    callbacks: Sequence[Callback],
    checkpoint: Path | None = None,
    loggers: Sequence[Logger] = (),
    progress: bool = False,
) -> lightning.Trainer:
    """A trainer that shares samples out by `EpochSampler` and writes whole checkpoints.

    Args:
        compute: hardware.
        epochs: passes over the samples.
        callbacks: of the training; they run before the report of an epoch and its checkpoint.
        checkpoint: file that is written after every epoch; None writes none.
        loggers: where figures go.
        progress: show a progress bar instead of a line per epoch.

    Raises:
        ValueError: if this machine has no such accelerator.
    """
    require_device(compute.accelerator)
    files = [] if checkpoint is None else [_every_epoch(checkpoint)]
    return lightning.Trainer(
        accelerator=compute.accelerator,
        devices=compute.devices,
        num_nodes=compute.nodes,
        precision=compute.precision,
        accumulate_grad_batches=compute.accumulation,
        sync_batchnorm=compute.sync_batchnorm,
        max_epochs=epochs,
        use_distributed_sampler=False,  # EpochSampler shares the items out itself
        callbacks=[*callbacks, Pace(lines=not progress), RichProgressBar() if progress else EpochReport(), *files],
        plugins=[AtomicCheckpoints()],
        logger=[*loggers] or False,
        enable_checkpointing=checkpoint is not None,
        enable_progress_bar=progress,
        enable_model_summary=False,
    )


def fit(
    trainer: lightning.Trainer,
    module: lightning.LightningModule,
    data: lightning.LightningDataModule | None = None,
    *,
    resume_from: Path | None = None,
) -> None:
    """Train; Ctrl-C ends it as it ends anything else.

    Args:
        trainer: from `make_trainer`.
        module: what is trained.
        data: on what; None where the module brings its own loader.
        resume_from: checkpoint to go on from.

    Raises:
        KeyboardInterrupt: on Ctrl-C, of which Lightning makes a SystemExit.
        OSError: if the disk is full.
        ChildProcessError: if a loader process died, or another of the processes that train together.
    """
    atexit.register(_leave_processes)
    with warnings.catch_warnings():
        # The number of workers is the user's setting, and a run that is resumed finds its own folder.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", message="Found .* module.s. in eval mode.*")  # frozen image networks
        warnings.filterwarnings("ignore", message="The dirpath has changed from .*")  # of a run that is extended
        # Lightning's own.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
        try:
            trainer.fit(module, datamodule=data, ckpt_path=resume_from, weights_only=True)
        except SystemExit:
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise
        except RuntimeError as error:
            text = str(error)
            if LOADER_DIED.search(text) is not None:
                raise ChildProcessError(
                    "found that a loader process died, perhaps of too little memory, expected all to live: give fewer "
                    "workers; the last whole epoch is kept"
                ) from error
            if dist.is_available() and dist.is_initialized() and PEER_DIED.search(text) is not None:
                raise ChildProcessError(
                    "found that another process of this training ended or does not answer, expected all to live: look "
                    "at its own words, and start all of them again; the last whole epoch is kept"
                ) from error
            raise
        except OSError as error:
            if error.errno not in FULL:
                raise
            raise OSError(
                f"found {FULL[error.errno]} for the figures of {trainer.log_dir}, expected enough: make room, and go "
                "on from the last whole epoch"
            ) from error


def _every_epoch(path: Path) -> ModelCheckpoint:
    return ModelCheckpoint(path.parent, filename=path.stem, save_on_train_epoch_end=True, enable_version_counter=False)


def _leave_processes() -> None:
    """Lightning ends groups of nccl alone; threads of gloo that let go of tensors while the interpreter ends abort it.

    https://github.com/pytorch/pytorch/pull/179291
    """
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()  # DistributedDataParallel is in a cycle with the group, whose threads end with it
