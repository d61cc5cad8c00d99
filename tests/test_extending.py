"""docs/extending.md: its classes, as a user's own module, go from pre-training to a report without an edit here."""

from __future__ import annotations

import importlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from crosspoint import load_pretrained
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.cli.main import main
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.detection import detection
from crosspoint.eval.supervised.detector_training import DetectionConfig
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.detection.detector import DetectorConfig
from crosspoint.scene.labels.manifest import read_manifest
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import collate, voxelize
from tests.eval.toy_traffic import VOXELS, write_traffic

PAGE = (Path(__file__).parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
YAML = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```\n(crosspoint .*?)```", PAGE, re.DOTALL)
    for line in block.replace("\\\n", " ").splitlines()
]


def command(*words: str) -> list[str]:
    """The one command of the page that begins so, without the word `crosspoint`."""
    (found,) = [line for line in COMMANDS if line[1 : 1 + len(words)] == [*words]]
    return found[1:]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The page's Python as `mine.py` in the working folder, and its run as `run.yaml`."""
    (tmp_path / "mine.py").write_text("from __future__ import annotations\n\n" + "\n".join(PYTHON), encoding="utf-8")
    (tmp_path / "run.yaml").write_text(YAML[1], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("mine", None)
    importlib.invalidate_caches()
    yield importlib.import_module("mine")
    sys.modules.pop("mine", None)


def test_each_class_is_short() -> None:
    classes = re.findall(r"^class .*?(?=\n\n\n|\Z)", "\n\n\n".join(PYTHON), re.DOTALL | re.MULTILINE)
    assert len(classes) == 10
    assert max(len(text.strip().splitlines()) for text in classes) < 30


def test_objects_from_yaml_to_the_report(mine: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "run.yaml", "--print_config"]) == 0
    assert "class_path: mine.TinyNet" in capsys.readouterr().out  # the method's own default
    assert main(["pretrain", "run.yaml", "--help"]) == 0
    assert "--method.noise" in (said := capsys.readouterr().out) and "--encoder.width" in said
    assert main(["pretrain", "run.yaml", "--method.nois", "1"]) == 2
    assert "did you mean method.noise?" in capsys.readouterr().err
    assert main(["pretrain", "run.yaml"]) == 0
    pretrained = load_pretrained(tmp_path / "runs/mine/last.ckpt")
    assert type(pretrained.encoder) is mine.TinyNet and pretrained.inputs.points == 64
    assert main(command("evaluate", "linear")) == 0
    assert "linear_svm/validated" in capsys.readouterr().out
    assert main(command("evaluate", "mine.NearestMean")) == 0
    assert "nearest_mean (%): accuracy" in capsys.readouterr().out
    assert main([*command("evaluate", "all"), "--device", "cpu"]) == 0
    found = json.loads((tmp_path / "study/results.json").read_text())
    (row,) = found["table"]
    assert set(row["cells"]) == {"linear SVM, SticksToMeasure", "nearest mean"} or "nearest mean" in row["cells"]
    assert "nearest mean" in (tmp_path / "study/report.html").read_text(encoding="utf-8")


def test_a_killed_run_goes_on_exactly(mine: ModuleType, tmp_path: Path) -> None:
    assert main(["pretrain", "run.yaml", "--training.epochs", "4", "--out", "whole"]) == 0
    slow = (
        "import sys, time, pathlib; sys.path.insert(0, ''); import mine; plain = mine.Sticks.__getitem__\n"
        "def slowly(self, item):\n"
        "    time.sleep(0.1 if pathlib.Path('cut/last.ckpt').exists() else 0)\n"
        "    return plain(self, item)\n"
        "mine.Sticks.__getitem__ = slowly\n"
        "from crosspoint.cli.main import main; main(['pretrain', 'run.yaml', '--training.epochs', '4', '--out', 'cut'])"
    )
    process = subprocess.Popen([sys.executable, "-c", slow], stderr=subprocess.PIPE, start_new_session=True)
    deadline = time.monotonic() + 120
    while not (tmp_path / "cut/last.ckpt").exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert read_checkpoint(tmp_path / "cut/last.ckpt")["epoch"] < 3
    assert main(["pretrain", "run.yaml", "--training.epochs", "4", "--out", "cut", "--resume", "true"]) == 0
    whole, cut = (read_checkpoint(tmp_path / name / "last.ckpt")["state_dict"] for name in ("whole", "cut"))
    assert all(torch.equal(weight, cut[name]) for name, weight in whole.items())


def test_the_same_from_python(mine: ModuleType, tmp_path: Path) -> None:
    features = mine.run(tmp_path / "python")
    assert features.shape == (1, 16) and features.isfinite().all()
    assert load_pretrained(tmp_path / "python/last.ckpt").encoder.config == {"width": 16}


def test_a_method_and_a_dataset_for_scenes(mine: ModuleType, tmp_path: Path) -> None:
    assert main(command("pretrain", "--method", "mine.PointColors")) == 0
    pretrained = load_pretrained(tmp_path / "runs/walls/last.ckpt")
    sweep = mine.Walls()[0].points_with("intensity").numpy()
    assert pretrained.encoder(pretrained.transform(sweep)).shape[1] == 8
    rows = (tmp_path / "runs/walls/csv/version_0/metrics.csv").read_text().splitlines()
    assert "train/loss" in rows[0]


def test_an_encoder_for_detection(mine: ModuleType, tmp_path: Path) -> None:
    root = write_traffic(tmp_path / "traffic")
    encoder, voxels = mine.Pillars((64, 64, 8)), replace(VOXELS, height=1.0)
    result = detection(
        encoder,
        FolderScenes(root, "train"),
        FolderScenes(root, "val"),
        voxels=voxels,
        detector=DetectorConfig(widths=[8], layers=[0], up=8, center_width=8),
        recipe=DetectionConfig(epochs=1),
        resources=Resources(accelerator="cpu"),
    )
    assert 0 <= result.metrics["ap_3d"] <= 100
    cut = voxelize(FolderScenes(root, "val")[0].points_with("intensity"), voxels)
    maps = encoder.birdseye(SparseTensor.of(collate([cut])), 1)
    x, y, _ = cut.coordinates[0].tolist()
    column = (cut.coordinates[:, :2] == cut.coordinates[0, :2]).all(dim=1)
    torch.testing.assert_close(maps[0, :, y, x], cut.features[column].mean(dim=0))


def test_a_labeler(mine: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    gray = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    Image.fromarray(gray).save(tmp_path / "photos/ramp.png")
    assert main(command("label")) == 0
    assert read_manifest(tmp_path / "labels").classes == ["dark", "bright"]
    assert read_manifest(tmp_path / "labels").recipe["confidence"] == 0.4
    with Image.open(tmp_path / "labels/ramp.png") as found:
        assert np.unique(np.asarray(found), return_counts=True)[1].tolist() == [102, 77, 77]  # of 51 levels each side


def test_a_backend(mine: ModuleType, tmp_path: Path) -> None:
    for name in ("ball", "box"):
        (tmp_path / "meshes" / name).mkdir(parents=True)
    trimesh.creation.icosphere().export(tmp_path / "meshes/ball/a.off")
    trimesh.creation.box().export(tmp_path / "meshes/box/a.off")
    words = [word.replace("MESHES", "meshes") for word in command("render")]
    assert main([*words, "--views", "2", "--size", "16", "--jobs", "1"]) == 0
    settings = json.loads((tmp_path / "data/near/set.json").read_text())
    assert "mine.ShortSighted" in json.dumps(settings)
    from crosspoint.renderers import orbit, render

    mesh, cameras = trimesh.creation.icosphere(), orbit(2, size=16, seed=0)
    near, whole = (render(mesh, cameras, backend).fragments for backend in ("mine.ShortSighted", "raycast"))
    assert np.array_equal(near.face.numpy() >= 0, (whole.depth <= 2.0).numpy())
