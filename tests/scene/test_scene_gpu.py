"""Scenes on a GPU: the CPU's results, and runs of every method; skipped where there is none."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from crosspoint import Compute, TrainingConfig, load_pretrained, pretrain
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.models.image_teacher import ImageTeacher
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.superpixels import SuperpixelConfig
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.folder import FolderScenes, write_frame, write_rig
from crosspoint.scene.methods import CMCR, OLIVINE, PPKT, Regression, SimIPU, SLidR
from crosspoint.scene.methods.olivine import DistributionSchedule
from crosspoint.scene.methods.scene_method import SceneMethod
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pixel_encoder import PixelEncoder, ResNetMaps
from crosspoint.scene.models.pointnet2 import PointNet2
from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.frames import made_frame

VOXELS = VoxelConfig(kind="cartesian", size=0.5)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none"),
]


def small_network() -> MinkUNet:
    return MinkUNet(stem=4, encoder=[4, 8], encoder_blocks=[1, 1], decoder=[8, 8], decoder_blocks=[1, 1])


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four frames before one camera, in the plain-folder format."""
    root = tmp_path_factory.mktemp("rig")
    K = torch.tensor([[[60.0, 0, 48], [0, 60, 32], [0, 0, 1]]])
    R = torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]])
    cameras = Cameras(K, R, torch.zeros(1, 3), (64, 96))
    write_rig(root, cameras, ["wall"])
    for number in range(4):
        generator = np.random.default_rng(number)
        points = generator.uniform([4, -3, -2, 0], [12, 3, 2, 1], (1500, 4)).astype(np.float32)
        images = torch.from_numpy(generator.integers(0, 256, (1, 3, 64, 96), dtype=np.uint8))
        write_frame(root, made_frame(f"{number}", points, images, cameras, np.zeros(1500, dtype=np.int64)))
        path = root / "weak" / "images" / "camera_0" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 3, (64, 96), dtype=np.uint8)).save(path)
    manifest = {"format": 1, "kind": "semantic", "classes": ["one", "two"]}
    (root / "weak" / "manifest.json").write_text(json.dumps(manifest))
    return root


def small_method(name: str, folder: Path) -> SceneMethod:
    torch.manual_seed(0)
    augmentation = SceneAugmentation(size=(32, 64), pairs=64)
    if name == "simipu":
        return SimIPU(PointNet2(stages="small"), ResNetMaps(network="resnet18"), points=1100, augmentation=augmentation)
    if name == "regression":
        teacher = ImageTeacher(network="test_vit", layers=[-1, -2])
        return Regression(small_network(), teacher, standardize=True, voxels=VOXELS, augmentation=augmentation)
    pixels = PixelEncoder(network="resnet18", projection=8)
    if name == "olivine":
        schedule = DistributionSchedule(decay=0.1, update_steps=None, apply_after=1)
        return OLIVINE(
            small_network(), pixels, pairs=200, distributions=schedule, voxels=VOXELS, augmentation=augmentation
        )
    if name == "ppkt":
        return PPKT(small_network(), pixels, pairs=200, voxels=VOXELS, augmentation=augmentation)
    if name == "cmcr":
        settings = {"codes": 30, "revive": 2, "reconstruction_stride": 4, "voxels": VOXELS}
        return CMCR(small_network(), pixels, augmentation=augmentation, **settings)
    return SLidR(
        small_network(),
        pixels,
        superpixels=SuperpixelConfig(segments=12),
        superpixels_cache=folder / "superpixels",
        voxels=VOXELS,
        augmentation=augmentation,
    )


def voxels() -> SparseTensor:
    generator = torch.Generator().manual_seed(0)
    coordinates = torch.randint(0, 24, (3000, 4), generator=generator)
    coordinates[:, 0] %= 2
    coordinates = coordinates.unique(dim=0)
    features = torch.randn(len(coordinates), 1, generator=generator, dtype=torch.float64)
    return SparseTensor(features, Grid(coordinates))


def test_values_and_gradients_of_a_minkunet_equal_those_of_the_cpu() -> None:
    torch.manual_seed(0)
    network = small_network().double()
    twin = copy.deepcopy(network).cuda()
    x = voxels()
    expected = network(x)
    found = twin(SparseTensor(x.features.cuda(), Grid(x.coordinates.cuda())))
    assert found.is_cuda
    assert torch.allclose(found.cpu(), expected, atol=1e-8)
    expected.square().sum().backward()
    found.square().sum().backward()
    for (name, weight), other in zip(network.named_parameters(), twin.parameters(), strict=True):
        assert weight.grad is not None and other.grad is not None, name
        assert torch.allclose(other.grad.cpu(), weight.grad, atol=1e-7), name


def test_features_of_a_pointnet2_equal_those_of_the_cpu() -> None:
    torch.manual_seed(0)
    network = PointNet2(stages="small").double().eval()
    points = torch.rand(2, 2048, 4, dtype=torch.float64) * torch.tensor([40.0, 40, 4, 1])
    expected = network(points).features
    found = network.cuda()(points.cuda()).features
    assert torch.allclose(found.cpu(), expected, atol=1e-8)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed"])
@pytest.mark.parametrize("name", ["ppkt", "slidr", "simipu", "cmcr", "olivine", "regression"])
def test_a_run_on_the_device(name: str, precision: str, rig: Path, tmp_path: Path) -> None:
    last = pretrain(
        small_method(name, tmp_path),
        FolderScenes(rig, weak_labels=rig / "weak" if name == "olivine" else None),
        out=tmp_path / "run",
        training=TrainingConfig(epochs=2, batch_size=2, optimizer="sgd", learning_rate=0.1),
        compute=Compute(accelerator="gpu", devices=1, workers=0, precision=precision),
    )
    content = read_checkpoint(last)["state_dict"]
    assert all(weight.isfinite().all() and not weight.is_cuda for weight in content.values())
    pretrained = load_pretrained(last)
    sweep = FolderScenes(rig)[0].points_with("intensity")
    with torch.inference_mode():
        on_cpu = pretrained.encoder(pretrained.transform(sweep))
        on_device = pretrained.encoder.cuda()(pretrained.transform(sweep))
    a, b = (found if isinstance(found, torch.Tensor) else found.features for found in (on_cpu, on_device))
    assert b.is_cuda and float((a - b.cpu()).abs().max() / a.abs().max()) < 1e-3
