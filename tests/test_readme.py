"""The README: its lines of Python run as they stand, in a folder of a user's own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import trimesh

from tests.pages import ROOT, python_blocks

README = ROOT / "README.md"


def test_the_first_python_block_runs_as_it_stands(tmp_path: Path) -> None:
    code = python_blocks(README)[0] + "\nassert features.shape == (1, 1024) and features.isfinite().all()\n"
    run = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert not [*tmp_path.iterdir()]


def test_the_next_blocks_go_on_from_the_first(tmp_path: Path) -> None:
    trimesh.creation.box((200, 100, 50)).apply_translation((5000, 0, 0)).export(tmp_path / "mesh.obj")
    found = """
assert x.shape == (20, 1024) and 0 <= result.metrics["accuracy"] <= 100
assert rendering.images.shape == (4, 3, 224, 224) and Image.open("view.png").size == (224, 224)
assert rendering.depth.shape == (4, 224, 224) and rendering.depth.isfinite().any()
assert 0.1 < (rendering.images[0] < 250).float().mean() < 0.9  # the mesh, which lies far away, is in the picture
"""
    code = "\n".join([*python_blocks(README), found])
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
