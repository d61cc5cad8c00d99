from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from tests.crosspoint.cli.commands import call


@pytest.fixture(scope="module")
def meshes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Balls and boxes in a ModelNet tree, and one file that is no mesh."""
    root = tmp_path_factory.mktemp("meshes")
    generator = np.random.default_rng(0)
    for split, count in (("train", 8), ("test", 4)):
        for name in ("ball", "box"):
            folder = root / name / split
            folder.mkdir(parents=True)
            for number in range(count):
                size = generator.uniform(0.5, 2, 3)
                mesh = trimesh.creation.icosphere(subdivisions=2) if name == "ball" else trimesh.creation.box()
                mesh.apply_scale(size if name == "box" else size[0])
                mesh.export(folder / f"{name}_{number:04d}.off")
    (root / "box" / "train" / "box_9999.off").write_text("OFF\nnonsense")
    return root


@pytest.fixture(scope="module")
def views(meshes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rendered") / "views"
    assert call("render", meshes, out, "--views", 3, "--size", 24, "--points", 64, "--jobs", 1) == 0
    return out
