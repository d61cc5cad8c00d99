"""`crosspoint quickstart`: the whole toolkit on procedural shapes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crosspoint.cli.log import quieten_lightning
from crosspoint.cli.parser import call


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(quickstart, "quickstart", arguments)


def quickstart(out: Path = Path("runs/quickstart"), seeds: int = 3, epochs: int = 12, jobs: int = -1) -> int:
    """Run the whole toolkit on procedural shapes: render, pre-train, probe; prints random against pre-trained.

    Args:
        out: folder for everything it makes; an interrupted run goes on where it stopped
        seeds: number of independent runs, for mean and deviation
        epochs: epochs of pre-training in each run
        jobs: processes for rendering, -1 for one per core
    """
    from crosspoint.eval.quickstart import quickstart as run

    quieten_lightning()
    run(out, seeds=seeds, epochs=epochs, jobs=jobs)
    return 0
