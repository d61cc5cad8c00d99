import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import accuracy_score, jaccard_score

from crosspoint.checkpoints.record import Inputs
from crosspoint.cli.main import main
from crosspoint.eval.supervised.cloud_training import save_network
from crosspoint.eval.supervised.network_record import NetworkRecord
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_rig, write_split
from crosspoint.scene.viz.predictions import agreement, frame_predictions
from tests.scene.frames import made_boxes, made_frame

COUNTS = [5, 0, 7]
RECORD = NetworkRecord("points", {"class_path": "mine.Net", "init_args": {}}, Inputs(kind="voxels"), ["a"], {}, "toys")


@pytest.fixture
def answers():
    return [np.random.default_rng(seed).integers(0, 4, count).astype(np.int16) for seed, count in enumerate(COUNTS)]


@pytest.fixture
def network(answers, tmp_path):
    """A folder as `evaluate semseg --save_dir` leaves it."""
    offsets = np.cumsum([0, *map(len, answers)])
    save_network(tmp_path / "net", torch.nn.Linear(2, 2), RECORD, predicted=np.concatenate(answers), offsets=offsets)
    return tmp_path / "net"


def test_each_frame_gets_its_own_answers_from_the_folder_or_its_file(network, answers):
    for path in (network, network / "predictions.npz"):
        for frame, expected in enumerate(answers):
            found = frame_predictions(path, frame, frames=3, points=len(expected))
            np.testing.assert_array_equal(found, expected)
            assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("frame", "frames", "points", "message"),
    [
        (0, 2, 5, "answers for 3 frames in .*predictions.npz, expected 2: show the split"),
        (2, 3, 8, "answers for 7 points of frame 2 in .*, expected 8: show the dataset and the split"),
        (1, 3, 1, "answers for 0 points of frame 1 in .*, expected 1"),
    ],
)
def test_counts_that_do_not_fit_are_refused(network, frame, frames, points, message):
    with pytest.raises(ValueError, match=message) as caught:
        frame_predictions(network, frame, frames=frames, points=points)
    assert "\n" not in str(caught.value)


def test_files_of_something_else_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"found no file .*missing.npz, expected one that `evaluate semseg"):
        frame_predictions(tmp_path / "missing.npz", 0, frames=1, points=1)
    with pytest.raises(FileNotFoundError, match=r"found no file .*predictions.npz"):
        frame_predictions(tmp_path, 0, frames=1, points=1)
    file = tmp_path / "predictions.npz"
    numbers, pickled = np.arange(6), np.array([{}], dtype=object)
    np.savez(file, predicted=numbers, truth=numbers)  # of classification
    contents = [file.read_bytes(), b"", b"PK\x03\x04 cut off", b"\x93NUMPY", b"some text"]
    np.savez(file, predicted=pickled, offsets=np.array([0, 1]))
    contents.append(file.read_bytes())
    for content in [*contents, contents[0][:200]]:
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"found (no arrays `predicted` and `offsets`|objects) in ") as caught:
            frame_predictions(tmp_path, 0, frames=1, points=1)
        assert "\n" not in str(caught.value)
    for array in (numbers, pickled):
        with file.open("wb") as opened:
            np.save(opened, array)
        with pytest.raises(ValueError, match="found no arrays"):
            frame_predictions(file, 0, frames=1, points=1)
    for predicted, offsets in [
        (numbers, [0, 5]), (numbers, [1, 6]), (numbers, [0, 4, 3, 6]), (numbers, []), (numbers[None], [0, 1]),
        (numbers / 2, [0, 6]), (numbers, [0.0, 6.0]),
    ]:  # fmt: skip
        np.savez(file, predicted=predicted, offsets=np.array(offsets))
        with pytest.raises(ValueError, match=r"offsets .* that do not divide the answers"):
            frame_predictions(file, 0, frames=max(len(offsets) - 1, 1), points=6)


def test_figures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    labels, predictions = rng.integers(IGNORED, 4, 300), rng.integers(0, 3, 300)
    predictions[labels == IGNORED] = 5  # a class that no labeled point has or gets
    known = labels != IGNORED
    accuracy, iou = agreement(labels, predictions)
    np.testing.assert_allclose(accuracy, accuracy_score(labels[known], predictions[known]))
    np.testing.assert_allclose(iou, jaccard_score(labels[known], predictions[known], average="macro"))
    assert agreement(labels, labels) == (1.0, 1.0)
    assert agreement(np.full(3, IGNORED), np.zeros(3, dtype=np.int64)) is None


@pytest.fixture
def frames(answers, tmp_path):
    """A folder of one training and three validation frames of 40 points, with answers for the latter."""
    rng = np.random.default_rng(0)
    K = torch.tensor([[[40.0, 0.0, 25.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]]])
    forward = torch.tensor([[[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]])
    cameras = Cameras(K, forward, torch.zeros(1, 3), (30, 50))
    boxes = made_boxes(np.array([[10.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3]]), np.array([0]))
    write_rig(tmp_path / "data", cameras, ["road", "car"], ["car"])
    for number in range(4):
        points = np.c_[rng.uniform([5, -2, -1], [20, 2, 1], (40, 3)), rng.random(40)].astype(np.float32)
        image = torch.full((1, 3, 30, 50), 40, dtype=torch.uint8)
        labels = rng.integers(0, 2, 40)
        write_frame(tmp_path / "data", made_frame(f"{number}", points, image, cameras, labels, None, boxes))
    write_split(tmp_path / "data", "train", ["3"])
    write_split(tmp_path / "data", "val", ["0", "1", "2"])
    offsets = np.arange(4) * 40
    save_network(tmp_path / "net", torch.nn.Linear(2, 2), RECORD, predicted=rng.integers(0, 2, 120), offsets=offsets)
    return tmp_path


def test_the_command_shows_predictions_of_the_validation_split(frames):
    words = ["show", "folder", "--root", "data", "--frame", "1", "--predictions", "net", "--superpixels", "true"]
    command = [str(Path(sys.executable).with_name("crosspoint")), *words]
    done = subprocess.run(command, cwd=frames, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    page = (frames / "show" / "1.html").read_text(encoding="utf-8")
    assert '"prediction"' in page and '"mistakes, ' in page and '"box: car"' in page
    with Image.open(frames / "show" / "1.png") as picture:
        assert picture.width == 1920


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--split", "train", "--predictions", "net"), "found answers for 3 frames in"),
        (("--predictions", "nothing"), "found no file"),
        (("--predictions", "data/calibration.yaml"), "found no arrays"),
        (("--frame", "3", "--predictions", "net"), "found frame 3, expected 0 to 2"),
    ],
)
def test_bad_predictions_are_one_line_on_the_command_line(frames, monkeypatch, capsys, words, message):
    monkeypatch.chdir(frames)
    arguments = ["show", "folder", "--root", "data", *words]
    assert main(arguments) == 2
    errors = capsys.readouterr().err
    assert message in errors and errors.count("\n") == 1
    assert not (frames / "show").exists()


def test_boxes_of_nuscenes_are_asked_for_where_it_has_some(frames, monkeypatch):
    """Its reader leaves them aside unless told: their table is large, and the test split has none."""
    monkeypatch.chdir(frames)
    asked = []

    def open_scenes(name, root, **options):
        asked.append((name, root, options))
        return FolderScenes("data", "train")

    monkeypatch.setattr("crosspoint.scene.datasets.build.open_scenes", open_scenes)
    arguments = ["show", "nuscenes", "--root", "nuscenes", "--split", "mini_val"]
    assert main(arguments) == 0
    assert asked == [("nuscenes", Path("nuscenes"), {"split": "mini_val", "boxes": None})]
