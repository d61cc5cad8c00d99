"""The whole detector: the public numbers of parameters, and that it learns a few frames."""

from __future__ import annotations

import pytest
import torch

from crosspoint.scene.detection.anchors import KITTI
from crosspoint.scene.detection.birdseye_backbone import BirdsEyeBackbone
from crosspoint.scene.detection.detector import DetectorConfig, build_detector
from crosspoint.scene.models.voxelnet import VoxelNet
from crosspoint.scene.ops.voxels import VoxelConfig, collate, voxelize

VOXELS = VoxelConfig(
    "cartesian", 0.05, height=0.1, extent=(0, -40, -3, 70.4, 40, 1), features="xyz_intensity", average=True
)
NAMES = ["Car", "Pedestrian", "Cyclist"]


def test_second_on_kitti_has_the_public_number_of_parameters() -> None:
    """OpenPCDet's second.yaml: VoxelBackBone8x, BaseBEVBackbone of 256 inputs, AnchorHeadSingle."""
    first = 9 * 256 * 128 + 5 * 9 * 128 * 128
    second = 9 * 128 * 256 + 5 * 9 * 256 * 256
    up = 128 * 256 + 4 * 256 * 256
    norms = 2 * (6 * 128 + 6 * 256 + 2 * 256)
    backbone = first + second + up + norms
    assert backbone == 4_576_768 == sum(w.numel() for w in BirdsEyeBackbone(256).parameters())
    with torch.device("meta"):
        encoder = VoxelNet(grid=(1408, 1600, 40), margin=1)
    detector = build_detector(VoxelNet(grid=(64, 64, 40)), NAMES, VOXELS, DetectorConfig("anchor", anchors=[*KITTI]))
    assert detector.encoder.config == encoder.config
    assert sum(weight.numel() for weight in detector.parameters()) == 711_872 + backbone + 36_936 == 5_325_576


@pytest.mark.parametrize("size", [(12, 10), (13, 11)])
def test_a_backbone_keeps_the_size_of_its_map(size: tuple[int, int]) -> None:
    network = BirdsEyeBackbone(3, widths=(4, 5, 6), layers=(1, 0, 2), up=7)
    assert network(torch.rand(2, 3, *size)).shape == (2, 21, *size)


SMALL = VoxelConfig("cartesian", 0.2, extent=(0, -3.2, -4, 12.8, 3.2, 4), features="xyz_intensity", average=True)
TINY = dict(widths=[4, 8], layers=[1, 1], up=8, center_width=8)


@pytest.mark.parametrize("head", ["center", "anchor"])
def test_all_of_a_detector_gets_a_gradient(head: str) -> None:
    from crosspoint.scene.data.sample import Boxes

    torch.manual_seed(0)
    config = DetectorConfig(head, **TINY, anchors=[*KITTI])
    detector = build_detector(VoxelNet.small(grid=(32, 32, 40)), NAMES, SMALL, config)
    points = torch.rand(400, 4) * torch.tensor([12.0, 6, 3, 1]) - torch.tensor([0.0, 3, 2, 0])
    voxels = collate([voxelize(points, SMALL), voxelize(points[:100], SMALL)])
    boxes = Boxes(torch.tensor([[5.0, 0, -1, 4, 1.6, 1.5, 0.1]], dtype=torch.float64), torch.tensor([0]))
    loss = sum(detector.head.loss(detector(voxels), [boxes, boxes]).values())
    loss.backward()
    missing = [name for name, weight in detector.named_parameters() if weight.grad is None]
    assert missing == []
    found = detector.eval().head.detect(detector(voxels))
    assert len(found) == 2 and all(part.geometry.shape[1] == 7 for part in found)


def test_settings_that_do_not_fit_are_said() -> None:
    encoder = VoxelNet.small(grid=(32, 32, 40))
    with pytest.raises(ValueError, match="found voxels without an extent, expected one for a detector"):
        build_detector(encoder, NAMES, VoxelConfig("cartesian"), DetectorConfig())
    with pytest.raises(
        ValueError, match=r"found detector\.groups of Car, Bus, expected each of Car, Pedestrian, Cyclist"
    ):
        build_detector(encoder, NAMES, SMALL, DetectorConfig(groups=[["Car"], ["Bus"]]))
    with pytest.raises(ValueError, match=r"found detector\.anchors of Car, expected each of"):
        build_detector(encoder, NAMES, SMALL, DetectorConfig("anchor", anchors=[KITTI[0]]))
    with pytest.raises(ValueError, match="found the head 'points', expected center or anchor"):
        DetectorConfig("points")
