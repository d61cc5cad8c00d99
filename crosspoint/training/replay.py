"""Replay of the training step at which a run diverged: which network gave the first number that is not finite."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor, nn

from crosspoint.checkpoints.files import read_checkpoint, require_file
from crosspoint.methods.method import Method
from crosspoint.training.epoch_sampler import EpochSampler


def replay(method: Method, samples: Any, path: Path, *, indices: np.ndarray, batch_size: int, seed: int) -> list[str]:
    """Run one step again, on the samples and with the draws that it had.

    Args:
        method: of the run; its weights are replaced by those in the file.
        samples: `method.training_samples(dataset)`.
        path: the file `diverged/rank-<n>.pt` of the run.
        indices: (n,) the samples that the run trains on.
        batch_size: of the run.
        seed: of the run.

    Returns:
        What was found, a line each: the losses by name, and the modules whose output was not finite, first one first.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it holds something else.
    """
    content = read_checkpoint(require_file(path))
    if not {"epoch", "batch_idx", "draw_seed", "state_dict"} <= content.keys():
        raise ValueError(f"found the keys {sorted(content)} in {path}, expected a step that a diverged run left")
    weights = {name.removeprefix("method."): weight for name, weight in content["state_dict"].items()}
    method.load_state_dict(weights)
    sampler = EpochSampler(indices, seed=seed, rank=content["rank"], processes=content["processes"])
    sampler.set_epoch(content["epoch"])
    start = content["batch_idx"] * batch_size
    batch = method.collate([samples[item] for item in [*sampler][start : start + batch_size]])
    broken: list[str] = []
    handles = [module.register_forward_hook(_watch(name, broken)) for name, module in method.named_modules() if name]
    try:
        parts = method.train().training_step(batch, Generator().manual_seed(content["draw_seed"]))
    finally:
        for handle in handles:
            handle.remove()
    told = [f"{name} {float(value.detach()):g}" for name, value in parts.items()]
    return told + [f"not finite: output of {name}" for name in broken]


def _watch(name: str, broken: list[str]) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: object, output: object) -> None:
        tensors = output if isinstance(output, tuple | list) else [output]
        for tensor in tensors:
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                broken.append(name)
                return

    return hook
