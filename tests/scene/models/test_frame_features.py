from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from crosspoint import load_pretrained, save_encoder
from crosspoint.checkpoints.record import Inputs
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.models.frame_features import frame_features
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pointnet2 import PointNet2
from crosspoint.scene.ops.voxels import VoxelConfig, cells

TINY = {"stem": 4, "encoder": [4, 8], "encoder_blocks": [1, 1], "decoder": [8, 5], "decoder_blocks": [1, 1]}
VOXELS = VoxelConfig(kind="cartesian", size=0.5, intensity_scale=255.0)


@pytest.fixture
def frame():
    generator = torch.Generator().manual_seed(0)
    points = torch.rand(500, 3, generator=generator) * torch.tensor([6.0, 6.0, 2.0]) - 3
    return LidarSample("a street", points, {"intensity": torch.rand(500, generator=generator)})


@pytest.fixture
def written(tmp_path):
    def write(encoder, inputs):
        path = tmp_path / "encoder.safetensors"
        save_encoder(encoder, path, inputs)
        return load_pretrained(path)

    return write


def of_voxels(config=VOXELS):
    return Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(config))


def tiny(**changes):
    torch.manual_seed(0)
    return MinkUNet(**{**TINY, **changes})


def test_each_point_has_the_feature_of_the_voxel_that_holds_it(frame, written):
    """By the transform of the checkpoint and a search, point by point."""
    pretrained = written(tiny(), of_voxels())
    found = frame_features(pretrained, frame)
    assert found.shape == (500, 5) and found.dtype == np.float32
    voxels = pretrained.transform(frame.points_with("intensity"))
    with torch.no_grad():
        described = pretrained.encoder(voxels)
    for cell, feature in zip(cells(frame.points, VOXELS), found, strict=True):
        [row] = (voxels.coordinates[:, 1:] == cell).all(dim=1).nonzero()[:, 0].tolist()
        np.testing.assert_allclose(feature, described[row].numpy(), atol=1e-6)
    assert len(np.unique(found, axis=0)) == len(described) < 500


def test_fields_beside_the_intensity_and_the_order_of_points_change_nothing(frame, written):
    pretrained = written(tiny(), of_voxels())
    frame = replace(frame, point_fields={"intensity": torch.full((500,), 0.3)})  # any point may stand for its voxel
    expected = frame_features(pretrained, frame)
    order = torch.randperm(500, generator=torch.Generator().manual_seed(1))
    fields = {"label": torch.zeros(500, dtype=torch.int64), "intensity": frame.point_fields["intensity"]}
    mixed = replace(frame, points=frame.points[order], point_fields=fields)
    np.testing.assert_allclose(frame_features(pretrained, mixed), expected[order.numpy()], atol=1e-6)


def test_checkpoints_without_features_of_all_points_are_refused(frame, written, write_checkpoint, tmp_path):
    write_checkpoint(tmp_path / "objects.ckpt")
    sweeps = Inputs(kind="sweeps", up_axis="z", unit_sphere=False)
    wide = of_voxels(replace(VOXELS, features="xyz_intensity"))
    for given, message in (
        (lambda: load_pretrained(tmp_path / "objects.ckpt"), "found a DGCNN in .*which describes whole clouds of obj"),
        (lambda: written(PointNet2.small(), sweeps), "found a PointNet2 in .*which describes a sample of a frame's"),
        (lambda: written(tiny(), wide), "found a MinkUNet for 1 features of a voxel in .*, expected 4"),
    ):
        with pytest.raises(ValueError, match=message) as caught:
            frame_features(given(), frame)
        assert "\n" not in str(caught.value)


def test_weights_that_have_diverged_and_clouds_without_intensity_are_refused(frame, written):
    broken = tiny()
    broken.decoder[-1][0].norm1.norm.weight.data[0] = torch.nan
    with pytest.raises(ValueError, match=r"found NaN or infinity in decoder\.1\.0\.norm1\.norm\.weight of .*earlier"):
        written(broken, of_voxels())
    diverged = written(tiny(), of_voxels())
    diverged.encoder.decoder[-1][0].norm1.norm.weight.data[0] = torch.nan
    with pytest.raises(ValueError, match=r"found NaN or infinite features in \d+ of \d+ voxels of a street, .*earlier"):
        frame_features(diverged, frame)
    with pytest.raises(ValueError, match="found no point field 'intensity' in a street"):
        frame_features(written(tiny(), of_voxels()), replace(frame, point_fields={}))
