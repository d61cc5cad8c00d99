"""VoxelNet as the encoder of every method of voxels, and the extent that it looks at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint import Compute, TrainingConfig, load_pretrained, pretrain
from crosspoint.renderers import Cameras
from crosspoint.scene.data.batch import stack_samples
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.folder_writing import write_frame
from crosspoint.scene.datasets.rig import write_rig
from crosspoint.scene.methods import CMCR, OLIVINE, PPKT, SLidR
from crosspoint.scene.models.occupancy import OccupancyConfig
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.models.voxelnet import VoxelNet
from crosspoint.scene.ops.voxels import VoxelConfig, voxelize
from tests.scene.frames import made_frame as frame_of_rows
from tests.scene.methods.test_ppkt import SIZE, made_frame

VOXELS = VoxelConfig("cartesian", 0.2, height=0.1, extent=(0, -4, -2, 8, 4, 2), features="xyz_intensity", average=True)
FEW = OccupancyConfig(behind=12, before=10, between=6, radius=1.0, neighbors=3, width=8)
SETTINGS = {
    PPKT: {},
    SLidR: {},
    OLIVINE: {},
    CMCR: {"augmentation": SceneAugmentation(size=SIZE, cuboid=0.0), "pairs": 40, "codes": 12, "occupancy": FEW},
}


def small(grid: tuple[int, int, int] = (40, 40, 40)) -> VoxelNet:
    torch.manual_seed(0)
    return VoxelNet(widths=(4, 4, 8, 8), out_channels=8, grid=grid)


def labeled_frame(seed: int) -> LidarSample:
    frame = made_frame(seed)
    regions = torch.arange(SIZE[0] * SIZE[1]).view(1, *SIZE).expand(2, -1, -1) // 200
    labels = torch.arange(len(frame.pair_point)) % 3
    return replace(frame, pixel_maps={"superpixels": regions}, pair_fields={"weak_label": labels})


@pytest.mark.parametrize("kind", SETTINGS, ids=lambda kind: kind.__name__)
def test_every_method_of_voxels_trains_it(kind: type) -> None:
    teacher = PixelEncoder(network="resnet18", dilated=True, projection=16)
    method = kind(small(), teacher, voxels=VOXELS, **SETTINGS[kind])
    if isinstance(method, OLIVINE):
        method.set_classes(2)
    batch = method.collate([labeled_frame(1), labeled_frame(2)])
    loss = method.training_step(batch, torch.manual_seed(0))["loss"]
    loss.backward()
    assert torch.isfinite(loss)
    assert all(weight.grad is not None for weight in method.encoder.parameters())
    assert float(method.encoder.get_parameter("stages.0.0.0.kernel").grad.abs().max()) > 0
    assert method.inputs(None).voxels["extent"] == VOXELS.extent


def test_points_outside_of_the_extent_leave_with_their_pairs() -> None:
    frame = made_frame(1)
    short = replace(VOXELS, extent=(0, -4, -2, 8, 0, 2))
    batch = stack_samples([frame, frame], short)
    keep = (frame.points[:, 1] < 0) & (frame.points[:, 2].abs() < 2)
    assert torch.equal(batch.points, frame.points[keep].repeat(2, 1))
    seen = keep[frame.pair_point]
    assert torch.equal(batch.points[batch.pair_point], frame.points[frame.pair_point[seen]].repeat(2, 1))
    assert torch.equal(batch.pair_pixel, frame.pair_pixel[seen].repeat(2, 1))
    assert int(batch.voxelized.coordinates[:, 1:].min()) >= 0
    with pytest.raises(ValueError, match="found no point of wall 1 within the extent"):
        stack_samples([frame], replace(VOXELS, extent=(0, -4, -2, 4, 4, 2)))


def test_an_encoder_for_another_space_is_refused() -> None:
    teacher = PixelEncoder(network="resnet18", dilated=True, projection=16)
    with pytest.raises(ValueError, match=r"found encoder.grid \[40, 40, 40\] and method.voxels with no extent"):
        PPKT(small(), teacher, voxels=replace(VOXELS, extent=None))
    with pytest.raises(ValueError, match=r"with an extent of \[40, 40, 40\] voxels, expected both alike"):
        PPKT(small((48, 40, 40)), teacher, voxels=VOXELS)


def test_pre_training_leaves_a_checkpoint_that_knows_its_extent(tmp_path: Path) -> None:
    root = tmp_path / "rig"
    K, R = (
        torch.tensor([[[40.0, 0, 24], [0, 40, 16], [0, 0, 1]]]),
        torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]]),
    )
    cameras = Cameras(K, R, torch.zeros(1, 3), SIZE)
    write_rig(root, cameras)
    for number in range(2):
        rng = np.random.default_rng(number)
        points = rng.uniform([3, -3, -1.5, 0], [9, 3, 1.5, 1], (1500, 4)).astype(
            np.float32
        )  # some of them too far away
        images = torch.from_numpy(rng.integers(0, 256, (1, 3, *SIZE), dtype=np.uint8))
        write_frame(root, frame_of_rows(f"{number}", points, images, cameras))
    method = PPKT(
        small(),
        PixelEncoder(network="resnet18", projection=8),
        pairs=100,
        voxels=VOXELS,
        augmentation=SceneAugmentation(size=SIZE, pairs=64, rotate=False, flip_points=0.0),
    )
    last = pretrain(
        method,
        FolderScenes(root),
        out=tmp_path / "run",
        training=TrainingConfig(epochs=1, batch_size=2, learning_rate=0.01),
        compute=Compute(accelerator="cpu", workers=0),
    )
    pretrained = load_pretrained(last)
    assert isinstance(pretrained.encoder, VoxelNet) and pretrained.encoder.grid == (40, 40, 40)
    assert VoxelConfig(**(pretrained.inputs.voxels or {})) == VOXELS
    kernel = "stages.0.0.0.kernel"
    assert not torch.equal(pretrained.encoder.get_parameter(kernel), small().get_parameter(kernel))
    sweep = FolderScenes(root)[0].points_with("intensity")
    seen = pretrained.transform(sweep.numpy())
    assert len(seen.coordinates) == len(voxelize(sweep[VOXELS.inside(sweep)], VOXELS).coordinates)
    assert pretrained.encoder(seen).shape == (len(seen.coordinates), 8)
