from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from crosspoint.cli.main import main
from crosspoint.scene.labels.build import LABELERS, make_labeler
from crosspoint.scene.labels.class_table import DRIVING
from crosspoint.scene.labels.manifest import read_class_table, read_manifest
from crosspoint.scene.labels.open_vocabulary import OpenLabeler
from crosspoint.scene.labels.regions import RegionLabeler
from crosspoint.scene.labels.semantic import SemanticLabeler

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def label(capsys: pytest.CaptureFixture[str], frames: Path, tmp_path: Path) -> Run:
    def run(*arguments: object, out: str = "out") -> tuple[int, str]:
        code = main(["label", str(frames), str(tmp_path / out), "--device", "cpu", *map(str, arguments)])
        return code, capsys.readouterr().err

    return run


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
        (["--kind", "depth"], "found depth for kind, expected one of semantic, open, regions"),
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
    assert [type(make_labeler(name)) for name in LABELERS] == [SemanticLabeler, OpenLabeler, RegionLabeler]
    assert make_labeler("regions", points=None) == RegionLabeler()
    with pytest.raises(ValueError, match="found the kind 'depth', expected one of semantic, open, regions"):
        make_labeler("depth")
    with pytest.raises(ValueError, match="found depth for the kind regions, expected one of model, revision, points"):
        make_labeler("regions", depth=3)
