from __future__ import annotations

import importlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.scene.labels.tiny_networks import MAKERS

os.environ["HF_HUB_OFFLINE"] = "1"  # for processes that a test starts
MISSING = "weak labels need pip install 'crosspoint3d[labels]'"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of the hub's cache, empty, without a network behind it."""
    pytest.importorskip("transformers", reason=MISSING)
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)  # it may have been imported by an earlier test
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.fixture
def network(hub: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a network by the name of its architecture; made when it is first asked for."""
    root = tmp_path_factory.getbasetemp() / "networks"

    def folder(name: str) -> str:
        if not (root / name).exists():
            with torch.random.fork_rng():
                torch.manual_seed(0)
                MAKERS[name](root / name)
        return str(root / name)

    return folder


@pytest.fixture
def image() -> np.ndarray:
    """An image that is wider than high (24, 40, 3) uint8."""
    return smooth_image((24, 40), seed=0)


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    """A folder of images in nested folders, of two sizes."""
    sizes = {"a/0.png": (24, 40), "a/1.JPG": (24, 40), "b/2.png": (24, 40), "b/c/0.jpeg": (40, 24)}
    for seed, (name, size) in enumerate(sizes.items()):
        path = tmp_path / "frames" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(smooth_image(size, seed)).save(path, format="PNG" if name.endswith("png") else "JPEG")
    return tmp_path / "frames"


def smooth_image(size: tuple[int, int], seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC))
