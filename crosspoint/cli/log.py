"""The log of the command line: one line a message, on standard error."""

from __future__ import annotations

import logging
import sys


def start_log() -> None:
    """Write messages as they are."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("torch").setLevel(logging.WARNING)  # it tells of its caches when an interpreter ends


def quieten_lightning() -> None:
    """No advice, no list of accelerators: our own log says what a run does. After its import, which resets it."""
    import lightning.pytorch  # noqa: F401

    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
