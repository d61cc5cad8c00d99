"""`crosspoint doctor`: what is installed, which backends work here, what is missing and how to get it."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from packaging.requirements import Requirement
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from crosspoint.cli.parser import call
from crosspoint.installation import DISTRIBUTION, requirements


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(doctor, "doctor", arguments)


def doctor() -> int:
    """Say what is installed, which backends work, what is missing and how to get it."""
    return examine()


def examine() -> int:
    """Print the findings; returns 0 if all that is required works, else 1."""
    table = Table(title="crosspoint doctor", title_justify="left")
    for heading in ("what", "found", "what to do"):
        table.add_column(heading)
    table.add_row("Python", platform.python_version(), "")
    healthy = True
    for name, found, remedy in _packages():
        healthy = healthy and not remedy
        table.add_row(name, f"[red]{found}[/red]" if remedy else found, escape(remedy))
    for name, check, remedy, required in (
        ("renderer raycast", _raycast, "pip install embreex", True),
        ("renderer pytorch3d", _pytorch3d, "optional: follow PyTorch3D's INSTALL.md", False),
        ("sparse backend spconv", _spconv, "optional: pip install spconv-cu126, or for your CUDA", False),
        ("ONNX", _onnx, "optional: pip install 'crosspoint3d[onnx]'", False),
        ("weak labels", _transformers, "optional: pip install 'crosspoint3d[labels]'", False),
        ("GPU", _gpu, "optional: a CUDA device and driver", False),
    ):
        try:
            table.add_row(name, check(), "")
        except Exception as error:  # whatever stops a native library is a finding, not a failure of this command
            healthy = healthy and not required
            why = escape(" ".join(str(error).split())[:80])
            table.add_row(name, f"[yellow]not available[/yellow] ({why})", escape(remedy))
    Console().print(table)
    return 0 if healthy else 1


def _packages() -> list[tuple[str, str, str]]:
    """Each required package: its name, what was found, and what to do where that is not what the metadata asks for."""
    try:
        asked = requirements()
    except PackageNotFoundError:
        return [(DISTRIBUTION, "not installed, only on the path", "pip install -e . in the checkout")]
    return [(each.name, *_finding(each)) for each in asked]


def _finding(asked: Requirement) -> tuple[str, str]:
    try:
        found = version(asked.name)
    except PackageNotFoundError:
        return "missing", f"pip install '{asked}'"
    if asked.specifier.contains(found, prereleases=True):
        return found, ""
    return f"{found}, expected {asked.specifier}", f"pip install '{asked}'"


def _renders(backend: str) -> str:
    """Draw a ball, and see that it is there."""
    import trimesh

    from crosspoint.renderers import orbit, render

    fragments = render(trimesh.creation.icosphere(), orbit(1, size=32, seed=0), backend).fragments
    covered = float((fragments.face >= 0).float().mean())
    if not 0.1 < covered < 0.9:
        raise RuntimeError(f"a ball covers {covered:.0%} of its picture")
    return "works"


def _raycast() -> str:
    return _renders("raycast")


def _pytorch3d() -> str:
    return _renders("pytorch3d")


def _spconv() -> str:
    import torch
    from spconv import __version__
    from spconv.cppconstants import CPU_ONLY_BUILD

    if CPU_ONLY_BUILD or not torch.cuda.is_available():
        raise RuntimeError(f"{__version__}, without a GPU to work on")
    return __version__


def _onnx() -> str:
    import onnx
    import onnxruntime
    import onnxscript

    return f"onnx {onnx.__version__}, onnxscript {onnxscript.__version__}, onnxruntime {onnxruntime.__version__}"


def _transformers() -> str:
    from crosspoint.scene.labels.foundation_model import import_transformers

    return f"transformers {import_transformers().__version__}"


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        raise RuntimeError("torch sees none; training and rendering run on the CPU")
    return f"{torch.cuda.device_count()} × {torch.cuda.get_device_name(0)}, CUDA {torch.version.cuda}"
