"""The command, called in the process of a test."""

from __future__ import annotations

from crosspoint.cli.main import main


def call(*arguments: object) -> int:
    """The command in this process: fast, and with its output captured by pytest."""
    return main([str(argument) for argument in arguments])
