import logging
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file

from crosspoint.models.image_teacher import ImageTeacher

WEIGHTS = Path(__file__).parents[4] / "shared" / "data" / "weights" / "tf_efficientnet_lite0_imagenet.safetensors"


def make_teacher(**options):
    torch.manual_seed(0)
    return ImageTeacher(**{"network": "test_efficientnet", "layers": [2], **options})


def drawn_images(count=2, size=(32, 64), seed=0):
    return torch.randint(256, (count, 3, *size), dtype=torch.uint8, generator=torch.manual_seed(seed))


def test_maps_are_the_networks_of_images_with_its_own_mean_and_deviation_removed():
    teacher = make_teacher(network="tf_efficientnet_lite0")
    with torch.no_grad():
        expected = teacher.trunk(drawn_images().float() / 127.5 - 1)
    maps = teacher(drawn_images())
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-5)
    assert teacher.feature_dim == maps.shape[1] == 40 and not maps.requires_grad


def test_nothing_is_trained_and_statistics_stay():
    teacher = make_teacher().train()
    before = {name: weight.clone() for name, weight in teacher.state_dict().items()}
    teacher(drawn_images())
    assert not any(weight.requires_grad for weight in teacher.parameters()) and not teacher.trunk.training
    assert all(torch.equal(weight, before[name]) for name, weight in teacher.state_dict().items())


def test_half_precision_gives_about_the_same_maps_in_full_type():
    full, half = make_teacher(), make_teacher(precision="bf16")
    half.load_state_dict(full.state_dict())
    maps = half(drawn_images())
    assert maps.dtype == torch.float32
    torch.testing.assert_close(maps, full(drawn_images()), rtol=0.1, atol=0.1)
    with pytest.raises(ValueError, match="found the precision 'half', expected one of run, bf16, fp16"):
        make_teacher(precision="half")


def test_maps_on_disk_are_read_instead_of_made(tmp_path, monkeypatch):
    teacher = make_teacher(cache=tmp_path)
    first, plain = teacher(drawn_images()), make_teacher()(drawn_images())
    torch.testing.assert_close(first, plain, rtol=1e-3, atol=1e-3)  # kept in float16
    files = sorted(tmp_path.rglob("*.safetensors"))
    assert len(files) == 2
    monkeypatch.setattr(teacher, "_run", lambda images: pytest.fail("an image was described again"))
    assert torch.equal(teacher(drawn_images()), first)
    assert torch.equal(teacher(drawn_images()[[1]]), first[[1]])
    monkeypatch.undo()
    files[0].write_bytes(files[0].read_bytes()[:20])
    torch.testing.assert_close(teacher(drawn_images()), first, rtol=1e-3, atol=1e-3)  # a damaged file is made anew
    assert len(files[0].read_bytes()) > 20


def test_maps_of_another_network_layer_or_size_are_other_files(tmp_path):
    make_teacher(cache=tmp_path)(drawn_images(1))
    make_teacher(cache=tmp_path, layers=[3])(drawn_images(1))
    make_teacher(cache=tmp_path)(drawn_images(1, (32, 32)))
    torch.manual_seed(1)
    ImageTeacher(network="test_efficientnet", layers=[2], cache=tmp_path)(drawn_images(1))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 4


def test_a_random_teacher_is_told_in_one_line(caplog):
    with caplog.at_level(logging.WARNING):
        make_teacher()
    assert "a random test_efficientnet teaches" in caplog.records[0].getMessage() and len(caplog.records) == 1


def test_weights_of_imagenet_are_read_and_know_images(caplog):
    if not WEIGHTS.is_file():
        pytest.skip("no shared weights beside the repository")
    teacher = make_teacher(network="tf_efficientnet_lite0", weights=str(WEIGHTS))
    assert not caplog.records
    reference = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=[2]).eval()
    reference.load_state_dict(load_file(WEIGHTS), strict=False)
    with torch.no_grad():
        (expected,) = reference(drawn_images().float() / 127.5 - 1)
    torch.testing.assert_close(teacher(drawn_images()), expected, rtol=1e-3, atol=1e-4)
