import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from crosspoint.scene.data.batch import stack_samples
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.methods import PPKT
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.orthonormal import identity_method, matching_batch

SIZE = (32, 48)
VOXELS = VoxelConfig(kind="cartesian", size=0.2, features="xyz_intensity")
TINY = {"in_channels": 4, "stem": 8, "encoder": (8, 12), "encoder_blocks": (1, 1)}
TINY |= {"decoder": (12, 8), "decoder_blocks": (1, 1)}


def made_frame(seed, points=150):
    """A rough wall ahead, the camera before it: neighbors in space are neighbors in the image."""
    generator = torch.manual_seed(seed)
    spread = torch.rand(points, 2, generator=generator)
    cloud = torch.cat([5 + torch.rand(points, 1, generator=generator), 6 * spread - 3, torch.rand(points, 1)], dim=1)
    seen = torch.arange(0, points, 2)
    pixel = (1 - spread[seen]) * torch.tensor([47.0, 31.0])
    image = F.interpolate(torch.rand(2, 3, 4, 6, generator=generator), SIZE, mode="bicubic").clamp(0, 1) * 255
    view = torch.arange(len(seen)) % 2
    return LidarSample(
        f"wall {seed}",
        cloud[:, :3],
        {"intensity": cloud[:, 3]},
        image.byte(),
        pair_point=seen,
        pair_view=view,
        pair_pixel=pixel,
    )


def made_batch():
    return stack_samples([made_frame(seed) for seed in (1, 2)], VOXELS)


def made_method(**options):
    torch.manual_seed(0)
    encoder = MinkUNet(**TINY)
    teacher = PixelEncoder(network="resnet18", dilated=True, projection=16)
    return PPKT(encoder, teacher, **{"voxels": VOXELS, **options})


@pytest.mark.parametrize(("rows", "pairs"), [(2, 4096), (40, 4096), (40, 12)])
def test_orthonormal_features_that_match_give_the_closed_form(rows, pairs):
    method = identity_method(PPKT, rows, pairs=pairs)
    loss = method.training_step(matching_batch(rows), torch.manual_seed(0))["loss"]
    compared = min(rows, pairs)
    assert loss.item() == pytest.approx(math.log(1 + (compared - 1) * math.exp(-1 / 0.07)), abs=1e-6)


def test_loss_and_gradients_are_those_of_a_loop_over_pairs():
    method, batch = made_method(), made_batch()
    features = method.encoder(SparseTensor.of(batch.voxels))
    pixels = method.image_encoder(batch.images)
    k, q = [], []
    for point, image, (x, y) in zip(batch.pair_point, batch.pair_image, batch.pair_pixel.tolist(), strict=True):
        k.append(F.normalize(method.head(features[batch.voxels.inverse[point]]), dim=0))
        q.append(pixels[image, :, int(y), int(x)])
    parts = [-torch.log_softmax(torch.stack(q) @ k[i] / 0.07, dim=0)[i] for i in range(len(k))]
    expected = torch.stack(parts).mean()
    loss = method.training_step(batch, torch.manual_seed(0))["loss"]
    torch.testing.assert_close(loss, expected)
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    for ours, theirs in zip(*(torch.autograd.grad(value, weights) for value in (loss, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_pairs_are_drawn_once_each_and_equally_often_from_the_generator_alone():
    method = made_method(pairs=5)
    generator, everywhere = torch.Generator().manual_seed(3), torch.get_rng_state()
    drawn = torch.stack([method.draw(20, generator) for _ in range(2000)])
    assert torch.equal(torch.get_rng_state(), everywhere)
    assert all(len(set(row)) == 5 for row in drawn.tolist())
    counts = torch.bincount(drawn.flatten(), minlength=20)
    assert counts.sub(500).abs().max() < 5 * math.sqrt(500 * 0.75)  # five standard deviations
    assert method.draw(3, generator).sort()[0].tolist() == [0, 1, 2]
    losses = [method.training_step(made_batch(), torch.manual_seed(seed))["loss"].item() for seed in (7, 7, 8)]
    assert losses[0] == losses[1] != losses[2]


def test_training_lowers_the_loss_and_leaves_the_trunk_alone():
    method, batch = made_method(), made_batch()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.train()
    optimizer = torch.optim.Adam([weight for weight in method.parameters() if weight.requires_grad], lr=1e-2)
    losses = []
    for step in range(20):
        loss = method.training_step(batch, torch.manual_seed(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 4  # ln 150 = 5.0: nothing is known at first
    assert losses[-1] < losses[0] - 1
    after = method.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if name.startswith("image_encoder.trunk.")}


def test_half_precision_leaves_the_loss_in_single():
    method, batch = made_method(), made_batch()
    whole = method.training_step(batch, torch.manual_seed(0))["loss"]
    with torch.autocast("cpu", torch.bfloat16):
        halved = method.training_step(batch, torch.manual_seed(0))["loss"]
    assert halved.dtype == torch.float32
    torch.testing.assert_close(halved, whole, rtol=0.05, atol=0)


def test_a_batch_without_pairs_is_refused():
    none = torch.zeros(0, dtype=torch.int64)
    sample = replace(made_frame(0), pair_point=none, pair_view=none, pair_pixel=torch.zeros(0, 2))
    with pytest.raises(ValueError, match="found 150 points and 2 images without a pair in a batch, expected"):
        made_method().training_step(stack_samples([sample], VOXELS), torch.manual_seed(0))


@pytest.mark.parametrize("wrong", [{"pairs": 0}, {"temperature": 0.0}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValueError, match=r"found (pairs 0|temperature 0.0), expected a "):
        made_method(**wrong)
