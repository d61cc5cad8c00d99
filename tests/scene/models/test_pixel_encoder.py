import logging

import pytest
import torch
import torchvision
from torchvision.transforms.functional import normalize

from crosspoint.models.resnet_trunk import ResNetTrunk
from crosspoint.scene.models.pixel_encoder import PixelEncoder, ResNetMaps
from crosspoint.scene.ops.upsampling import upsample


def make_encoder(**options):
    torch.manual_seed(0)
    encoder = PixelEncoder(**{"network": "resnet18", "projection": 8, **options})
    with torch.no_grad():  # statistics that random images would change
        for module in encoder.trunk.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.uniform_(-0.5, 0.5)
                module.running_var.uniform_(0.5, 2)
    return encoder


def drawn_images(count=2, size=(64, 96), seed=0):
    return torch.randint(256, (count, 3, *size), dtype=torch.uint8, generator=torch.manual_seed(seed))


@pytest.mark.parametrize(("dilated", "stride"), [(False, 32), (True, 4)])
@pytest.mark.parametrize(("network", "channels"), [("resnet18", 512), ("resnet50", 2048)])
def test_trunks_have_the_stride_and_channels_they_say(network, channels, dilated, stride):
    trunk = ResNetTrunk(network, dilated=dilated, weights="none")
    assert trunk(torch.rand(2, 3, 64, 64)).shape == (2, channels, 64 // stride, 64 // stride)
    assert trunk.channels == channels


def test_dilation_of_resnet50_is_torchvisions():
    trunk = ResNetTrunk("resnet50", dilated=True, weights="none").eval()
    theirs = torchvision.models.resnet50(replace_stride_with_dilation=[True, True, True]).eval()
    missing = theirs.load_state_dict(trunk.state_dict(), strict=False)
    assert missing.missing_keys == ["fc.weight", "fc.bias"] and not missing.unexpected_keys
    theirs.avgpool = theirs.fc = torch.nn.Identity()
    images = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(trunk(images).flatten(1), theirs(images), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", ["resnet18", "resnet50"])
def test_every_eighth_feature_of_a_dilated_trunk_is_that_of_stride_32(network):
    plain = ResNetTrunk(network, dilated=False, weights="none").double().eval()
    dilated = ResNetTrunk(network, dilated=True, weights="none").double().eval()
    dilated.load_state_dict(plain.state_dict())
    images = torch.rand(1, 3, 44, 97, dtype=torch.float64)
    with torch.no_grad():
        torch.testing.assert_close(dilated(images)[:, :, ::8, ::8], plain(images))


def test_pixels_are_decoded_features_of_images_normalized_as_imagenet():
    encoder, images = make_encoder(dilated=True), drawn_images()
    normalized = normalize(images.float() / 255, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    with torch.no_grad():
        expected = upsample(encoder.decoder(encoder.trunk(normalized)), (64, 96))
        pixels = encoder(images)
    assert pixels.shape == (2, 8, 64, 96)
    torch.testing.assert_close(pixels, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(pixels.norm(dim=1), torch.ones(2, 64, 96))


def test_short_cuts_give_what_the_whole_gives():
    encoder, images = make_encoder(), drawn_images()
    generator = torch.manual_seed(3)
    pixel = torch.rand(50, 2, generator=generator) * torch.tensor([96.0, 64.0])
    image = torch.randint(2, (50,), generator=generator)
    regions = torch.randint(5, (2, 64, 96), generator=generator)
    whole = encoder(images)
    x, y = pixel.floor().long().unbind(dim=1)
    torch.testing.assert_close(encoder.at(images, image, pixel), whole[image, :, y, x])
    means = torch.stack([whole[1].flatten(1)[:, regions[1].flatten() == s].mean(dim=1) for s in range(5)])
    torch.testing.assert_close(encoder.means(images, regions, 5)[1], means)


def test_the_trunk_is_frozen_whatever_mode_is_asked_for():
    encoder, images = make_encoder(), drawn_images()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    optimizer = torch.optim.SGD(encoder.parameters(), lr=1.0, weight_decay=0.1)
    encoder.eval().train()
    encoder(images)[:, 0].sum().backward()
    optimizer.step()
    changed = {name for name, value in encoder.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"decoder.weight", "decoder.bias"}
    assert encoder.training and encoder.decoder.training and not encoder.trunk.training
    assert [name for name, p in encoder.named_parameters() if p.requires_grad] == ["decoder.weight", "decoder.bias"]


def test_a_random_teacher_is_told_in_one_line(caplog):
    with caplog.at_level(logging.WARNING):
        make_encoder()
    assert [record.getMessage() for record in caplog.records] == [
        "image weights: none, so a random resnet18 teaches; give image_encoder.weights for one that knows images"
    ]


def test_weights_reach_the_trunk_and_no_warning_is_given(tmp_path, caplog):
    saved = torchvision.models.resnet18().state_dict()
    torch.save(saved, tmp_path / "resnet.pth")
    encoder = PixelEncoder(network="resnet18", dilated=True, weights=str(tmp_path / "resnet.pth"))
    assert torch.equal(encoder.trunk.layer4[1].conv2.weight, saved["layer4.1.conv2.weight"])
    assert not caplog.records


def test_a_projection_to_nothing_is_refused():
    with pytest.raises(ValueError, match="found a projection to 0 channels, expected 1 or more"):
        PixelEncoder(projection=0)


def test_maps_are_those_of_the_trunk_under_torchvisions_names(tmp_path):
    saved = torchvision.models.resnet18().state_dict()
    torch.save(saved, tmp_path / "resnet.pth")
    maps = ResNetMaps(network="resnet18", weights=str(tmp_path / "resnet.pth")).eval()
    trunk = ResNetTrunk("resnet18", dilated=False, weights=str(tmp_path / "resnet.pth")).eval()
    assert list(maps.state_dict()) == [name for name in saved if not name.startswith("fc.")]
    images = torch.rand(2, 3, 70, 96)
    with torch.no_grad():
        assert torch.equal(maps(images), trunk(images)) and maps(images).shape == (2, 512, 3, 3)
    assert maps.feature_dim == 512 and all(weight.requires_grad for weight in maps.parameters())
    assert maps.arguments == {"network": "resnet18", "weights": str(tmp_path / "resnet.pth")}
