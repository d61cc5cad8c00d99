from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from crosspoint.eval.panoptic.instance_frames import InstanceFrames, thing_classes
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.nuscenes_panoptic import NuScenesPanoptic
from crosspoint.scene.datasets.semantickitti import SemanticKitti
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from tests.eval.panoptic.yards import CLASSES, VOXELS, CrateYard
from tests.scene.frames import with_field


class Changed(CrateYard):
    """Frames whose objects something happened to."""

    def __init__(self, change: Callable[[np.ndarray], Any]) -> None:
        super().__init__(2)
        self.change = change

    def __getitem__(self, index: int) -> LidarSample:
        frame = super().__getitem__(index)
        return with_field(frame, "instance", self.change(frame.point_fields["instance"].numpy()))


def test_augmentation_moves_objects_and_keeps_them() -> None:
    plain, turned = (InstanceFrames(CrateYard(2), VOXELS, augment=augment) for augment in (False, True))
    before, after = plain[1, 5], turned[1, 5]
    assert not torch.allclose(before.points, after.points)
    for name in ("label", "instance"):
        assert torch.equal(before.point_fields[name], after.point_fields[name])
    for number in (1, 2, 3):
        mine = before.point_fields["instance"] == number
        shapes = [torch.cdist(frame.points[mine], frame.points[mine]) for frame in (before, after)]
        torch.testing.assert_close(*shapes, rtol=0, atol=2e-3)
    assert torch.equal(turned[1, 5].points, after.points) and not torch.equal(turned[1, 6].points, after.points)


def test_frames_are_known_again_by_their_objects() -> None:
    one, other = (InstanceFrames(dataset, VOXELS) for dataset in (CrateYard(2), Changed(lambda objects: objects * 2)))
    assert one.fingerprint().shape[1] == 6 and not np.array_equal(one.fingerprint(), other.fingerprint())
    assert {*one.cloud(0).point_fields} == {"intensity", "label", "instance"}


def test_frames_without_objects_are_refused() -> None:
    with pytest.raises(ValueError, match="found no objects in yard 0, expected the number of one at each point: take"):
        InstanceFrames(Changed(lambda objects: None), VOXELS)
    with pytest.raises(ValueError, match="found the object -1 in yard 0, expected 0 for none"):
        InstanceFrames(Changed(lambda objects: objects - 1), VOXELS)
    things = torch.tensor([False, False, True])
    InstanceFrames(CrateYard(2), VOXELS).check_objects(things)
    for none in (Changed(lambda objects: objects * 0), CrateYard(3, crates=0)):
        frames = InstanceFrames(none, VOXELS)
        with pytest.raises(ValueError, match=f"found no object of crate in {len(none)} frames of yard, expected at"):
            frames.check_objects(things)


def test_things_are_those_of_the_dataset_or_those_that_are_named() -> None:
    yard = CrateYard(1)
    assert thing_classes(yard, None).tolist() == [False, False, True]
    assert thing_classes(yard, ["wall", "ground"]).tolist() == [True, True, False]
    with pytest.raises(ValueError, match=r"found the class 'lorry' among things, expected some of .*crate"):
        thing_classes(yard, ["lorry"])
    for things in ([], None):
        yard.things = ()
        with pytest.raises(ValueError, match="found no class of yard that has objects, expected at least one: take a"):
            thing_classes(yard, things)
    assert yard.classes == CLASSES


def test_things_of_the_benchmarks() -> None:
    """`thing_class` of semantic-kitti.yaml, and the table of nuScenes' panoptic challenge."""
    kitti = "car bicycle motorcycle truck other-vehicle person bicyclist motorcyclist"
    nuscenes = "barrier bicycle bus car construction_vehicle motorcycle pedestrian traffic_cone trailer truck"
    assert " ".join(SemanticKitti.things) == kitti and SemanticKitti.least_points == 50
    assert " ".join(NuScenesPanoptic.things) == nuscenes and NuScenesPanoptic.least_points == 15
    made = SyntheticScenes(split="val")
    assert thing_classes(made, None).nonzero()[:, 0].tolist() == [8, 9] and made.least_points == 30
