from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from crosspoint import load_pretrained
from crosspoint.checkpoints.record import Inputs
from crosspoint.scene.checkpoints.minkowski_engine import minkowski_name, read_minkowski
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.kernel_maps import Grid
from crosspoint.scene.ops.sparse_conv import SparseBatchNorm, SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig, collate, voxelize
from crosspoint.transforms import turn_up

SIDE = 32
TINY = {
    "in_channels": 2,
    "stem": 3,
    "encoder": [3, 4, 5, 6],
    "encoder_blocks": [1, 2, 1, 1],
    "decoder": [6, 5, 4, 7],
    "decoder_blocks": [1, 1, 1, 2],
}


def voxels(count: int = 500, frames: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    space = torch.randint(0, SIDE, (count, 3), generator=generator)
    space[:, 2] //= 4  # denser
    return torch.cat((torch.randint(0, frames, (count, 1), generator=generator), space), dim=1).unique(dim=0)


def network() -> MinkUNet:
    """In float64 and eval mode, with statistics as if it had been trained."""
    torch.manual_seed(0)
    made = MinkUNet(**TINY).double().eval()
    for module in made.modules():
        if isinstance(module, nn.BatchNorm1d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.1, 0.4)
    return made


def published(made: MinkUNet) -> dict[str, Tensor]:
    """Its weights as MinkowskiEngine would have saved them, with a head."""
    weights = {minkowski_name(name): tensor for name, tensor in made.state_dict().items()}
    weights = {n: w[0] if n.endswith("kernel") and len(w) == 1 else w for n, w in weights.items()}
    return weights | {"final.kernel": torch.zeros(made.feature_dim, 64), "final.bias": torch.zeros(1, 64)}


class Dense:
    """The public Res16UNet, layer by layer under its own names, by dense convolutions on a grid with empty cells."""

    def __init__(self, weights: dict[str, Tensor], coordinates: Tensor) -> None:
        self.weights, self.at = weights, tuple(coordinates.unbind(dim=1))
        occupied = torch.zeros(2, 1, SIDE, SIDE, SIDE, dtype=torch.float64)
        occupied[self.at[0], 0, self.at[1], self.at[2], self.at[3]] = 1
        self.occupied = {SIDE // s: F.max_pool3d(occupied, s) for s in (1, 2, 4, 8, 16)}

    def conv(self, name: str, x: Tensor) -> Tensor:
        kernel = self.weights[f"{name}.kernel"]
        if kernel.ndim == 2:
            return torch.einsum("bcxyz,cd->bdxyz", x, kernel)
        size = round(len(kernel) ** (1 / 3))
        weight = kernel.view(size, size, size, *kernel.shape[1:]).permute(4, 3, 2, 1, 0)  # x runs fastest
        if name.startswith("convtr"):
            x = F.conv_transpose3d(x, weight.transpose(0, 1), stride=2)
        elif size == 2:
            x = F.conv3d(x, weight, stride=2)
        else:
            x = F.conv3d(x, weight, padding=size // 2)
        return x * self.occupied[x.shape[-1]]

    def norm(self, name: str, x: Tensor) -> Tensor:
        statistics = [self.weights[f"{name}.bn.{n}"] for n in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *statistics) * self.occupied[x.shape[-1]]

    def block(self, name: str, x: Tensor) -> Tensor:
        j = 0
        while f"{name}.{j}.conv1.kernel" in self.weights:
            at, short = f"{name}.{j}", x
            if f"{at}.downsample.0.kernel" in self.weights:
                short = self.norm(f"{at}.downsample.1", self.conv(f"{at}.downsample.0", x))
            x = self.norm(f"{at}.norm1", self.conv(f"{at}.conv1", x)).relu()
            x = (self.norm(f"{at}.norm2", self.conv(f"{at}.conv2", x)) + short).relu()
            j += 1
        return x

    def stage(self, conv: str, norm: str, x: Tensor) -> Tensor:
        return self.norm(norm, self.conv(conv, x)).relu()

    def __call__(self, features: Tensor) -> Tensor:
        frame, *place = self.at
        x = features.new_zeros(2, SIDE, SIDE, SIDE, features.shape[1])
        x = x.index_put((frame, *place), features).permute(0, 4, 1, 2, 3)
        p1 = self.stage("conv0p1s1", "bn0", x)
        p2 = self.block("block1", self.stage("conv1p1s2", "bn1", p1))
        p4 = self.block("block2", self.stage("conv2p2s2", "bn2", p2))
        p8 = self.block("block3", self.stage("conv3p4s2", "bn3", p4))
        x = self.block("block4", self.stage("conv4p8s2", "bn4", p8))
        x = self.block("block5", torch.cat((self.stage("convtr4p16s2", "bntr4", x), p8), dim=1))
        x = self.block("block6", torch.cat((self.stage("convtr5p8s2", "bntr5", x), p4), dim=1))
        x = self.block("block7", torch.cat((self.stage("convtr6p4s2", "bntr6", x), p2), dim=1))
        x = self.block("block8", torch.cat((self.stage("convtr7p2s2", "bntr7", x), p1), dim=1))
        return x.permute(0, 2, 3, 4, 1)[(frame, *place)]


def test_res16unet34c_has_the_published_parameters() -> None:
    with torch.device("meta"):
        made = MinkUNet()
        head = nn.Linear(made.feature_dim, 64)
    trunk = sum(p.numel() for p in made.parameters())
    assert trunk == 37_842_976
    assert trunk + sum(p.numel() for p in head.parameters()) == 37_849_184


def test_it_computes_what_the_public_network_computes() -> None:
    made, coordinates = network(), voxels()
    features = torch.randn(len(coordinates), 2, dtype=torch.float64)
    with torch.no_grad():
        expected = Dense(published(made), coordinates)(features)
        found = made(SparseTensor(features, Grid(coordinates)))
    assert expected.std(dim=0).mean() > 0.05
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_the_order_of_voxels_does_not_matter() -> None:
    made, coordinates = network(), voxels()
    features, order = torch.randn(len(coordinates), 2, dtype=torch.float64), torch.randperm(len(coordinates))
    with torch.no_grad():
        straight = made(SparseTensor(features, Grid(coordinates)))
        shuffled = made(SparseTensor(features[order], Grid(coordinates[order])))
    torch.testing.assert_close(shuffled, straight[order], rtol=0, atol=1e-10)


def test_frames_of_a_batch_do_not_see_each_other() -> None:
    made, coordinates = network(), voxels()
    features = torch.randn(len(coordinates), 2, dtype=torch.float64)
    with torch.no_grad():
        together = made(SparseTensor(features, Grid(coordinates)))
        for frame in (0, 1):
            rows = coordinates[:, 0] == frame
            alone = made(SparseTensor(features[rows], Grid(coordinates[rows] * torch.tensor([0, 1, 1, 1]))))
            torch.testing.assert_close(alone, together[rows], rtol=0, atol=1e-10)


def test_moving_a_frame_by_the_coarsest_stride_moves_the_features() -> None:
    made, coordinates = network(), voxels()
    features = torch.randn(len(coordinates), 2, dtype=torch.float64)
    with torch.no_grad():
        here = made(SparseTensor(features, Grid(coordinates)))
        there = made(SparseTensor(features, Grid(coordinates - torch.tensor([0, 48, -16, 160]))))
    torch.testing.assert_close(there, here, rtol=0, atol=1e-10)


def test_gradients_reach_every_parameter_and_maps_are_shared() -> None:
    torch.manual_seed(0)
    made, coordinates = MinkUNet.small(in_channels=2), voxels()
    grid = Grid(coordinates)
    out = made(SparseTensor(torch.randn(len(coordinates), 2), grid))
    assert out.shape == (len(coordinates), made.feature_dim)
    out.square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in made.parameters())
    maps = grid._maps  # kernel 3 at five strides, kernel 2 between them, kernel 1 of shortcuts
    assert {key for key in maps if key[0] == 3} == {(3, s, s) for s in (1, 2, 4, 8, 16)}
    assert {key for key in maps if key[0] == 2} == {(2, s, 2 * s) for s in (1, 2, 4, 8)}


def test_momenta_go_where_the_public_code_puts_them() -> None:
    made = MinkUNet(stem=4, encoder=(4,), encoder_blocks=(1,), decoder=(4,), decoder_blocks=(1,))
    for name, module in made.named_modules():
        if isinstance(module, nn.BatchNorm1d):
            assert module.momentum == (0.1 if name.startswith(("encoder", "decoder")) else 0.05)


def test_statistics_can_be_shared_by_processes() -> None:
    made = nn.SyncBatchNorm.convert_sync_batchnorm(MinkUNet(**TINY))
    norms = [m for m in made.modules() if isinstance(m, SparseBatchNorm)]
    assert norms
    assert all(isinstance(m.norm, nn.SyncBatchNorm) for m in norms)


@pytest.mark.parametrize("container", [None, "model_points", "state_dict"])
def test_published_weights_load(container: str | None, tmp_path: Path) -> None:
    made, coordinates = network(), voxels()
    weights = {name: tensor.float() for name, tensor in published(made).items()}
    content = {container: weights, "config": {"lr": 0.5}, "epoch": 50} if container else weights
    if container == "state_dict":
        content = {"state_dict": {f"model_points.{n}": w for n, w in weights.items()}, "epoch": 50}
    torch.save(content, tmp_path / "model.pt")
    pretrained = load_pretrained(tmp_path / "model.pt")
    loaded = pretrained.encoder
    assert (pretrained.inputs.kind, pretrained.inputs.voxels["intensity_scale"]) == ("voxels", 255.0)
    features = torch.randn(len(coordinates), 2)
    with torch.no_grad():
        expected = made.float()(SparseTensor(features, Grid(coordinates)))
        assert torch.equal(loaded(SparseTensor(features, Grid(coordinates))), expected)
    assert loaded.config == made.config


def test_published_names_are_known() -> None:
    names = published(network())
    expected = ["conv0p1s1.kernel", "bn0.bn.running_var", "conv4p8s2.kernel", "block2.0.downsample.1.bn.weight"]
    expected += [
        "convtr4p16s2.kernel",
        "bntr7.bn.bias",
        "block8.1.norm2.bn.num_batches_tracked",
        "block5.0.conv1.kernel",
    ]
    assert set(expected) <= set(names)
    assert names["block2.0.downsample.0.kernel"].shape == (3, 4)
    assert names["convtr7p2s2.kernel"].shape == (8, 4, 7)


def test_bad_weights_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="check the path"):
        load_pretrained(tmp_path / "absent.pt")
    weights = published(network())
    with pytest.raises(ValueError, match="found no 'bntr5"):
        read_minkowski({name: tensor for name, tensor in weights.items() if not name.startswith("bntr5")})
    torch.save(weights | {"block6.0.conv2.kernel": torch.zeros(27, 2, 2)}, tmp_path / "model.pt")
    with pytest.raises(ValueError, match="do not fit"):
        load_pretrained(tmp_path / "model.pt")
    (tmp_path / "model.pt").write_bytes(b"no torch file")
    with pytest.raises(ValueError, match=r"unreadable|only their own code"):
        load_pretrained(tmp_path / "model.pt")


def test_unequal_stages_are_named() -> None:
    with pytest.raises(ValueError, match="equal numbers"):
        MinkUNet(encoder=(8, 16))


def test_the_arguments_build_the_same_network_again() -> None:
    made = network()
    again = made.fresh().double().eval()
    assert type(again) is MinkUNet and again.config == made.config
    again.load_state_dict(made.state_dict())
    coordinates = voxels()
    features = torch.randn(len(coordinates), 2, dtype=torch.float64)
    with torch.no_grad():
        found, expected = (one(SparseTensor(features, Grid(coordinates))) for one in (again, made))
    assert torch.equal(found, expected)


def test_what_computes_is_no_part_of_what_a_checkpoint_says() -> None:
    made = MinkUNet(**TINY, sparse_backend="torch")
    assert made.backend == "torch" and "sparse_backend" not in made.config
    with pytest.raises(ValueError, match="found the backend 'other'"):
        MinkUNet(**TINY, sparse_backend="other")


def test_a_raw_sweep_becomes_the_voxels_of_training() -> None:
    torch.manual_seed(0)
    made, config = MinkUNet.small().eval(), VoxelConfig(kind="cartesian", size=0.5, intensity_scale=255.0)
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(config))
    sweep = torch.rand(300, 4) * torch.tensor([20.0, 20, 3, 1])
    scaled, plain = sweep * torch.tensor([1.0, 1, 1, 255]), replace(config, intensity_scale=1.0)
    with torch.no_grad():
        expected = made(SparseTensor.of(collate([voxelize(scaled, plain)])))
        assert torch.equal(made(made.prepare(sweep.numpy(), inputs)), expected)
        lying = torch.cat([turn_up(sweep[:, :3], "z", "y"), sweep[:, 3:]], dim=1)
        assert torch.equal(made(made.prepare(lying, inputs, up_axis="y")), expected)
        assert len(made(made.prepare(torch.stack([sweep, sweep]), inputs))) == 2 * len(expected)
    with pytest.raises(ValueError, match=r"found a cloud of shape \(300, 3\), expected \(N, 4\)"):
        made.prepare(sweep[:, :3], inputs)
    with pytest.raises(ValueError, match="found NaN or infinite"):
        made.prepare(sweep * torch.nan, inputs)
