"""Lightning's `fit` as the command line needs it: quiet about what is meant so, and interrupted like anything else."""

from __future__ import annotations

import atexit
import gc
import warnings
from typing import Any

import lightning
import torch.distributed as dist


def fit(trainer: lightning.Trainer, module: lightning.LightningModule, **options: Any) -> None:
    """Train; `options` are those of `Trainer.fit`.

    Raises:
        KeyboardInterrupt: on Ctrl-C, of which Lightning makes a SystemExit.
    """
    atexit.register(_leave_processes)
    with warnings.catch_warnings():
        # The number of workers is the user's setting, and a run that is resumed finds its own folder.
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message="Checkpoint directory .* exists and is not empty.*")
        warnings.filterwarnings("ignore", message="Found .* module.s. in eval mode.*")  # frozen image networks
        # Lightning's own.
        warnings.filterwarnings("ignore", message=".*LeafSpec.*is deprecated", category=FutureWarning)
        try:
            trainer.fit(module, **options)
        except SystemExit:
            if trainer.interrupted:
                raise KeyboardInterrupt from None
            raise


def _leave_processes() -> None:
    """Lightning ends groups of nccl alone; threads of gloo that let go of tensors while the interpreter ends abort it.

    https://github.com/pytorch/pytorch/pull/179291
    """
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()
        gc.collect()  # DistributedDataParallel is in a cycle with the group, whose threads end with it
