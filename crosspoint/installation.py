"""Installed versions and the machine, on which figures depend besides the code."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement

DISTRIBUTION = "crosspoint3d"


def requirements() -> list[Requirement]:
    """What the distribution asks for on this Python, without its extras: pyproject.toml as the metadata holds it.

    Raises:
        PackageNotFoundError: if the distribution is only on the path and not installed.
    """
    asked = [Requirement(line) for line in requires(DISTRIBUTION) or []]
    return [each for each in asked if each.marker is None or each.marker.evaluate({"extra": ""})]


def installed_versions() -> dict[str, str]:
    """The version of each requirement, "not installed" for one that is missing.

    Raises:
        PackageNotFoundError: as `requirements`.
    """
    versions = {}
    for name in (each.name for each in requirements()):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def processor() -> str:
    """The name of the processor's model where the system tells it, else its architecture."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def machine() -> dict[str, str]:
    """What decides the last digits of a figure: the instructions that torch chose, and who offers them."""
    import torch

    return {
        "processor": processor(),
        "architecture": platform.machine(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "system": platform.system(),
        "python": platform.python_version(),
    }
