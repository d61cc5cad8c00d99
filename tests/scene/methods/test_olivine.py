import itertools
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from crosspoint.losses import info_nce
from crosspoint.scene.data.batch import stack_samples
from crosspoint.scene.methods.olivine import OLIVINE, DistributionSchedule, OlivineWeights
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pixel_encoder import PixelEncoder
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.upsampling import upsample
from tests.scene.methods.test_ppkt import TINY, VOXELS, made_frame

FAST = DistributionSchedule(decay=0.5, update_steps=None, apply_after=1)


def made_method(**options):
    torch.manual_seed(0)
    teacher = PixelEncoder(network="resnet18", dilated=True, projection=16)
    method = OLIVINE(MinkUNet(**TINY), teacher, **{"voxels": VOXELS, "distributions": FAST, **options})
    method.set_classes(3)
    return method


def labeled_batch(classes=3, unlabeled=5):
    frames = []
    for seed in (1, 2):
        frame = made_frame(seed)
        labels = torch.randint(1, classes + 1, (len(frame.pair_point),), generator=torch.manual_seed(seed))
        labels[:unlabeled] = 0
        frames.append(replace(frame, pair_fields={"weak_label": labels}))
    return stack_samples(frames, VOXELS)


def slow_features(method, batch):
    """Features of points and pixels of every pair under both heads, one by one."""
    voxels = method.encoder(SparseTensor.of(batch.voxels))
    maps = method.image_encoder.features(batch.images)
    found = {}
    for name, decoder in (("contrast", method.image_encoder.decoder), ("semantic", method.semantic_decoder)):
        pixels = upsample(decoder(maps), (32, 48))
        k, q = [], []
        for point, image, (x, y) in zip(batch.pair_point, batch.pair_image, batch.pair_pixel.tolist(), strict=True):
            k.append(F.normalize(method.heads[name](voxels[batch.voxels.inverse[point]]), dim=0))
            q.append(pixels[image, :, int(y), int(x)])
        found[name] = torch.stack(k), torch.stack(q)
    return found


def test_loss_and_gradients_are_those_of_loops_over_pairs():
    method, batch = made_method(), labeled_batch()
    method.train()
    for module in method.modules():
        if isinstance(module, torch.nn.BatchNorm1d):
            module.eval()
    method.training_step(batch, torch.manual_seed(0))  # the distributions have means now, and teach
    found = slow_features(method, batch)
    k, q = found["contrast"]
    contrast = torch.stack([-torch.log_softmax(q @ k[i] / 0.07, 0)[i] for i in range(len(k))]).mean()
    k, q = found["semantic"]
    labels = batch.pair_fields["weak_label"]
    rows = [i for i in range(len(k)) if labels[i] > 0]
    parts = []
    for i in rows:
        similar = torch.stack([torch.exp(k[i] @ q[j] / 0.07) for j in rows])
        own = torch.tensor([bool(labels[j] == labels[i]) for j in rows])
        parts.append(-torch.log(similar[own].sum() / similar.sum()))
    supervised = torch.stack(parts).mean()
    distributions = method.distributions
    before = distributions.mean.clone(), distributions.share.clone()
    step = method.training_step(batch, torch.manual_seed(0))
    torch.testing.assert_close(step["contrast"], contrast)
    torch.testing.assert_close(step["supervised"], supervised)
    batch_means = torch.stack([k[labels == c].mean(0) for c in (1, 2, 3)]).detach()
    torch.testing.assert_close(distributions.mean, 0.5 * before[0] + 0.5 * batch_means)
    directions, kappa = distributions.parameters_of_classes()
    consistency = step["consistency"]
    aligned = sum(kappa[c - 1] * (k[labels == c] @ directions[c - 1]).mean() for c in (1, 2, 3)) / 3
    expected = 0.5 * contrast + 0.5 * supervised - aligned
    torch.testing.assert_close(step["loss"], 0.5 * contrast + 0.5 * supervised + consistency)
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    for ours, theirs in zip(*(torch.autograd.grad(v, weights) for v in (step["loss"], expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=2e-4)


def test_the_schedule_says_when_means_move_and_when_they_teach():
    schedule = DistributionSchedule(decay=0.5, update_steps=2, apply_after=3)
    method, batch = made_method(distributions=schedule), labeled_batch()
    means, taught = [], []
    for step in range(5):
        part = method.training_step(batch, torch.manual_seed(step))["consistency"]
        means.append(method.distributions.mean.clone())
        taught.append(float(part.detach()) != 0)
    assert taught == [False, False, False, True, True]
    moved = [not torch.equal(before, after) for before, after in itertools.pairwise(means)]
    assert moved == [True, False, False, False]
    published = DistributionSchedule()
    assert (published.decay, published.update_steps, published.apply_after) == (1e-4, 10_000, 10_000)


def test_a_part_of_weight_0_is_not_computed_and_leaves_no_weight_without_gradient():
    batch = labeled_batch()
    for weights in (OlivineWeights(1, 0, 0), OlivineWeights(0, 1, 0), OlivineWeights(0, 0, 1), OlivineWeights(1, 0, 1)):
        method = made_method(weights=weights)
        method.training_step(batch, torch.manual_seed(0))
        parts = method.training_step(batch, torch.manual_seed(0))
        names = {name for name in ("contrast", "supervised", "consistency") if getattr(weights, name)}
        assert parts.keys() == {"loss", *names}
        parts["loss"].backward()
        assert all(weight.grad is not None for weight in method.parameters() if weight.requires_grad)


def test_without_its_own_parts_it_is_ppkt():
    method, batch = made_method(weights=OlivineWeights(1, 0, 0)), labeled_batch()
    found = slow_contrast = None
    voxels = method.encoder(SparseTensor.of(batch.voxels))
    order = torch.randperm(len(batch.pair_point), generator=torch.manual_seed(5))
    points = F.normalize(method.heads["contrast"](voxels)[batch.pair_voxel[order]], dim=1)
    pixels = method.image_encoder.at(batch.images, batch.pair_image[order], batch.pair_pixel[order])
    slow_contrast = info_nce(points, pixels, normalize=False)
    found = method.training_step(batch, torch.manual_seed(5))["loss"]
    torch.testing.assert_close(found, slow_contrast)


def test_pairs_of_which_nothing_is_said_take_part_in_the_first_loss_alone():
    method = made_method()
    one, other = labeled_batch(), labeled_batch()
    moved = other.pair_pixel.clone()
    unlabeled = other.pair_fields["weak_label"] == 0
    moved[unlabeled] = moved[unlabeled].flip(0)
    parts = [
        method.eval().training_step(batch, torch.manual_seed(0)) for batch in (one, other._replace(pair_pixel=moved))
    ]
    assert torch.equal(parts[0]["supervised"], parts[1]["supervised"])
    assert not torch.equal(parts[0]["contrast"], parts[1]["contrast"])


def test_a_batch_without_any_label_trains_the_first_loss():
    method, batch = made_method(), labeled_batch(unlabeled=1000)
    for _ in range(2):
        parts = method.training_step(batch, torch.manual_seed(0))
    assert float(parts["supervised"].detach()) == float(parts["consistency"].detach()) == 0
    parts["loss"].backward()
    assert all(weight.grad is not None for weight in method.parameters() if weight.requires_grad)


def test_distributions_travel_with_the_weights():
    method = made_method()
    method.training_step(labeled_batch(), torch.manual_seed(0))
    teacher = PixelEncoder(network="resnet18", dilated=True, projection=16)
    other = OLIVINE(MinkUNet(**TINY), teacher, voxels=VOXELS, distributions=FAST)
    other.load_state_dict(method.state_dict())
    assert torch.equal(other.distributions.mean, method.distributions.mean)
    assert int(other.distributions.steps) == 1


def test_what_is_missing_is_told():
    with pytest.raises(ValueError, match="found pairs without weak labels in a batch"):
        made_method().training_step(stack_samples([made_frame(1)], VOXELS), torch.manual_seed(0))
    with pytest.raises(ValueError, match=r"found the sampling 'dcas', expected balanced or uniform"):
        made_method(sampling="dcas")
    with pytest.raises(ValueError, match=r"found weights \(0, 0, 0\), expected none below 0 and one above"):
        OlivineWeights(0, 0, 0)
    with pytest.raises(ValueError, match=r"found decay 0.*, expected a decay above 0 and up to 1"):
        DistributionSchedule(decay=0.0)


def test_a_run_in_which_the_distributions_would_never_teach_is_warned_of(caplog):
    method = made_method(distributions=DistributionSchedule(apply_after=100))
    without = made_method(weights=OlivineWeights(1, 1, 0))
    caplog.clear()
    method.planned(101)
    assert not caplog.records
    method.planned(100)
    (record,) = caplog.records
    message = record.getMessage()
    assert record.levelname == "WARNING" and "found a run of 100 steps, expected more than the 100 after" in message
    caplog.clear()
    without.planned(1)  # without that part there is nothing to warn of
    assert not caplog.records
