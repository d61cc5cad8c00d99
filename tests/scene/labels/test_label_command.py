from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.cli.main import main
from crosspoint.plugins import SHORT_NAMES
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.datasets.build import open_scenes
from crosspoint.scene.datasets.folder import write_frame, write_rig
from crosspoint.scene.labels.build import make_labeler
from crosspoint.scene.labels.class_table import DRIVING
from crosspoint.scene.labels.labeler import Labeler, Painter
from crosspoint.scene.labels.manifest import Kind, read_class_table, read_manifest
from crosspoint.scene.labels.open_vocabulary import OpenLabeler
from crosspoint.scene.labels.regions import RegionLabeler
from crosspoint.scene.labels.semantic import SemanticLabeler
from tests.scene.frames import made_frame

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def label(capsys: pytest.CaptureFixture[str], frames: Path, tmp_path: Path) -> Run:
    def run(*arguments: object, out: str = "out") -> tuple[int, str]:
        code = main(["label", str(frames), str(tmp_path / out), "--device", "cpu", *map(str, arguments)])
        return code, capsys.readouterr().err

    return run


@dataclass(frozen=True)
class Halves(Labeler):
    """A user's own: the left half, and the right."""

    points: int = 1
    kind: ClassVar[Kind] = "regions"
    names: ClassVar[list[str]] = []

    def recipe(self) -> dict[str, Any]:
        return {"labels": "halves", "points": self.points}

    def load(self, device: str) -> Painter:
        return lambda images: [1 + (np.indices(each.shape[:2])[1] >= each.shape[1] / 2) for each in images]


def read(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("name", ["eomt", "mask2former", "oneformer", "segformer"])
def test_semantic(label: Run, network: Callable[[str], str], tmp_path: Path, image: np.ndarray, name: str) -> None:
    code, error = label("--model", network(name), "--confidence", 0.1, "--batch_size", 2)
    assert (code, error.splitlines()[-1] if code else "") == (0, "")
    assert read_class_table(tmp_path / "out") == list(DRIVING)
    assert read_manifest(tmp_path / "out").images == 4
    (expected,) = SemanticLabeler(network(name), confidence=0.1).load("cpu")([image])
    assert (read(tmp_path / "out/a/0.png") != expected).mean() < 0.01
    assert read(tmp_path / "out/b/c/0.png").shape == (40, 24)


def test_classes_of_a_file(label: Run, network: Callable[[str], str], tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("vehicle: [car, bus, truck, train]\nflat: road\n")
    given = ("--model", network("eomt"), "--classes", tmp_path / "classes.yaml", "--confidence", 0)
    assert label(*given)[0] == 0
    assert read_class_table(tmp_path / "out") == ["vehicle", "flat"]
    assert read_manifest(tmp_path / "out").recipe["classes"] == {
        "vehicle": ["car", "bus", "truck", "train"],
        "flat": ["road"],
    }
    assert read(tmp_path / "out/a/0.png").max() <= 2
    (tmp_path / "classes.yaml").write_text("vehicle: [car, bus, truck]\nflat: road\n")
    code, error = label(*given)
    assert code == 2
    assert "made with other settings (classes), expected the same" in error
    (tmp_path / "classes.yaml").write_text("vehicle: [lorry, trucks]\n")
    code, error = label(*given, out="other")
    assert code == 2
    assert error.splitlines()[-1].startswith(
        "crosspoint: error: found 'lorry' for the class 'vehicle', expected one of"
    )
    assert not (tmp_path / "other").exists()


def test_open(label: Run, network: Callable[[str], str], tmp_path: Path, image: np.ndarray) -> None:
    (tmp_path / "prompts.yaml").write_text("machine: [construction vehicle, bus]\ncone: traffic cone\n")
    prompts = {"machine": ["construction vehicle", "bus"], "cone": ["traffic cone"]}
    models = ("--model", network("sam2"), "--detector", network("grounding_dino"))
    thresholds = ("--box_threshold", 0.1, "--text_threshold", 0.2)
    assert label("--kind", "open", *models, *thresholds, "--prompts", tmp_path / "prompts.yaml")[0] == 0
    assert read_class_table(tmp_path / "out") == ["machine", "cone"]
    labeler = OpenLabeler(
        *(network("sam2"), None, network("grounding_dino"), None), prompts, box_threshold=0.1, text_threshold=0.2
    )
    assert (read(tmp_path / "out/a/0.png") != labeler.load("cpu")([image])[0]).mean() < 0.01
    assert read(tmp_path / "out/a/0.png").any()


def test_regions(label: Run, network: Callable[[str], str], tmp_path: Path, image: np.ndarray) -> None:
    settings = ("--points", 3, "--predicted_iou", 0, "--stability", 0, "--overlap", 1)
    assert label("--kind", "regions", "--model", network("sam2"), *settings)[0] == 0
    manifest = read_manifest(tmp_path / "out")
    assert (manifest.kind, manifest.classes, manifest.images) == ("regions", [], 4)
    (expected,) = RegionLabeler(network("sam2"), None, 3, 0.0, 0.0, 1.0).load("cpu")([image])
    found = read(tmp_path / "out/a/0.png")
    assert (found != expected).mean() < 0.01
    assert found.max() > 3


def test_a_class_of_a_user(label: Run, tmp_path: Path) -> None:
    assert label("--kind", f"{__name__}.Halves", "--points", 3)[0] == 0
    assert read_manifest(tmp_path / "out").recipe == {"labels": "halves", "points": 3}
    assert read(tmp_path / "out/b/2.png").tolist() == [[1] * 20 + [2] * 20] * 24
    assert "found stability for the kind" in label("--kind", f"{__name__}.Halves", "--stability", 1)[1]


def test_a_dataset_takes_the_maps_of_its_folder(
    network: Callable[[str], str], tmp_path: Path, image: np.ndarray
) -> None:
    """Frames are the dataset's root; the maps may lie inside it."""
    root = tmp_path / "rig"
    K, R = [[[20.0, 0, 20], [0, 20, 12], [0, 0, 1]]], [[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]]
    cameras = Cameras(torch.tensor(K), torch.tensor(R), torch.zeros(1, 3), (24, 40))
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None]
    write_rig(root, cameras)
    write_frame(root, made_frame("0", np.ones((5, 4), np.float32), pixels, cameras))
    for out, kind, settings in (
        ("classes", "semantic", ("--model", network("eomt"), "--confidence", "0")),
        ("regions", f"{__name__}.Halves", ()),
    ):
        arguments = ("label", root, root / out, "--kind", kind, "--images", "images/**", "--device", "cpu", *settings)
        assert main([*map(str, arguments)]) == 0
    scenes = open_scenes("folder", root, weak_labels=root / "classes", superpixels=root / "regions")
    assert scenes.weak_classes == list(DRIVING)
    maps = scenes[0].pixel_maps
    (path,) = scenes.image_files(0)
    labels = read(root / "classes" / path.relative_to(root).with_suffix(".png"))
    assert (maps["weak_labels"][0].numpy() == labels).all()
    assert labels.any()
    assert maps["superpixels"].unique().tolist() == [0, 1]


def test_a_pattern_and_a_second_run(label: Run, network: Callable[[str], str], tmp_path: Path, frames: Path) -> None:
    model = ("--model", network("segformer"))
    assert label(*model, "--images", "**/c/**")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] != []
    assert sorted(path.name for path in (tmp_path / "out").rglob("*.png")) == ["0.png"]
    assert label(*model)[0] == 0
    assert read_manifest(tmp_path / "out").images == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompts", "{}/p.yaml"], "found prompts for the kind semantic, expected it with open"),
        (
            ["--kind", "regions", "--confidence", "0.5"],
            "found confidence for the kind regions, expected it with semantic",
        ),
        (["--kind", "open", "--points", "9"], "found points for the kind open, expected it with regions"),
        (["--kind", "depth"], "found the labeler 'depth', expected one of semantic, open, regions, or an import path"),
        (["--confidence", "2"], "found the confidence 2.0, expected 0 to 1"),
        (["--classes", "{}/none.yaml"], "none.yaml, expected a YAML file of classes"),
        (["--modle", "x"], "did you mean model?"),
        ([], "found no tue-mps/cityscapes_semantic_eomt_large_1024, neither as a folder, nor in the cache, nor on"),
        (["--kind", "regions"], "run `hf download facebook/sam2.1-hiera-large`"),
        (["--kind", "open"], "run `hf download facebook/sam2.1-hiera-large`"),
        (["--model", "{}"], "found no network that can be read in"),
    ],
)
def test_bad_input_is_one_line(label: Run, hub: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "p.yaml").write_text("car: car")
    code, error = label(*(argument.format(tmp_path) for argument in arguments))
    assert code == 2
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "out").exists()


def test_without_the_library(label: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    code, error = label()
    assert code == 2
    assert error.endswith("for weak labels: pip install 'crosspoint3d[labels]'\n")


def test_labelers_have_defaults_and_say_which_options_they_have() -> None:
    assert [type(make_labeler(name)) for name in SHORT_NAMES["labeler"]] == [
        SemanticLabeler,
        OpenLabeler,
        RegionLabeler,
    ]
    assert make_labeler("regions", points=None) == RegionLabeler()
    with pytest.raises(ValueError, match="found the labeler 'depth', expected one of semantic, open, regions"):
        make_labeler("depth")
    with pytest.raises(ValueError, match="found depth for the kind regions, expected some of model, revision, points"):
        make_labeler("regions", depth=3)
