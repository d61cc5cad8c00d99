"""`crosspoint replay`: the step again at which a pre-training diverged, and the layer that broke first."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crosspoint.cli.parser import call


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(replay, "replay", arguments)


def replay(file: Path) -> int:
    """Run the step again at which a pre-training diverged; print its losses, and the layers whose output broke.

    The samples are read anew, from the dataset that the run's config.yaml names.

    Args:
        file: diverged/rank-<n>.pt in the folder of the run
    """
    from crosspoint.cli.pretrain import read_config
    from crosspoint.datasets.splits import split_holdout
    from crosspoint.training.replay import replay as run_again
    from crosspoint.training.run_folder import CONFIG

    if not file.is_file():
        raise FileNotFoundError(f"found no file {file}, expected diverged/rank-<n>.pt in the folder of a run")
    config = read_config(["--config", str(file.parent.parent / CONFIG)])
    method, dataset, rest = config.build_method(), config.dataset.build(), config.parser.instantiate(config.rest)
    samples, labels = method.training_samples(dataset, prepare=False), method.labels(dataset)
    indices = np.arange(len(samples))
    if labels is not None and config.probe is not None:
        indices, _ = split_holdout(labels, config.probe.build().holdout, rest.seed)
    batch_size = rest.training.resolved(method.recipe).batch_size
    for line in run_again(method, samples, file, indices=indices, batch_size=batch_size, seed=rest.seed):
        sys.stdout.write(f"{line}\n")
    return 0
