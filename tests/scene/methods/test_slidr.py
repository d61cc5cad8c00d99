import math

import pytest
import torch
import torch.nn.functional as F

from crosspoint.losses import info_nce
from crosspoint.scene.data.batch import stack_samples
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.methods import SLidR
from crosspoint.scene.methods.ppkt import describe_voxels
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.segments import mean_by_segment
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.upsampling import _lengths, _place
from crosspoint.scene.ops.voxels import VoxelConfig
from tests.scene.orthonormal import identity_method, matching_batch

SIZE = (64, 96)
VOXELS = VoxelConfig(kind="cartesian", size=0.5, features="xyz_intensity")
TINY = {"in_channels": 4, "stem": 8, "encoder": (8, 12), "encoder_blocks": (1, 1)}
TINY |= {"decoder": (12, 8), "decoder_blocks": (1, 1)}
TILES = torch.arange(4)[:, None].repeat_interleave(16, 0) * 6 + torch.arange(6).repeat_interleave(16)  # 16 × 16 pixels


def made_frame(seed, points=120):
    """Points that see the left two thirds of two images, whose superpixels are tiles."""
    generator = torch.manual_seed(seed)
    cloud = torch.rand(points, 4, generator=generator) * torch.tensor([6.0, 6.0, 2.0, 1.0])
    seen = torch.randint(points, (90,), generator=generator)
    pixel = torch.rand(90, 2, generator=generator) * torch.tensor([64.0, 64.0])
    view = torch.randint(2, (90,), generator=generator)
    images = torch.randint(256, (2, 3, *SIZE), dtype=torch.uint8, generator=generator)
    return LidarSample(
        f"frame {seed}",
        cloud[:, :3],
        {"intensity": cloud[:, 3]},
        images,
        {"superpixels": TILES.expand(2, -1, -1)},
        pair_point=seen,
        pair_view=view,
        pair_pixel=pixel,
    )


def made_batch():
    return stack_samples([made_frame(seed) for seed in (1, 2)], VOXELS)


def with_superpixels(batch, superpixels):
    return batch._replace(pixel_maps={} if superpixels is None else {"superpixels": superpixels})


def made_method(dilated=True):
    torch.manual_seed(0)
    encoder = MinkUNet(**TINY)
    return SLidR(encoder, PixelEncoder(network="resnet18", dilated=dilated, projection=16), voxels=VOXELS)


def slow_loss(method, batch):
    """A loop over images and superpixels."""
    features = method.encoder(SparseTensor.of(batch.voxels))
    pixels = method.image_encoder(batch.images)
    k, q = [], []
    for image, regions in enumerate(batch.pixel_maps["superpixels"]):
        for number in range(int(regions.max()) + 1):
            rows = []
            for point, view, (x, y) in zip(batch.pair_point, batch.pair_image, batch.pair_pixel.tolist(), strict=True):
                if view == image and regions[int(y), int(x)] == number:
                    rows.append(F.normalize(method.head(features[batch.voxels.inverse[point]]), dim=0))
            if rows:
                k.append(torch.stack(rows).mean(dim=0))
                q.append(pixels[image][:, regions == number].mean(dim=1))
    parts = [-torch.log_softmax(torch.stack(q) @ k[i] / 0.07, dim=0)[i] for i in range(len(k))]
    return torch.stack(parts).mean(), len(k)


@pytest.mark.parametrize("dilated", [True, False])
def test_loss_and_gradients_are_those_of_a_loop_over_superpixels(dilated):
    method, batch = made_method(dilated), made_batch()
    expected, segments = slow_loss(method, batch)
    assert 48 < segments <= 64  # of 96: a third sees no point, and two images of a frame share their numbers
    loss = method.training_step(batch, torch.manual_seed(0))["loss"]
    torch.testing.assert_close(loss, expected)
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    for ours, theirs in zip(*(torch.autograd.grad(value, weights) for value in (loss, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dilated", [True, False])
def test_loss_and_gradients_without_some_regions_are_those_of_the_loop(dilated):
    """−1 in half of one image, in scattered pixels of another, in all of a third."""
    method, batch = made_method(dilated), made_batch()
    superpixels = batch.pixel_maps["superpixels"].clone()
    superpixels[0, :, 40:] = -1
    superpixels[1][torch.rand(SIZE, generator=torch.manual_seed(3)) < 0.3] = -1
    superpixels[2] = -1
    batch = with_superpixels(batch, superpixels)
    expected, segments = slow_loss(method, batch)
    assert 20 < segments < 48
    loss = method.training_step(batch, torch.manual_seed(0))["loss"]
    torch.testing.assert_close(loss, expected)
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    for ours, theirs in zip(*(torch.autograd.grad(value, weights) for value in (loss, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def loss_where_all_pixels_have_regions(method, batch):
    """The step as it is where no −1 can occur, operation by operation."""
    superpixels = batch.pixel_maps["superpixels"]
    count = int(superpixels.max()) + 1
    x, y = batch.pair_pixel.floor().long().unbind(dim=1)
    segment = batch.pair_image * count + superpixels[batch.pair_image, y, x]
    voxels = describe_voxels(method.encoder, method.head, batch.voxels)
    points, present = mean_by_segment(voxels[batch.pair_voxel], segment, 4 * count)
    maps = method.image_encoder.maps(batch.images)
    height, width = maps.shape[2:]
    (top, down), (left, across) = _place(torch.arange(64.0), height, 64), _place(torch.arange(96.0), width, 96)
    bottom, right = (top + 1).clamp_(max=height - 1), (left + 1).clamp_(max=width - 1)
    region = superpixels + count * torch.arange(4)[:, None, None]
    share = (_lengths(maps, SIZE) * region.flatten().bincount(minlength=4 * count).clamp_(min=1)[region]).reciprocal()
    weights = maps.new_zeros(4 * count * height * width)
    for row, along in ((top, 1 - down), (bottom, down)):
        for column, aside in ((left, 1 - across), (right, across)):
            node = region * (height * width) + (row * width)[:, None] + column
            weights.index_add_(0, node.flatten(), (share * along[:, None] * aside).flatten())
    pixels = (weights.view(4, count, -1) @ maps.flatten(2).mT).flatten(0, 1)
    return info_nce(points[present], pixels[present], temperature=0.07, normalize=False)


@pytest.mark.parametrize("dilated", [True, False])
def test_room_for_pixels_of_no_region_changes_no_bit_where_there_are_none(dilated):
    method, batch = made_method(dilated), made_batch()
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    results = []
    for loss in (method.training_step(batch, None)["loss"], loss_where_all_pixels_have_regions(method, batch)):
        results.append([loss, *torch.autograd.grad(loss, weights)])
    for ours, theirs in zip(*results, strict=True):
        assert torch.equal(ours, theirs)


def test_pixels_and_pairs_of_no_region_count_nowhere():
    """What lies at −1 may be anything: other points, other pairs, as many as may be."""
    method, batch = made_method(), made_batch()
    superpixels = batch.pixel_maps["superpixels"].clone()
    superpixels[:, :, 32:] = -1
    kept = superpixels[batch.pair_image, batch.pair_pixel[:, 1].long(), batch.pair_pixel[:, 0].long()] >= 0
    pairs = {name: getattr(batch, name)[kept] for name in ("pair_point", "pair_image", "pair_pixel")}
    batch = with_superpixels(batch, superpixels)
    losses = [method.training_step(each, torch.manual_seed(0))["loss"] for each in (batch, batch._replace(**pairs))]
    assert 0 < len(pairs["pair_point"]) < len(batch.pair_point)
    assert torch.equal(*losses)


def test_numbers_of_superpixels_mean_nothing_across_images():
    method, batch = made_method(), made_batch()
    loss = method.training_step(batch, torch.manual_seed(0))["loss"]
    shuffled = torch.randperm(40, generator=torch.manual_seed(1))
    renumbered = batch.pixel_maps["superpixels"].clone()
    renumbered[1] += 7
    renumbered[2] = shuffled[renumbered[2]]
    again = method.training_step(with_superpixels(batch, renumbered), torch.manual_seed(0))["loss"]
    torch.testing.assert_close(again, loss)


def test_a_superpixel_is_the_mean_of_its_pairs_however_often_all_of_them_stand_there():
    """Many points in one place count as many: their share of a mean is meant; twice every pair is the same mean."""
    method, batch = made_method(), made_batch()
    losses = {}
    for name, rows in {"once": slice(None), "twice": [*range(180), *range(180)], "some": [*range(180), 3, 3]}.items():
        pairs = {f: getattr(batch, f)[rows] for f in ("pair_point", "pair_image", "pair_pixel")}
        losses[name] = method.training_step(batch._replace(**pairs), torch.manual_seed(0))["loss"]
    torch.testing.assert_close(losses["twice"], losses["once"])
    assert not torch.isclose(losses["some"], losses["once"], rtol=1e-5)


@pytest.mark.parametrize("wide", [1, 4])
def test_means_of_orthonormal_features_give_the_closed_form(wide):
    """Regions of n columns: k·q = 1/n within, as means are not of length 1, and 0 between."""
    batch = matching_batch(12, torch.arange(12) // wide)
    loss = identity_method(SLidR, 12).training_step(batch, torch.manual_seed(0))["loss"]
    assert loss.item() == pytest.approx(math.log(1 + (12 / wide - 1) * math.exp(-1 / wide / 0.07)), abs=1e-6)


def test_means_are_those_of_each_segment():
    rows, segment = torch.tensor([[1.0, 0.0], [3.0, 4.0], [5.0, 6.0]]), torch.tensor([2, 0, 2])
    means, present = mean_by_segment(rows, segment, 4)
    assert means.tolist() == [[3.0, 4.0], [0.0, 0.0], [3.0, 3.0], [0.0, 0.0]]
    assert present.tolist() == [True, False, True, False]


def test_a_step_changes_all_but_the_trunk():
    method, batch = made_method(), made_batch()
    before = {name: value.clone() for name, value in method.state_dict().items()}
    method.train()
    optimizer = torch.optim.SGD([weight for weight in method.parameters() if weight.requires_grad], lr=0.1)
    method.training_step(batch, torch.manual_seed(0))["loss"].backward()
    optimizer.step()
    after = method.state_dict()
    kept = {name for name in before if torch.equal(before[name], after[name])}
    assert kept == {name for name in before if name.startswith("image_encoder.trunk.")}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            lambda batch: with_superpixels(batch, None),
            "found frames without superpixels in a batch, expected them for SLidR",
        ),
        (
            lambda batch: with_superpixels(batch, batch.pixel_maps["superpixels"][:, :32]),
            r"found superpixels \(4, 32, 96\).*expected \(4, 64, 96\)",
        ),
        (
            lambda batch: with_superpixels(batch, batch.pixel_maps["superpixels"] - 2),
            "found superpixels with numbers below −1, expected numbers of regions from 0, and −1 for pixels of none",
        ),
        (
            lambda batch: with_superpixels(batch, torch.full_like(batch.pixel_maps["superpixels"], -1)),
            "found none of 180 pairs of points and pixels of a batch in a region, expected some: give maps of regions",
        ),
        (
            lambda batch: batch._replace(
                **{name: getattr(batch, name)[:0] for name in ("pair_point", "pair_image", "pair_pixel")}
            ),
            "found 240 points and 4 images without a pair",
        ),
    ],
)
def test_batches_that_cannot_be_used_are_refused(change, told):
    batch = made_batch()
    with pytest.raises(ValueError, match=told):
        made_method().training_step(change(batch), torch.manual_seed(0))


def test_a_temperature_of_nought_is_refused():
    with pytest.raises(ValueError, match=r"found temperature 0.0, expected a number from 0.001"):
        identity_method(SLidR, 2, temperature=0.0)
