from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.rellis3d import CLASS_OF_LABEL, CLASSES, Rellis3d
from tests.scene.frames import labels_of, returns

DATA = Path(__file__).parents[4] / "shared" / "data" / "rellis3d_frame"
# as the sensor gives them: x backward, y right
POINTS = np.array([[-10, 0, 0, 1 / 128], [0, 0, 0, 0], [-10, -2, 1, 1 / 64], [-20, 4, -1, 0]], dtype=np.float32)
LABELS = np.array([3, 0, 34, 0], dtype=np.uint32)
# the camera looks along the sensor's −x, its right is +y, its down −z; 1 m ahead of the sensor
POSE = "os1_cloud_node-pylon_camera_node:\n  q: {w: -0.5, x: 0.5, y: 0.5, z: -0.5}\n  t: {x: -1, y: 0, z: 0}\n"


def write_calibration(folder: Path) -> None:
    (folder / "camera_info.txt").write_text("100 100 50 30")
    (folder / "transforms.yaml").write_text(POSE)


def write_frames(root: Path, sequence: str, sweeps: str = "0123", images: str = "0123") -> None:
    folder = root / sequence
    for kind in ("os1_cloud_node_kitti_bin", "os1_cloud_node_semantickitti_label_id", "pylon_camera_node"):
        (folder / kind).mkdir(parents=True)
    for number in sweeps:
        POINTS.tofile(folder / "os1_cloud_node_kitti_bin" / f"00010{number}.bin")
        LABELS.tofile(folder / "os1_cloud_node_semantickitti_label_id" / f"00010{number}.label")
    for number in images:
        Image.new("RGB", (100, 60)).save(folder / "pylon_camera_node" / f"frame00010{number}-158{number}_149.jpg")
    write_calibration(folder)


def test_points_look_forward_and_land_where_the_calibration_says(tmp_path: Path) -> None:
    write_frames(tmp_path, "00000")
    frame = Rellis3d(tmp_path)[0]
    assert frame.name == "00000/000100"
    ahead = np.array([[10, 0, 0], [10, 2, 1], [20, -4, -1]])
    assert np.array_equal(returns(frame)[:, :3], ahead)
    assert returns(frame)[:, 3].tolist() == [0.5, 1, 0]
    assert labels_of(frame) is not None
    assert labels_of(frame).tolist() == [CLASSES.index("grass"), CLASSES.index("rubble"), IGNORED]
    pixels, depth = frame.cameras.project(torch.from_numpy(returns(frame)[:, :3]))
    x, y, z = ahead.T
    assert np.allclose(depth[0], x - 1)
    assert np.allclose(pixels[0], np.stack([100 * -y / (x - 1) + 50.5, 100 * -z / (x - 1) + 30.5], axis=1))


def test_frames_have_an_image(tmp_path: Path) -> None:
    write_frames(tmp_path, "00000", images="13")
    write_frames(tmp_path, "00001", sweeps="01", images="0123")
    assert [frame.name for frame in Rellis3d(tmp_path)] == [
        "00000/000101",
        "00000/000103",
        "00001/000100",
        "00001/000101",
    ]
    line = "{0}/os1_cloud_node_kitti_bin/{1}.bin {0}/os1_cloud_node_semantickitti_label_id/{1}.label\n"
    (tmp_path / "pt_val.lst").write_text(line.format("00001", "000101") + line.format("00000", "000103"))
    assert [frame.name for frame in Rellis3d(tmp_path, "val")] == ["00001/000101", "00000/000103"]
    assert len(Rellis3d(tmp_path, "val", skip=2)) == 1
    (tmp_path / "pt_val.lst").write_text("00001/000101.bin\n")
    with pytest.raises(ValueError, match=r"found the line '00001/000101.bin' in .*pt_val.lst"):
        Rellis3d(tmp_path, "val")
    with pytest.raises(FileNotFoundError, match=r"found no file .*pt_train.lst"):
        Rellis3d(tmp_path, "train")


def test_what_is_missing_or_broken_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no .*00000/os1_cloud_node_kitti_bin"):
        Rellis3d(tmp_path)
    write_frames(tmp_path, "00000", images="")
    with pytest.raises(FileNotFoundError, match=r"found no image of 4 sweeps"):
        Rellis3d(tmp_path)
    write_frames(tmp_path, "00001")
    (tmp_path / "00001" / "camera_info.txt").write_text("100 100 50")
    with pytest.raises(ValueError, match=r"found '100 100 50' in .*camera_info.txt, expected the four numbers"):
        Rellis3d(tmp_path)
    write_calibration(tmp_path / "00001")
    (tmp_path / "00001" / "transforms.yaml").write_text(POSE.replace("os1_cloud_node-pylon", "os1-pylon"))
    with pytest.raises(ValueError, match=r"found no os1_cloud_node-pylon_camera_node in .*transforms.yaml"):
        Rellis3d(tmp_path)
    (tmp_path / "00001" / "transforms.yaml").write_text(POSE.replace("w: -0.5", "w: -5"))
    with pytest.raises(ValueError, match=r"transforms.yaml: found a quaternion of length 5"):
        Rellis3d(tmp_path)


def test_classes_are_those_of_the_protocol() -> None:
    kept = [1, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 17, 18, 19, 23, 27, 31, 33, 34]
    assert CLASS_OF_LABEL == {0: IGNORED} | {label: place for place, label in enumerate(kept)}
    assert len(CLASSES) == 19


def label_agreement(dataset: Rellis3d, turn: float = 0.0) -> float:
    """How many points have the label that the image has at their pixel, after a turn of the cloud in degrees."""
    frame = dataset[0]
    angle = np.radians(turn)
    c, s = np.cos(angle), np.sin(angle)
    matrix = torch.tensor([[c, s, 0], [-s, c, 0], [0, 0, 1]], dtype=torch.float32)
    pair = pair_points(replace(frame, points=frame.points @ matrix))
    raw = np.array(Image.open(dataset.files(0)[1].with_suffix(".png")))
    x, y = pair.pair_pixel.floor().long().numpy().T
    drawn = np.vectorize(CLASS_OF_LABEL.__getitem__)(raw[y, x])
    labels = pair.point_fields["label"][pair.pair_point].numpy()
    both = (drawn != IGNORED) & (labels != IGNORED)
    assert both.sum() > 1000
    return float((drawn == labels)[both].mean())


@pytest.mark.skipif(not DATA.is_dir(), reason=f"needs the RELLIS-3D frame in {DATA}")
def test_labels_of_points_and_pixels_agree_in_a_real_frame() -> None:
    dataset = Rellis3d(DATA)
    frame = dataset[0]
    assert len(dataset) == 1
    assert len(returns(frame)) == 131_072 - 53_364
    assert 0.02 < np.median(returns(frame)[:, 3]) < 0.5
    agreement = label_agreement(dataset)
    assert agreement > 0.75
    for turn in (-15.0, -8.0, 8.0, 15.0):
        assert label_agreement(dataset, turn) < agreement - 0.03


def test_the_official_classes_are_fourteen(tmp_path: Path) -> None:
    """learning_map of https://github.com/unmannedlab/RELLIS-3D, benchmarks/SalsaNext, where 0 is ignored."""
    write_frames(tmp_path, "00000")
    dataset = Rellis3d(tmp_path, class_map="official")
    theirs = {3: 1, 4: 2, 5: 3, 6: 4, 8: 5, 15: 6, 17: 7, 18: 8, 19: 9, 23: 10, 27: 11, 31: 12, 33: 13, 34: 14}
    theirs |= dict.fromkeys((0, 1, 7, 9, 10, 12), 0)
    assert {label: place + 1 for label, place in dataset._class_of_label.items()} == theirs
    assert set(theirs) == set(CLASS_OF_LABEL) and len(dataset.classes) == 14
    for label, name in ((3, "grass"), (34, "rubble")):
        assert dataset.classes[theirs[label] - 1] == name == CLASSES[CLASS_OF_LABEL[label]]
    assert labels_of(dataset[0]).tolist() == [0, 13, IGNORED]
    np.array([1, 0, 12, 8], dtype=np.uint32).tofile(dataset.label_files(0)[0])
    assert labels_of(dataset[0]).tolist() == [IGNORED, IGNORED, dataset.classes.index("vehicle")]
    with pytest.raises(ValueError, match=r"found the class_map 'seal', expected one of: papers, official"):
        Rellis3d(tmp_path, class_map="seal")


def test_sweeps_without_images(tmp_path: Path) -> None:
    write_frames(tmp_path, "00000", images="1")
    with_image, every = Rellis3d(tmp_path)[0], Rellis3d(tmp_path, images=False)
    assert len(every) == 4 and every.image_files(1) == [] and len(every.files(1)) == 2
    assert every[1].name == with_image.name and np.array_equal(returns(every[1]), returns(with_image))
    assert len(every[1].images) == 0 and labels_of(every[1]).tolist() == labels_of(with_image).tolist()
