"""`crosspoint evaluate`: an encoder measured by a protocol, or several by several."""

from __future__ import annotations

from collections.abc import Sequence

from crosspoint.cli.log import quieten_lightning


def run(arguments: Sequence[str]) -> int:
    """The command."""
    from crosspoint.eval.cli import evaluate_command

    quieten_lightning()
    return evaluate_command(arguments)
