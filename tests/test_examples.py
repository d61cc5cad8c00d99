"""examples/: every script runs on tiny settings, and gives what it says; two of them are notebooks, too."""

from __future__ import annotations

import importlib
import re
import runpy
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint import load_pretrained
from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.datasets.procedural.shapes import FAMILIES, shapes_clouds

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = ("quick_use", "own_encoder", "own_method", "own_dataset", "render", "objects", "scenes", "study")
SMALL: dict[str, Any] = {"train": 4, "test": 2, "epochs": 2, "points": 64}
TINY = {
    "objects": {"shapes": 4, "views": 2, "size": 32, "points": 64, "epochs": 1},
    "scenes": {"streets": 2, "frames": 2, "beams": 16, "height": 48, "epochs": 1},
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The folder on the path, as it is for `python examples/NAME.py`."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield
    for name in NAMES:
        sys.modules.pop(name, None)


def run_script(name: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a script without functions leaves."""
    flags = [word for key, value in TINY[name].items() for word in (f"--{key}", str(value))]
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "--out", str(out), *flags])
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


def test_there_are_eight_of_under_80_lines() -> None:
    texts = {path.stem: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("*.py")}
    assert {*texts} == {*NAMES}
    assert max(len(text.splitlines()) for text in texts.values()) < 80
    assert all("--out" in text for text in texts.values()) and not any("subprocess" in text for text in texts.values())


def test_quick_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = importlib.import_module("quick_use").main(tmp_path, per_class=2, points=64)
    with np.load(tmp_path / "features.npz") as file:
        features, labels = file["features"], file["labels"]
    shapes = shapes_clouds("test", 2, 64)
    assert features.shape == (44, 1024) and labels.tolist() == shapes.labels.tolist()
    units = features / np.linalg.norm(features, axis=1, keepdims=True)
    cosine = units @ units.T
    np.fill_diagonal(cosine, -2)
    for row, found in enumerate(names):  # a slow search finds the same classes, in the same order
        assert found == [shapes.classes[labels[other]] for other in np.argsort(-cosine[row])[:3]]
    encoder = load_pretrained("dgcnn-shapes")
    alone = encoder.encoder(encoder.transform(shapes.points[5] * 7 + 3))[0].detach().numpy()
    np.testing.assert_allclose(alone, features[5], rtol=1e-3, atol=1e-4)
    assert "one cloud (5000, 3) → one feature (1, 1024)" in capsys.readouterr().out


def test_own_encoder(tmp_path: Path) -> None:
    module = importlib.import_module("own_encoder")
    results = module.main(tmp_path, **SMALL)
    assert {name: result.constants["random_init"] for name, result in results.items()} == {
        "random": True,
        "trained": False,
    }
    encoder = load_pretrained(tmp_path / "run" / "last.ckpt").encoder
    assert type(encoder) is module.TwoLayers and encoder.config == {"width": 64, "hidden": 32}
    clouds = torch.randn(2, 30, 3)
    assert torch.equal(encoder(clouds), encoder.forward_features(clouds).amax(dim=1))
    assert results["trained"].metrics["accuracy"] > 100 / len(FAMILIES)


def test_own_method(tmp_path: Path) -> None:
    module = importlib.import_module("own_method")
    results = module.main(tmp_path, **SMALL)
    assert {*results} == {"random", "trained"}
    config = load_pretrained(tmp_path / "run" / "last.ckpt").config
    assert config["method"]["class_path"] == "own_method.TwoHalves"
    assert config["method"]["init_args"]["temperature"] == 0.1
    assert config["training"]["epochs"] == 2 and config["training"]["batch_size"] == 32  # the recipe's


def test_halves_of_own_method_are_on_two_sides_of_a_plane(monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module("own_method")
    seen: list[torch.Tensor] = []

    class Recording(module.PointNet):  # type: ignore[misc, name-defined]
        def forward(self, points: torch.Tensor) -> torch.Tensor:
            seen.append(points)
            return points.sum(dim=1)

    points = torch.randn(3, 21, 3, generator=torch.Generator().manual_seed(0))
    pair = module.ObjectPair(points, torch.zeros(3, 0), torch.zeros(3))
    module.TwoHalves(Recording(embedding=8), None).training_step(pair, torch.Generator().manual_seed(1))
    normal = torch.randn(3, 3, 1, generator=torch.Generator().manual_seed(1))
    low, high = (half @ normal for half in seen)
    assert low.shape == high.shape == (3, 10, 1)
    assert (low.amax(dim=1) <= high.amin(dim=1)).all()


def test_own_dataset(tmp_path: Path) -> None:
    module = importlib.import_module("own_dataset")
    result = module.main(tmp_path, **SMALL)
    assert result.constants["dataset"] == "archives" and result.constants["test"] == 2 * len(FAMILIES)
    stored = shapes_clouds("test", 2, 64)
    read = labeled_clouds("own_dataset.ArchiveClouds", tmp_path, "test", points=30, normalize=False)
    assert np.array_equal(read.points, stored.points[:, :30]) and read.classes == stored.classes
    pairs = module.ArchivePairs(tmp_path)
    assert len(pairs) == 4 * len(FAMILIES)
    assert np.array_equal(pairs[7, 0].points.numpy(), shapes_clouds("train", 4, 64).points[7])
    described = load_pretrained(tmp_path / "run" / "last.ckpt").config["data"]["dataset"]
    assert described == {"class_path": "own_dataset.ArchivePairs", "init_args": {"root": str(tmp_path)}}


def test_render(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rendered = importlib.import_module("render").main(tmp_path, views=2, size=32)
    said = re.search(
        r"([\d,]+) pixels of the first view, on the surface to (\S+) of the radius", capsys.readouterr().out
    )
    assert 50 < int(said[1]) < 32 * 32 and float(said[2]) < 1e-5
    for name in ("views", "depth"):
        with Image.open(tmp_path / f"{name}.png") as picture:
            assert picture.size == (64, 32)
            assert 50 < len(np.unique(np.asarray(picture).reshape(-1, 3), axis=0))
    assert len(rendered) == len(FAMILIES) and rendered.classes == sorted(FAMILIES)
    assert rendered.images(0, [0, 1]).shape == (2, 3, 32, 32)


def test_objects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = run_script("objects", tmp_path, monkeypatch)
    assert {*left["accuracy"]} == {"random", "pre-trained"}
    assert all(100 / len(FAMILIES) < figure < 100 for figure in left["accuracy"].values())
    config = load_pretrained(left["checkpoint"]).config
    assert config["method"]["class_path"].endswith("CrossPoint") and config["image_encoder"] is not None
    with Image.open(tmp_path / "views.png") as picture:
        assert picture.size == (900, 180)


def test_scenes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = run_script("scenes", tmp_path, monkeypatch)
    assert (len(left["train"]), len(left["test"])) == (4, 2)
    assert {*left["miou"]} == {"random", "pre-trained"} and all(0 < figure < 100 for figure in left["miou"].values())
    pretrained = load_pretrained(left["checkpoint"])
    assert pretrained.inputs.kind == "voxels" and pretrained.inputs.voxels == asdict(left["method"].voxels)
    assert (tmp_path / "frame.png").stat().st_size > 10_000


def test_study(tmp_path: Path) -> None:
    table = importlib.import_module("study").main(tmp_path, **{**SMALL, "epochs": 1}, seeds=2)
    assert [row["name"] for row in table] == ["CrossPoint", "TwoHalves", "random initialization (PointNet)"]
    for row in table:
        assert {title.split(",")[0] for title in row["cells"]} == {"linear SVM", "kNN", "retrieval mAP"}
    page = (tmp_path / "study" / "report.html").read_text(encoding="utf-8")
    assert "TwoHalves" in page and "retrieval mAP" in page
