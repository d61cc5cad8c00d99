"""The log of the command line: one line a message, on standard error."""

from __future__ import annotations

import logging
import os
import sys


def start_log() -> None:
    """Write messages as they are; of processes that train together the first writes all, the others warnings."""
    rank = os.environ.get("RANK") or os.environ.get("LOCAL_RANK") or "0"  # of torchrun, and of Lightning's own start
    logging.basicConfig(level=logging.INFO if rank == "0" else logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("torch").setLevel(logging.WARNING)  # it tells of its caches when an interpreter ends


def quieten_lightning() -> None:
    """No advice, no list of accelerators: our own log says what a run does. After its import, which resets it."""
    import lightning.pytorch  # noqa: F401

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
