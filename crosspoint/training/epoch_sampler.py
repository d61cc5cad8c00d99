"""The order of items in an epoch, and the seed of each item, as functions of (seed, epoch) alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler


def batches_of_each(samples: int, batch_size: int, processes: int, *, least: int = 1, what: str = "samples") -> int:
    """Batches that each process has in an epoch: whole ones of its share of the samples.

    Every training asks here, so that none has processes without a batch, which would learn nothing.

    Args:
        samples: of all processes.
        batch_size: samples of a batch, for each process.
        processes: that share the samples.
        least: samples that a batch needs.
        what: the samples are, for the message.

    Raises:
        ValueError: if a process has no batch, or a batch is too small.
    """
    share = samples // processes
    if least <= batch_size <= share:
        return share // batch_size
    shared = "" if processes == 1 else f", {share} for each of {processes} processes,"
    fewer = "" if processes == 1 else ", or fewer devices"
    wanted = f"a batch size from {least} to {share}: change it, or take more data{fewer}"
    if share < least:
        wanted = f"{least} or more for each process: take more data{fewer}"
    raise ValueError(f"found {samples} {what} for training{shared} and a batch size of {batch_size}, expected {wanted}")


class EpochSampler(Sampler[tuple[int, int]]):
    """Yield (index, seed) pairs of a fresh permutation in every epoch, this process's share of them.

    Nothing is remembered between epochs: the same (seed, epoch) gives the same pairs, with any number of loader
    workers and after a resume.

    Args:
        indices: (n,) the items to draw from.
        seed: of the run.
        rank: of this process.
        processes: each gets every `processes`-th item; the remainder is left out of the epoch, so that all have equal
            numbers of batches.
    """

    def __init__(self, indices: np.ndarray, *, seed: int, rank: int = 0, processes: int = 1) -> None:
        self.indices = indices
        self.seed = seed
        self.rank = rank
        self.processes = processes
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch; Lightning does before each one."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.indices) // self.processes

    def __iter__(self) -> Iterator[tuple[int, int]]:
        generator = np.random.default_rng([self.seed, self.epoch])
        order = generator.permutation(self.indices)
        seeds = generator.integers(2**63, size=len(order))
        share = slice(self.rank, len(self) * self.processes, self.processes)
        yield from zip(order[share].tolist(), seeds[share].tolist(), strict=True)


def epoch_loader(
    dataset: Any,
    indices: np.ndarray,
    *,
    batch_size: int,
    seed: int,
    workers: int,
    trainer: Any = None,
    collate: Callable[[list[Any]], Any] | None = None,
    least: int = 1,
) -> DataLoader[Any]:
    """Batches in an order that (seed, epoch) decide, of which a process reads its share; an incomplete one is dropped.

    Args:
        dataset: indexed by (index, seed) pairs.
        indices: (n,) the items to draw from.
        batch_size: items of a batch, for each process.
        seed: of the run.
        workers: loader processes.
        trainer: Lightning's, which knows the processes; None for a single one.
        collate: items → a batch; None takes PyTorch's own.
        least: items that a batch needs.

    Raises:
        ValueError: if a process has no batch.
    """
    rank, processes = (0, 1) if trainer is None else (trainer.global_rank, trainer.world_size)
    batches_of_each(len(indices), batch_size, processes, least=least)
    sampler = EpochSampler(indices, seed=seed, rank=rank, processes=processes)
    if trainer is not None:
        # Loader processes ask for the first batches as soon as Lightning has this loader, before it sets the epoch: a
        # resumed run would read those of epoch 0.
        sampler.set_epoch(trainer.fit_loop.epoch_progress.current.processed)
    return DataLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        drop_last=True,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
    )


def step_seed(seed: int, rank: int, step: int) -> int:
    """The seed of what one process draws in one training step."""
    return int(np.random.SeedSequence([seed, rank, step]).generate_state(1, np.uint64)[0] >> np.uint64(1))
