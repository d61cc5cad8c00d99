"""What networks say of a frame: read from the files that the protocols leave, and shown by the command."""

import json
import re
from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.checkpoints.record import Inputs
from crosspoint.cli.main import main
from crosspoint.eval.supervised.cloud_training import save_network
from crosspoint.eval.supervised.network_record import NetworkRecord
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sparse_depth import DEPTH, with_depth
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_rig, write_split
from crosspoint.scene.viz.object_colors import true_objects
from crosspoint.scene.viz.predictions import frame_answers
from tests.scene.frames import made_boxes, made_frame

CLASSES, BOXES = ["road", "car"], ["car", "cyclist"]

RECORD = NetworkRecord("points", {"class_path": "mine.Net", "init_args": {}}, Inputs(kind="voxels"), ["a"], {}, "toys")


@pytest.fixture
def frames(tmp_path):
    """Two frames of 60 points that one camera sees, with classes and boxes, as the split val."""
    rng = np.random.default_rng(0)
    K = torch.tensor([[[40.0, 0.0, 25.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]]])
    forward = torch.tensor([[[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]])
    boxes = made_boxes(np.array([[10.0, 0.0, 0.0, 4.0, 2.0, 1.5, 0.3]]), np.array([0]))
    write_rig(tmp_path / "data", Cameras(K, forward, torch.zeros(1, 3), (30, 50)), CLASSES, BOXES)
    for number in range(2):
        points = np.c_[rng.uniform([5, -2, -1], [20, 2, 1], (60, 3)), rng.random(60)].astype(np.float32)
        image = torch.full((1, 3, 30, 50), 40, dtype=torch.uint8)
        made = made_frame(f"{number}", points, image, Cameras(K, forward, torch.zeros(1, 3), (30, 50)))
        made = made_frame(f"{number}", points, image, made.cameras, rng.integers(0, 2, 60), None, boxes)
        write_frame(tmp_path / "data", made)
    write_split(tmp_path / "data", "val", ["0", "1"])
    return tmp_path


def saved(path, **arrays):
    save_network(path, torch.nn.Linear(2, 2), RECORD, **arrays)
    return path


def detections(path, **changes):
    boxes = np.array([[9.0, 0, 0, 4, 2, 1.5, 0], [12, 1, 0, 4, 2, 1.5, 1], [15, 1, 0, 2, 1, 1.5, 1]], dtype=np.float32)
    arrays = {"boxes": boxes, "labels": np.array([0, 1, 0]), "scores": np.array([0.9, 0.4, 0.1], dtype=np.float32)}
    return saved(path, **{**arrays, "offsets": np.array([0, 1, 3]), **changes})


def content_of(page):
    text = page.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text)[1])


def show(frames, folder, *words):
    given = ("show", "folder", "--root", frames / "data", "--predictions", folder, "--out", frames / "out", *words)
    return main([str(word) for word in given])


def test_boxes_of_each_frame_are_its_own(frames):
    folder = detections(frames / "net")
    first, second = (frame_answers(folder, frame, frames=2, points=60) for frame in (0, 1))
    assert first.boxes.labels.tolist() == [0] and second.boxes.labels.tolist() == [1, 0]
    assert second.boxes.geometry[:, 0].tolist() == [12, 15] and second.boxes.geometry.dtype == torch.float64
    np.testing.assert_allclose(second.scores, [0.4, 0.1], rtol=1e-6)
    assert first.classes is None and first.depth is None


def test_the_command_shows_boxes_beside_the_true_ones(frames):
    assert show(frames, detections(frames / "net"), "--frame", 1) == 0
    lines = {one["title"]: one for one in content_of(frames / "out" / "1.html")["lines"]}
    assert [(name, one["count"]) for name, one in lines.items()] == [
        ("box: car", 1), ("found: cyclist", 1), ("cameras", 1),
    ]  # fmt: skip
    assert lines["found: cyclist"]["color"] != lines["box: car"]["color"]
    with Image.open(frames / "out" / "1.png") as picture:
        assert picture.width == 1920


def test_the_command_shows_objects_beside_classes(frames):
    classes, objects = np.arange(120) % 2, np.where(np.arange(120) % 2, np.arange(120) // 20 + 1, 0)
    folder = saved(frames / "net", predicted=classes, instance=objects, offsets=np.array([0, 60, 120]))
    answers = frame_answers(folder, 1, frames=2, points=60)
    np.testing.assert_array_equal(answers.classes, classes[60:])
    np.testing.assert_array_equal(answers.objects, objects[60:])
    assert show(frames, folder, "--frame", 1) == 0
    titles = [one["title"] for one in content_of(frames / "out" / "1.html")["colorings"]]
    assert titles[:2] == ["truth", "prediction"] and titles[3:5] == ["true objects", "objects found"]


def test_true_objects_are_those_of_classes_that_have_some(frames):
    frame = FolderScenes(frames / "data", "val")[0]
    fields = {"label": torch.tensor([0, 1, 1, -1]), "instance": torch.tensor([3, 4, 0, 5])}
    frame = made_frame("x", np.zeros((4, 4), np.float32), frame.images, frame.cameras)
    object.__setattr__(frame, "point_fields", fields)
    assert true_objects(frame, CLASSES, ["car"]).tolist() == [0, 4, 0, 0]


def test_the_command_shows_depth_beside_what_was_measured(frames, monkeypatch):
    told = np.linspace(5, 20, 20 * 40).reshape(1, 1, 20, 40).astype(np.float16)
    folder = saved(frames / "net", errors=np.zeros((2, 9)), shown=told, frames=np.array([1]))
    drawn = []
    module = import_module("crosspoint.scene.viz.show")  # the package has a function of this name
    monkeypatch.setattr(module, "draw_depth", lambda *given: drawn.append(given) or Figure())
    assert show(frames, folder, "--frame", 1) == 0
    (images, truth, seen), frame = drawn[0], with_depth(FolderScenes(frames / "data", "val")[1])
    np.testing.assert_array_equal(truth, frame.pixel_maps[DEPTH].numpy()[:, 10:, 5:45])  # the bottom, in the middle
    np.testing.assert_array_equal(seen, told[0])
    assert images.shape == (1, 3, 20, 40)


class Figure:
    """A figure that is not drawn."""

    def savefig(self, file, **_):
        file.write(b"picture")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"shown": np.ones((1, 1, 20, 40)), "frames": np.array([1])}, "the depth of the frames 1 in"),
        (
            {"shown": np.ones((1, 1, 40, 50)), "frames": np.array([0])},
            "the depth of images (1, 40, 50) for 0, expected",
        ),
        ({"shown": np.ones((1, 40)), "frames": np.array([0])}, "that cannot be read"),
        ({"boxes": np.ones((1, 7)), "scores": np.ones(1)}, "that cannot be read"),
        (
            {"boxes": np.ones((1, 7)), "labels": np.zeros(1, int), "scores": np.ones(1), "offsets": np.array([0, 1])},
            "found answers for 1 frames in",
        ),
        (
            {"boxes": np.ones((1, 7)), "labels": np.ones(1, int), "scores": np.ones(1), "offsets": np.array([0, 2, 1])},
            "that cannot be read (boxes of shape (1, 7)",
        ),
        (
            {"boxes": np.ones((1, 7)), "labels": np.full(1, 2), "scores": np.ones(1), "offsets": np.array([0, 1, 1])},
            "found boxes of labels from 0 to 2",
        ),
        (
            {"predicted": np.zeros(120, int), "instance": np.zeros(119, int), "offsets": np.array([0, 60, 120])},
            "found offsets",
        ),
    ],
)
def test_answers_that_cannot_be_shown_are_one_line(frames, capsys, arrays, told):
    folder = saved(frames / "net", **arrays)
    capsys.readouterr()
    assert show(frames, folder) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and told in lines[0] and "expected" in lines[0]
    assert not (frames / "out").exists()
