from __future__ import annotations

import pytest
import torch
from torch import Generator, Tensor
from torchvision.transforms.v2 import functional as TF

from crosspoint.transforms import (
    CloudAugmentation,
    ImageAugmentation,
    color_jitter,
    normalize_images,
    random_resized_crop,
    random_subset,
    unit_sphere,
)

IDENTITY = {"scale": (1.0, 1.0), "rotation": "none", "translation": 0.0, "jitter": 0.0, "dropout": 0.0}


def generator(seed: int = 0) -> Generator:
    return Generator().manual_seed(seed)


def clouds(batch: int = 400, count: int = 64) -> Tensor:
    return torch.randn(batch, count, 3, generator=generator(9)) * torch.tensor([3.0, 1.0, 0.5]) + 7


def test_without_any_change_a_cloud_is_in_the_unit_sphere() -> None:
    points = CloudAugmentation(**IDENTITY)(clouds(), generator())
    assert torch.allclose(points.mean(dim=1), torch.zeros(3), atol=1e-5)
    assert torch.allclose(points.norm(dim=2).amax(dim=1), torch.ones(400), atol=1e-5)


def test_scale_is_uniform_and_isotropic() -> None:
    points = CloudAugmentation(**{**IDENTITY, "scale": (0.5, 2.0)})(clouds(), generator())
    factors = points.norm(dim=2).amax(dim=1)
    assert factors.min() > 0.5 - 1e-5
    assert factors.max() < 2 + 1e-5
    assert abs(factors.mean() - 1.25) < 0.07  # standard error 0.022
    expected = unit_sphere(clouds()) * factors.view(-1, 1, 1)
    assert torch.allclose(points, expected, atol=1e-5)


def test_stretch_has_its_own_factor_for_each_axis() -> None:
    before = unit_sphere(clouds())
    after = CloudAugmentation(**{**IDENTITY, "stretch": (0.5, 2.0)})(clouds(), generator())
    factors = (after / before).median(dim=1).values
    assert torch.allclose(after, before * factors.unsqueeze(1), atol=1e-5)
    assert factors.min() > 0.5 - 1e-4
    assert factors.max() < 2 + 1e-4
    assert factors.log().mean(dim=0).abs().max() < 0.08  # log-uniform about 0, standard error 0.02
    assert torch.corrcoef(factors.log().T).triu(1).abs().max() < 0.2


@pytest.mark.parametrize(
    "setting",
    [{"scale": (0.0, 1.0)}, {"stretch": (2.0, 1.0)}, {"dropout": 1.5}],
    ids=lambda setting: next(iter(setting)),
)
def test_impossible_settings_are_named(setting: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=f"found {next(iter(setting))}"):
        CloudAugmentation(**setting)


def test_rotation_keeps_height_and_distances_and_takes_every_angle() -> None:
    before = unit_sphere(clouds())
    after = CloudAugmentation(**{**IDENTITY, "rotation": "up"})(clouds(), generator())
    assert torch.allclose(after[..., 1], before[..., 1], atol=1e-5)
    assert torch.allclose(torch.cdist(after, after), torch.cdist(before, before), atol=1e-3)
    angle = torch.atan2(after[:, 0, 2], after[:, 0, 0]) - torch.atan2(before[:, 0, 2], before[:, 0, 0])
    assert torch.stack([angle.cos().mean(), angle.sin().mean()]).norm() < 0.15  # a uniform angle has mean 0


def test_any_rotation_keeps_distances_and_covers_the_sphere() -> None:
    before = unit_sphere(clouds())
    after = CloudAugmentation(**{**IDENTITY, "rotation": "any"})(clouds(), generator())
    assert torch.allclose(torch.cdist(after, after), torch.cdist(before, before), atol=1e-3)
    corners = torch.stack([torch.linalg.det(cloud[:3]) for cloud in after])
    assert torch.allclose(corners, torch.stack([torch.linalg.det(cloud[:3]) for cloud in before]), atol=1e-4)
    up = torch.linalg.lstsq(before, after).solution[:, 1]  # where the up axis went, (B, 3)
    assert up.mean(dim=0).norm() < 0.15  # a uniform direction has mean 0
    assert torch.allclose(up.T @ up / len(up), torch.eye(3) / 3, atol=0.06)  # and covariance 1/3


def test_translation_stays_within_its_share_of_the_extent() -> None:
    before = unit_sphere(clouds())
    after = CloudAugmentation(**{**IDENTITY, "translation": 0.5})(clouds(), generator())
    shift = after - before
    assert torch.allclose(shift, shift[:, :1], atol=1e-5)  # the same for all points of a cloud
    share = shift[:, 0] / (before.amax(dim=1) - before.amin(dim=1))
    assert share.abs().max() <= 0.5 + 1e-5
    assert (share.abs().amax(dim=0) > 0.45).all()  # on every axis


def test_jitter_has_its_deviation_and_limit() -> None:
    noise = CloudAugmentation(**{**IDENTITY, "jitter": 0.02, "jitter_limit": 0.03})(clouds(), generator())
    noise = noise - unit_sphere(clouds())
    assert noise.abs().max() <= 0.03 + 1e-6
    assert abs(noise.abs().median() - 0.6745 * 0.02) < 2e-4  # median of |N(0, σ)|


def test_dropout_overwrites_points_with_the_first() -> None:
    before = unit_sphere(clouds())
    after = CloudAugmentation(**{**IDENTITY, "dropout": 0.875})(clouds(), generator())
    kept = torch.isclose(after, before, atol=1e-6).all(dim=2)
    first = torch.isclose(after, before[:, :1], atol=1e-6).all(dim=2)
    assert (kept | first).all()
    dropped = 1 - kept.float().mean(dim=1)
    assert abs(dropped.mean() - 0.875 / 2) < 0.05
    assert dropped.max() > 0.75


def test_subset_draws_each_point_at_most_once() -> None:
    points = torch.arange(50.0).view(1, 50, 1).expand(20, 50, 3)
    chosen = random_subset(points, 30, generator())[..., 0]
    assert all(len(set(row.tolist())) == 30 for row in chosen)
    counts = torch.bincount(chosen.flatten().long(), minlength=50)
    assert counts.min() > 0
    with pytest.raises(ValueError, match="found clouds of 50 points, expected at least 51"):
        random_subset(points, 51, generator())


def test_same_generator_gives_the_same_and_another_does_not() -> None:
    augment = CloudAugmentation(points=32)
    assert torch.equal(augment(clouds(8), generator(1)), augment(clouds(8), generator(1)))
    assert not torch.equal(augment(clouds(8), generator(1)), augment(clouds(8), generator(2)))


def pictures(batch: int, size: int = 20) -> Tensor:
    return torch.rand(batch, 3, size, size, generator=generator(4))


def test_color_jitter_is_torchvisions_in_some_order() -> None:
    """Each image equals torchvision's three operations, in one of six orders, with the factors that were drawn."""
    images, strength = pictures(24), 0.4
    found = color_jitter(images, strength, generator(5))
    replay = generator(5)
    factors = (1 - strength) + 2 * strength * torch.rand(24, 3, generator=replay)
    turn = torch.rand(24, 3, generator=replay).argsort(dim=1)
    operations = [TF.adjust_brightness, TF.adjust_contrast, TF.adjust_saturation]
    for image, result, factor, turns in zip(images, found, factors.tolist(), turn.tolist(), strict=True):
        for operation in sorted(range(3), key=turns.__getitem__):
            image = operations[operation](image, factor[operation])
        assert torch.allclose(image, result, atol=1e-3)  # torchvision rounds its gray weights
    assert len({tuple(row) for row in turn.tolist()}) == 6


def test_no_jitter_changes_nothing() -> None:
    assert torch.allclose(color_jitter(pictures(4), 0.0, generator()), pictures(4), atol=1e-6)


def test_whole_crop_is_a_resize_and_crops_are_within_the_image() -> None:
    ramp = torch.linspace(0, 1, 64).view(1, 1, 1, 64).expand(200, 3, 64, 64)
    cropped = random_resized_crop(ramp, 16, (0.2, 0.5), generator())
    width = (cropped[:, 0, 0, -1] - cropped[:, 0, 0, 0]) * 16 / 15  # of a horizontal ramp: the box's width
    assert cropped.min() >= 0
    assert cropped.max() <= 1
    assert width.min() > (0.2 * 3 / 4) ** 0.5 - 0.05
    assert width.max() < (0.5 * 4 / 3) ** 0.5 + 0.05
    assert torch.allclose(cropped[:, :, 0], cropped[:, :, -1], atol=1e-6)


def test_images_are_resized_flipped_and_normalized() -> None:
    images = (pictures(300, 8) * 255).to(torch.uint8)
    plain = ImageAugmentation(size=8, jitter=0.0, flip=0.0)(images, generator())
    assert torch.allclose(plain, normalize_images(images.float() / 255), atol=1e-5)
    flipped = ImageAugmentation(size=8, jitter=0.0, flip=0.5)(images, generator())
    mirrored = torch.isclose(flipped, plain.flip(3), atol=1e-5).flatten(1).all(dim=1)
    same = torch.isclose(flipped, plain, atol=1e-5).flatten(1).all(dim=1)
    assert (mirrored | same).all()
    assert 0.4 < mirrored.float().mean() < 0.6
    assert ImageAugmentation(size=5)(images, generator()).shape == (300, 3, 5, 5)
