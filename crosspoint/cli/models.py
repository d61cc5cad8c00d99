"""`crosspoint models`: published weights, which every command takes by their name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from crosspoint.cli.parser import call


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(models, "models", arguments)


def models() -> int:
    """List published weights: name, license, figures, and the command that trained them.

    Every command takes such a name for a checkpoint, and load_pretrained does. They also take a folder of
    save_pretrained, and hf://owner/repo.
    """
    from crosspoint.hub.table import published_models

    found = published_models()
    if not found:
        sys.stdout.write("none yet; hf://owner/repo, files and folders of save_pretrained can be loaded\n")
    for model in found:
        figures = ", ".join(f"{name} {value:g}" for name, value in model.figures.items())
        sys.stdout.write(f"{model.name} ({model.license}): {figures or 'no figures'}\n")
        sys.stdout.write(f"  {model.file} sha256 {model.sha256}\n  {model.command}\n")
    return 0
