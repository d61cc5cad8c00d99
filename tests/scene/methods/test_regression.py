import pytest
import torch
import torch.nn.functional as F

from crosspoint.models.image_teacher import ImageTeacher
from crosspoint.scene.data.batch import stack_samples
from crosspoint.scene.methods.regression import Regression, patches
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.upsampling import upsample
from tests.scene.methods.test_ppkt import TINY, VOXELS, made_frame


def made_method(**options):
    torch.manual_seed(0)
    teacher = ImageTeacher(network="resnet18", dilated=True, layers=[0])
    return Regression(MinkUNet(**TINY), teacher, **{"voxels": VOXELS, "hidden": 12, **options})


def made_batch():
    return stack_samples([made_frame(seed) for seed in (1, 2)], VOXELS)


@pytest.mark.parametrize("head_layers", [1, 3])
def test_loss_and_gradients_are_those_of_a_loop_over_pairs(head_layers):
    method, batch = made_method(head_layers=head_layers), made_batch()
    voxels, pixels = (
        method.encoder(SparseTensor.of(batch.voxels)),
        upsample(method.image_encoder(batch.images), (32, 48)),
    )
    parts = []
    for point, image, (x, y) in zip(batch.pair_point, batch.pair_image, batch.pair_pixel.tolist(), strict=True):
        own = F.normalize(method.head(voxels[batch.voxels.inverse[point]]), dim=0)
        parts.append((own - pixels[image, :, int(y), int(x)]).norm())
    expected, loss = torch.stack(parts).mean(), method.training_step(batch, torch.manual_seed(0))["loss"]
    torch.testing.assert_close(loss, expected)
    weights = [weight for weight in method.parameters() if weight.requires_grad]
    assert weights and all("image_encoder" not in name for name, w in method.named_parameters() if w.requires_grad)
    for ours, theirs in zip(*(torch.autograd.grad(value, weights) for value in (loss, expected)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_means_of_patches_are_those_of_a_loop():
    method, batch = made_method(patch_mean=True, center=True, distance="cosine"), made_batch()
    voxels, maps = method.encoder(SparseTensor.of(batch.voxels)), method.image_encoder(batch.images)
    stride, held = 4, {}
    for point, image, (x, y) in zip(
        batch.pair_point, batch.pair_image.tolist(), batch.pair_pixel.tolist(), strict=True
    ):
        place = (image, int(y) // stride, int(x) // stride)
        held.setdefault(place, []).append(method.head(voxels[batch.voxels.inverse[point]]))
    parts = []
    for (image, row, column), features in held.items():
        mean, node = torch.stack(features).mean(0), maps[image, :, row, column]
        parts.append(1 - F.cosine_similarity(mean - mean.mean(), node - node.mean(), dim=0))
    torch.testing.assert_close(method.training_step(batch, torch.manual_seed(0))["loss"], torch.stack(parts).mean())


def test_pixels_at_the_border_stay_in_their_patch():
    pixel = torch.tensor([[0.0, 0], [47.999, 31.999], [24.0, 15.9]])
    assert patches(torch.tensor([0, 1, 1]), pixel, (32, 48), (2, 3)).tolist() == [0, 11, 7]


def test_training_lowers_the_loss():
    method, batch = made_method(), made_batch()
    optimizer = torch.optim.Adam([weight for weight in method.parameters() if weight.requires_grad], lr=1e-2)
    losses = []
    for step in range(20):
        loss = method.training_step(batch, torch.manual_seed(step))["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]


def test_settings_out_of_range_are_told():
    with pytest.raises(ValueError, match=r"found head_layers 0, hidden 12 and occupancy_weight 0.0, expected"):
        made_method(head_layers=0)


def test_the_task_of_occupancy_adds_its_two_losses():
    method, batch = made_method(occupancy_weight=0.5), made_batch()
    parts = method.training_step(batch, torch.manual_seed(0))
    torch.testing.assert_close(parts["loss"], parts["distance"] + 0.5 * (parts["occupancy"] + parts["intensity"]))
    parts["loss"].backward()
    assert all(weight.grad is not None for weight in method.parameters() if weight.requires_grad)
    alone = made_method()
    alone.load_state_dict({k: w for k, w in method.state_dict().items() if not k.startswith("occupancy.")})
    torch.testing.assert_close(alone.training_step(batch, torch.manual_seed(0))["loss"], parts["distance"])


def test_standardized_targets_do_not_depend_on_the_scale_of_a_channel():
    method, batch = made_method(standardize=True).train(), made_batch()
    expected = method.training_step(batch, torch.manual_seed(0))["loss"]
    maps = method.image_encoder.features(batch.images)
    scale, shift = torch.rand(2, maps.shape[1], 1, 1, generator=torch.manual_seed(0)) + 0.5
    method.image_encoder.features = lambda images: 100 * maps * scale + shift
    torch.testing.assert_close(
        method.training_step(batch, torch.manual_seed(0))["loss"], expected, rtol=1e-3, atol=1e-4
    )


def test_some_pairs_are_drawn_from_the_generator_alone():
    batch = made_batch()
    few, whole = made_method(pairs=20), made_method(pairs=10_000)
    losses = [few.training_step(batch, torch.manual_seed(seed))["loss"].item() for seed in (3, 3, 4)]
    assert losses[0] == losses[1] != losses[2]
    expected = made_method().training_step(batch, torch.manual_seed(0))["loss"]
    torch.testing.assert_close(whole.training_step(batch, torch.manual_seed(0))["loss"], expected)
    with pytest.raises(ValueError, match="found 0 pairs, expected 1 or more"):
        made_method(pairs=0)
