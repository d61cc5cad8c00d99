from __future__ import annotations

import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import torch
from packaging.requirements import Requirement

from crosspoint.installation import installed_versions, machine, processor, requirements


def test_requirements_are_those_of_pyproject_without_extras() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    (listed,) = re.findall(r"^dependencies = \[\n(.*?)^\]", text, re.MULTILINE | re.DOTALL)
    assert requirements() == [Requirement(line) for line in re.findall(r'"(.+?)"', listed)]


def test_versions_are_those_that_are_imported() -> None:
    found = installed_versions()
    assert list(found) == [each.name for each in requirements()]
    assert found["torch"] == version("torch")
    assert torch.__version__.startswith(found["torch"])
    assert "pytest" not in found


def test_the_machine_is_named() -> None:
    found = machine()
    assert found["processor"] == processor() != ""
    assert found["instructions"] == torch.backends.cpu.get_cpu_capability()


def test_public_names_are_imported_when_they_are_asked_for() -> None:
    code = (
        "import sys, crosspoint\n"
        "assert 'torch' not in sys.modules\n"
        "assert crosspoint.losses.nt_xent is crosspoint.nt_xent\n"
        "assert all(getattr(crosspoint, name) is not None for name in crosspoint.__all__)\n"
        "assert not hasattr(crosspoint, 'nt_xnet')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
