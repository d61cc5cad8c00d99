from __future__ import annotations

import base64
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.cli.main import main
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.folder import write_frame, write_rig
from crosspoint.scene.labels.manifest import Manifest, write_manifest
from crosspoint.scene.viz.class_colors import class_colors
from crosspoint.scene.viz.colorings import by_weak_label
from crosspoint.scene.viz.colors import UNKNOWN
from crosspoint.scene.viz.picture import draw_frame
from crosspoint.scene.viz.show import show
from tests.scene.frames import made_frame

CLASSES, WEAK = ["car", "gizmo"], ["sky", "gizmo", "car"]
SIZE = (30, 50)


@pytest.fixture
def frame() -> LidarSample:
    """Points around a LiDAR, some of which two cameras see."""
    rng = np.random.default_rng(0)
    points = np.c_[rng.uniform([-20, -15, -2], [30, 15, 3], (300, 3)), rng.random(300)].astype(np.float32)
    forward = torch.tensor([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]]).expand(2, 3, 3)
    K = torch.tensor([[40.0, 0.0, 25.0], [0.0, 40.0, 15.0], [0.0, 0.0, 1.0]]).expand(2, 3, 3)
    cameras = Cameras(K, forward, torch.tensor([[0.0, 0, 0], [1.0, 0, 0]]), SIZE)
    images = torch.zeros((2, 3, *SIZE), dtype=torch.uint8)
    made = made_frame("f 1", points, images, cameras, rng.integers(0, 2, 300))
    return replace(made, pixel_maps={"weak_labels": torch.from_numpy(rng.integers(0, 4, (2, *SIZE)))})


def test_points_have_the_color_of_their_pixel(frame: LidarSample) -> None:
    pair = pair_points(frame)
    coloring = by_weak_label(pair, CLASSES, WEAK)
    assert coloring.names == ["nothing said", *WEAK]
    expected = [0] * 300
    for point, view, (x, y) in zip(pair.pair_point, pair.pair_view, pair.pair_pixel.tolist(), strict=True):
        expected[point] = int(pair.pixel_maps["weak_labels"][view, int(y), int(x)])
    assert coloring.places.tolist() == expected and len({*expected}) == 4
    # a name has one color, whichever list it stands in
    assert np.array_equal(coloring.colors[0], UNKNOWN)
    assert np.array_equal(coloring.colors[[3, 2]], class_colors(CLASSES))


def test_they_stand_beside_the_truth_in_picture_and_page(frame: LidarSample, tmp_path: Path) -> None:
    def titles(frame: LidarSample, **given: object) -> tuple[list[str], list[str]]:
        axes = draw_frame(pair_points(frame), CLASSES, weak_classes=WEAK, **given).axes
        found = [part.get_title("left") for part in axes]
        return [name for name in found if "image" in name], [name for name in found if name and "image" not in name]

    images, maps = titles(frame)
    assert images[2:] == ["class, image 0", "class, image 1", "weak label, image 0", "weak label, image 1"]
    assert maps == ["class", "weak label"]
    images, maps = titles(frame, predictions=np.zeros(300, dtype=np.int64))
    assert [name.split(",")[0] for name in images[2::2]] == ["truth", "prediction", "weak label"]
    assert maps[:2] == ["truth", "prediction"] and maps[3] == "weak label"
    unlabeled = replace(frame, point_fields={"intensity": frame.point_fields["intensity"]})
    assert titles(unlabeled)[1] == ["height z, m", "weak label"]
    page = show(frame, tmp_path, classes=CLASSES, weak_classes=WEAK)[1].read_text(encoding="utf-8")
    content = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])
    shown = {one["title"]: one for one in content["colorings"]}
    assert list(shown) == ["class", "weak label", "height z, m", "intensity", "image"]
    places = np.frombuffer(base64.b64decode(shown["weak label"]["places"]), "<u2")
    assert np.array_equal(places, by_weak_label(pair_points(frame), CLASSES, WEAK).places)


def test_weak_labels_that_do_not_fit_are_refused(frame: LidarSample, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found no pixel map weak_labels in f 1, expected one of 3 classes"):
        show(replace(frame, pixel_maps={}), tmp_path, classes=CLASSES, weak_classes=WEAK)
    with pytest.raises(ValueError, match="found weak labels from 0 to 3 in f 1, expected 0 to 2"):
        show(frame, tmp_path, classes=CLASSES, weak_classes=WEAK[:2])
    assert not list(tmp_path.iterdir())


def test_the_command_takes_folders(frame: LidarSample, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    named = replace(frame, name="1")
    write_rig(tmp_path / "data", frame.cameras, CLASSES)
    write_frame(tmp_path / "data", named)
    for view, numbers in enumerate(frame.pixel_maps["weak_labels"].numpy().astype(np.uint8)):
        place = tmp_path / "weak" / "images" / f"camera_{view}" / "1.png"
        place.parent.mkdir(parents=True)
        Image.fromarray(numbers).save(place)
    write_manifest(tmp_path / "weak", Manifest("semantic", WEAK))
    words = ["show", "folder", "--root", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    maps = str(tmp_path / "weak")
    pictures = []
    for options in ([], ["--superpixels", maps]):
        assert main([*words, "--weak_labels", maps, *options]) == 0
        with Image.open(tmp_path / "out" / "1.png") as picture:
            pictures.append(np.asarray(picture.convert("RGB")))
    assert '"weak label"' in (tmp_path / "out" / "1.html").read_text(encoding="utf-8")
    outlined = (pictures[0] != pictures[1]).any(axis=2)
    assert outlined.any() and (pictures[1][outlined] > pictures[0][outlined]).any()  # lines are white
    assert main([*words, "--superpixels", str(tmp_path / "none")]) == 2
    assert "expected superpixels" in capfd.readouterr().err
