"""The loss against its definition, and the decoders against what they are made of."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from crosspoint.eval.supervised.depth_frames import DepthBatch
from crosspoint.eval.supervised.depth_networks import DenseDepth, DepthEstimator, LinearDepth, depth_loss
from crosspoint.models.image_stages import ImageStages


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_loss_is_that_of_its_formula() -> None:
    truth = 100 * drawn(2, 5, 7) * (drawn(2, 5, 7, seed=1) < 0.6)
    log_depth = (1 + 50 * drawn(2, 5, 7, seed=2)).log().requires_grad_()
    terms = [
        float(p) - math.log(float(t))
        for p, t in zip(log_depth.detach().flatten(), truth.flatten(), strict=True)
        if 0.001 < float(t) < 80
    ]
    mean = sum(terms) / len(terms)
    variance = sum((term - mean) ** 2 for term in terms) / len(terms)
    loss = depth_loss(log_depth, truth, 0.001, 80.0)
    assert float(loss.detach()) == pytest.approx(math.sqrt(variance + 0.15 * mean**2), rel=1e-5)
    assert torch.autograd.gradcheck(lambda x: depth_loss(x, truth, 0.001, 80.0), log_depth)
    assert bool((torch.autograd.grad(loss, log_depth)[0][(truth <= 0.001) | (truth >= 80)] == 0).all())


def test_a_common_factor_costs_its_logarithm_alone() -> None:
    truth = 1 + 50 * drawn(1, 6, 6)
    assert float(depth_loss((3 * truth).log(), truth, 0.001, 80)) == pytest.approx(
        math.sqrt(0.15) * math.log(3), rel=1e-4
    )


def test_images_without_depth_cost_nothing() -> None:
    log_depth = torch.zeros(1, 4, 4, requires_grad=True)
    loss = depth_loss(log_depth, torch.zeros(1, 4, 4), 0.001, 80.0)
    loss.backward()
    assert float(loss.detach()) == 0 and log_depth.grad is not None and not log_depth.grad.any()


def test_a_perfect_prediction_has_a_finite_gradient() -> None:
    truth = 1 + drawn(1, 4, 4)
    log_depth = truth.log().requires_grad_()
    depth_loss(log_depth, truth, 0.001, 80.0).backward()
    assert log_depth.grad is not None and bool(log_depth.grad.isfinite().all())


def test_the_probe_is_linear_in_the_last_two_stages() -> None:
    """Log depth of a sum of features, less that of none, is the sum of both's; other stages change nothing."""
    head = LinearDepth((4, 6, 8)).double().eval()
    nn.init.normal_(head.layer.weight, generator=torch.Generator().manual_seed(1))
    head.standardize.running_mean.copy_(drawn(14))  # type: ignore[union-attr] # it has statistics
    first, second = ([drawn(1, c, *s, seed=k) for c, s in SHAPES] for k in (1, 2))
    none = [torch.zeros_like(part) for part in first]
    told = [head(maps, (16, 24)) for maps in (first, second, [a + b for a, b in zip(first, second, strict=True)], none)]
    torch.testing.assert_close(told[2] - told[3], told[0] + told[1] - 2 * told[3])
    torch.testing.assert_close(head([second[0], *first[1:]], (16, 24)), told[0])
    assert told[0].shape == (1, 16, 24)


SHAPES = ((4, (8, 12)), (6, (4, 6)), (8, (2, 3)))


def test_the_probe_begins_at_ten_meters() -> None:
    head = LinearDepth((4, 6, 8)).eval()
    told = head([drawn(1, c, *s).float() for c, s in SHAPES], (16, 24)).exp()
    torch.testing.assert_close(told, torch.full((1, 16, 24), 10.0))


def test_the_decoder_is_densedepths() -> None:
    """Channels of a ResNet-50, as SimIPU's configuration lists them."""
    with torch.device("meta"):
        head = DenseDepth((64, 256, 512, 1024, 2048), 80.0)
    convolutions = [layer for layer in head.modules() if isinstance(layer, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels, layer.kernel_size[0]) for layer in convolutions] == [
        (2048, 2048, 1),
        (2048 + 1024, 1024, 3),
        (1024, 1024, 3),
        (1024 + 512, 512, 3),
        (512, 512, 3),
        (512 + 256, 256, 3),
        (256, 256, 3),
        (256 + 64, 128, 3),
        (128, 128, 3),
        (128, 1, 3),
    ]


def test_the_decoder_goes_up_stage_by_stage() -> None:
    head = DenseDepth((4, 6, 8), 80.0)
    maps = [drawn(2, c, *s).float().requires_grad_() for c, s in SHAPES]
    log_depth = head(maps, (16, 24))
    assert log_depth.shape == (2, 16, 24)
    log_depth.sum().backward()
    assert all(part.grad is not None and part.grad.any() for part in maps)
    nn.init.constant_(head.last.bias, 20.0)
    torch.testing.assert_close(head(maps, (16, 24)).exp(), torch.full((2, 16, 24), 80.0))
    nn.init.constant_(head.last.bias, -200.0)
    assert bool(head(maps, (16, 24)).isfinite().all())


def batch_of(images: Tensor) -> DepthBatch:
    count, _, height, width = images.shape
    sizes = torch.tensor([height, width]).expand(count, 2)
    return DepthBatch(images, torch.ones(count, height, width), sizes, [])


def test_a_frozen_encoder_stays_as_it_is() -> None:
    network = DepthEstimator(ImageStages("test_efficientnet"), LinearDepth((8, 8)), freeze_encoder=True).train()
    assert network.encoder is not None and not network.encoder.training and network.head.training
    assert not any(weight.requires_grad for weight in network.encoder.parameters())


def test_images_may_be_seen_smaller_than_they_are() -> None:
    encoder = ImageStages("resnet18").eval()
    images = torch.full((1, 3, 128, 192), 90, dtype=torch.uint8)
    small = DepthEstimator(encoder, nn.Identity(), scale=0.5).encode(images)
    assert small[0].shape[2:] == (32, 48)
    torch.testing.assert_close(small[-1], encoder(images[:, :, :64, :96])[-1])
    told = DepthEstimator(encoder, LinearDepth(encoder.channels), scale=0.5).eval()(batch_of(images))
    assert told.shape == (1, 128, 192)


def test_one_stage_is_too_few() -> None:
    for make in (LinearDepth, lambda channels: DenseDepth(channels, 80.0)):
        with pytest.raises(
            ValueError, match="found an image network with 1 stage, expected maps of two strides or more"
        ):
            make([192])
