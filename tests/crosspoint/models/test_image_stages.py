"""Stages of image networks against torchvision's and timm's own ways to their features."""

from __future__ import annotations

import pytest
import timm
import torch
import torchvision
from torchvision.models.feature_extraction import create_feature_extractor

from crosspoint.models.image_stages import ImageStages

IMAGES = torch.randint(0, 256, (2, 3, 64, 96), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)


def test_stages_of_a_resnet_are_those_that_torchvision_finds() -> None:
    network = ImageStages("resnet18").eval()
    nodes = ["relu", "layer1", "layer2", "layer3", "layer4"]
    resnet = torchvision.models.resnet18().eval()
    resnet.load_state_dict(network.trunk.state_dict(), strict=False)  # it has a classifier, too
    oracle = create_feature_extractor(resnet, nodes)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (network.trunk.mean, network.trunk.std))
    with torch.no_grad():
        found, expected = network(IMAGES), oracle((IMAGES / 255 - mean) / std)
    assert [tuple(part.shape[1:]) for part in found] == [
        (channels, 64 // stride, 96 // stride)
        for channels, stride in zip(network.channels, (2, 4, 8, 16, 32), strict=True)
    ]
    for part, name in zip(found, nodes, strict=True):
        torch.testing.assert_close(part, expected[name], rtol=1e-4, atol=1e-4)  # in another layout of memory


def test_stages_of_a_network_of_timm_are_those_that_timm_extracts() -> None:
    network = ImageStages("test_efficientnet").eval()
    oracle = timm.create_model("test_efficientnet", features_only=True).eval()
    state = network.trunk.state_dict()
    oracle.load_state_dict({name: state[f"model.{name}"] for name in oracle.state_dict()})
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (network.trunk.mean, network.trunk.std))
    with torch.no_grad():
        found, expected = network(IMAGES), oracle((IMAGES / 255 - mean) / std)
    assert network.channels == tuple(oracle.feature_info.channels())
    assert len(found) == len(expected) == 5
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part, other)


def test_a_transformer_has_one_stage() -> None:
    network = ImageStages("test_vit").eval()
    with torch.no_grad():
        maps = network(IMAGES[:, :, :32, :32])
    assert len(network.channels) == len(maps) == 1


def test_what_ends_early_has_fewer_stages() -> None:
    assert ImageStages("test_efficientnet", layers=[2]).channels == ImageStages("test_efficientnet").channels[:3]


def test_fresh_weights_are_others_of_the_same_shapes() -> None:
    network = ImageStages("resnet18")
    other = network.fresh()
    assert {name: weight.shape for name, weight in other.state_dict().items()} == {
        name: weight.shape for name, weight in network.state_dict().items()
    }
    assert not torch.equal(next(other.parameters()), next(network.parameters()))


def test_a_network_that_is_not_there() -> None:
    with pytest.raises(
        ValueError, match=r"found the network 'resnet19', expected resnet18, resnet50, or one of timm's"
    ):
        ImageStages("resnet19")
