"""Shares of the labels: which frames 1, 5, 10, 25 and 50 % are, as papers take them."""

from __future__ import annotations

from pathlib import Path

import pytest

from crosspoint.eval.supervised.labeled_frames import LabeledFrames, label_step
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.nuscenes import NuScenes
from crosspoint.scene.datasets.nuscenes_splits import split_scenes
from crosspoint.scene.datasets.rellis3d import Rellis3d
from crosspoint.scene.datasets.semantickitti import SPLITS, SemanticKitti
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.datasets.test_nuscenes import FRONT, write
from tests.scene.datasets.test_rellis3d import write_frames
from tests.scene.datasets.test_semantickitti import write_sequence

VOXELS = VoxelConfig(kind="cartesian", size=0.1)


def chosen(dataset: LidarDataset, fraction: float) -> list[str]:
    """The frames that segmentation trains on."""
    frames = LabeledFrames(dataset, VOXELS, every=label_step(fraction))
    return [frames.cloud(number).name for number in range(len(frames))]


def test_every_hundredth_sweep_of_all_sequences_in_order(tmp_path: Path) -> None:
    for name in SPLITS["train"]:
        write_sequence(tmp_path, name, 21)
    dataset = SemanticKitti(tmp_path)
    every = [f"{name}/{number:06}" for name in SPLITS["train"] for number in range(21)]
    for fraction, step in ((1.0, 1), (0.5, 2), (0.25, 4), (0.1, 10), (0.05, 20), (0.01, 100)):
        assert chosen(dataset, fraction) == every[::step]
        assert [frame.name for frame in SemanticKitti(tmp_path, skip=step)] == every[::step]


def test_shares_of_nuscenes_are_of_scenes(tmp_path: Path) -> None:
    """As `skip` takes them, and as SLidR does: the counter of scenes, which begins at 1, divides by the step."""
    scenes = sorted(split_scenes("train"))[:9]
    dataset = NuScenes(write(tmp_path, ["scene-0003", *scenes]), "train", **FRONT)
    for fraction, step in ((1.0, 1), (0.5, 2), (0.25, 4)):
        kept = [scene for counter, scene in enumerate(scenes, start=1) if counter % step == 0]
        assert chosen(dataset, fraction) == [f"{scene}/{scene}-{number}" for scene in kept for number in range(2)]
        assert chosen(dataset, fraction) == [frame.name for frame in NuScenes(tmp_path, "train", skip=step, **FRONT)]
    with pytest.raises(ValueError, match=r"found 9 scenes in nuscenes \(train\), expected 10 or more"):
        chosen(dataset, 0.1)


def test_shares_of_rellis_follow_the_paths_and_not_the_list(tmp_path: Path) -> None:
    write_frames(tmp_path, "00000")
    write_frames(tmp_path, "00001")
    line = "{0}/os1_cloud_node_kitti_bin/{1}.bin {0}/os1_cloud_node_semantickitti_label_id/{1}.label\n"
    listed = [("00001", "000103"), ("00000", "000102"), ("00000", "000100"), ("00001", "000101"), ("00000", "000101")]
    (tmp_path / "pt_train.lst").write_text("".join(line.format(*each) for each in listed))
    dataset = Rellis3d(tmp_path, "train")
    assert [frame.name for frame in dataset] == ["/".join(each) for each in listed]
    assert chosen(dataset, 0.5) == ["00000/000100", "00000/000102", "00001/000103"]
