"""`crosspoint models`: published weights, which every command takes by their name."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from crosspoint.cli.parser import call
from crosspoint.hub.table import PublishedModel


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(models, "models", arguments)


def models() -> int:
    """List published weights: name, license, figures beside those of random weights, and the commands behind both.

    Every command takes such a name for a checkpoint, and load_pretrained does. They also take a folder of
    save_pretrained, and hf://owner/repo.
    """
    from crosspoint.hub.table import published_models

    found = published_models()
    if not found:
        sys.stdout.write("none yet; hf://owner/repo, files and folders of save_pretrained can be loaded\n")
    for model in found:
        figures = ", ".join(_figure(model, name) for name in model.figures)
        sys.stdout.write(f"{model.name} ({model.license}): {figures or 'no figures'}\n")
        sys.stdout.write(f"  {model.file} sha256 {model.sha256}\n  {model.command}\n")
        if model.measured_by is not None:
            sys.stdout.write(f"  measured by: {model.measured_by}\n")
    return 0


def _figure(model: PublishedModel, name: str) -> str:
    beside = f" ({model.random[name]:g} of random weights)" if name in model.random else ""
    return f"{name} {model.figures[name]:g}{beside}"
