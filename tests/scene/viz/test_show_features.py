"""`crosspoint show --checkpoint`."""

import base64
import json
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint import load_pretrained, save_encoder
from crosspoint.checkpoints.record import Inputs
from crosspoint.cli.main import main
from crosspoint.cli.show_features import joined_position
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_rig
from crosspoint.scene.models.frame_features import frame_features
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pointnet2 import PointNet2
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.scene.viz.similarity import reduced, unit_features
from tests.scene.frames import made_frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A frame of 200 points, and checkpoints of an encoder for it, one for samples of it, and one without weights."""
    root = tmp_path_factory.mktemp("show")
    rng = np.random.default_rng(0)
    K = torch.tensor([[[40.0, 0.0, 25.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]]])
    forward = torch.tensor([[[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]])
    cameras = Cameras(K, forward, torch.zeros(1, 3), (30, 50))
    write_rig(root / "data", cameras, [], [])
    points = np.c_[rng.uniform([5, -2, -1], [20, 2, 1], (200, 3)), rng.random(200)].astype(np.float32)
    write_frame(root / "data", made_frame("0", points, torch.zeros(1, 3, 30, 50, dtype=torch.uint8), cameras))
    torch.manual_seed(0)
    network = MinkUNet(stem=4, encoder=[4], encoder_blocks=[1], decoder=[6], decoder_blocks=[1])
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(VoxelConfig()))
    save_encoder(network, root / "scene.safetensors", inputs)
    save_encoder(PointNet2.small(), root / "sweeps.safetensors", Inputs("sweeps", up_axis="z", unit_sphere=False))
    (root / "text.ckpt").write_text("none")
    return root


@pytest.fixture
def show(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(folder)
    out = tmp_path / "shown"
    return lambda *words: main(["show", "folder", "--root", "data", "--out", str(out), *words]), out


def similarity_of(out: Path):
    content = re.search(r'id="data">(.*?)</script>', (out / "0.html").read_text(encoding="utf-8"))
    return json.loads(content[1])["colorings"][-1]


def test_the_page_has_the_features_of_the_frame(show, folder):
    run, out = show
    assert run("--checkpoint", "scene.safetensors", "--point", "11") == 0
    found = similarity_of(out)
    frame = FolderScenes(folder / "data")[0]
    expected = unit_features(frame_features(load_pretrained(folder / "scene.safetensors"), frame))
    rows = np.frombuffer(base64.b64decode(found["features"]), np.int8).reshape(200, 6)
    np.testing.assert_array_equal(rows, reduced(expected))
    assert found["chosen"] == 11
    with Image.open(out / "0.png") as picture:
        assert picture.width == 1920


@pytest.mark.parametrize("words", [("--at", "-3,1,-0.5"), ("--at=-3,1,-0.5",)])
def test_the_point_nearest_to_a_position_is_chosen(show, folder, words, caplog):
    run, out = show
    caplog.set_level("INFO")
    assert run("--checkpoint", "scene.safetensors", *words) == 0
    points = FolderScenes(folder / "data")[0].points.numpy()
    away = [np.linalg.norm(point - [-3, 1, -0.5]) for point in points]
    assert similarity_of(out)["chosen"] == int(np.argmin(away))
    assert f"point {np.argmin(away)} is the nearest to -3,1,-0.5, {min(away):.2f} m away" in caplog.text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--checkpoint", "scene.safetensors", "--point", "200"), "found point 200, expected 0 to 199: 0 has 200"),
        (("--checkpoint", "scene.safetensors", "--point", "-1"), "found point -1, expected 0 to 199"),
        (("--checkpoint", "scene.safetensors", "--at", "1,2"), "found the position '1,2', expected X,Y,Z: three"),
        (("--checkpoint", "scene.safetensors", "--at", "1,2,nan"), "found the position '1,2,nan', expected X,Y,Z"),
        (("--checkpoint", "scene.safetensors", "--at", "1,2,z"), "found the position '1,2,z', expected X,Y,Z"),
        (("--checkpoint", "scene.safetensors", "--at", "1,2,3", "--point", "0"), "found the point 0 and the position"),
        (("--point", "0"), "found a point without features to compare, expected --checkpoint beside"),
        (("--at", "1,2,3"), "found a point without features to compare"),
        (("--checkpoint", "sweeps.safetensors"), "found a PointNet2 in sweeps.safetensors, which describes a sample"),
        (("--checkpoint", "objects.ckpt"), "found a DGCNN in objects.ckpt, which describes whole clouds of objects"),
        (("--checkpoint", "text.ckpt"), "text.ckpt"),
        (("--checkpoint", "missing.ckpt"), "missing.ckpt"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(show, folder, write_checkpoint, capsys, words, message):
    run, out = show
    if "objects.ckpt" in words:
        write_checkpoint(folder / "objects.ckpt")
    assert run(*words) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not out.exists()


def test_a_position_is_joined_to_its_flag():
    words = ["folder", "--at", "-1,2,3", "--frame", "2", "--at"]
    assert joined_position(words) == ["folder", "--at=-1,2,3", "--frame", "2", "--at"]
