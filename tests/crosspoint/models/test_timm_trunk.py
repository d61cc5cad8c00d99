import pytest
import timm
import torch
from safetensors.torch import save_file

from crosspoint.models.timm_trunk import TimmTrunk

CONV, VIT = "test_efficientnet", "test_vit"


def drawn(size=(64, 96)):
    return torch.rand(2, 3, *size, generator=torch.manual_seed(0))


@pytest.mark.parametrize(
    ("network", "layers", "strides"),
    [(CONV, (-1,), [32]), (CONV, (2,), [8]), ("test_resnet", (-2,), [16])],
)
def test_maps_of_a_layer_are_those_that_timm_gives_as_features(network, layers, strides):
    trunk = TimmTrunk(network, layers=layers).eval()
    theirs = timm.create_model(network, features_only=True, out_indices=[layers[0]]).eval()
    whole = TimmTrunk(network).eval()  # weights under the names of the whole network
    own = trunk.model.state_dict()
    whole.model.load_state_dict(own, strict=False)
    theirs.load_state_dict({name: weight for name, weight in own.items() if name in theirs.state_dict()}, strict=False)
    with torch.no_grad():
        maps, (expected,) = trunk(drawn()), theirs(drawn())
    assert maps.shape == (2, trunk.channels, 64 // strides[0], 96 // strides[0])
    torch.testing.assert_close(maps, expected, rtol=1e-4, atol=1e-5)


def test_patches_of_a_transformer_are_maps_without_class_token_before_the_last_normalization():
    trunk = TimmTrunk(VIT).eval()
    model = trunk.model
    with torch.no_grad():
        maps = trunk(drawn((64, 96)))
        tokens = model._pos_embed(model.patch_embed(drawn((64, 96))))
        for block in model.blocks:
            tokens = block(tokens)
        patches = tokens[:, model.num_prefix_tokens :]
    assert maps.shape == (2, trunk.channels, 4, 6)
    torch.testing.assert_close(maps, patches.transpose(1, 2).reshape(2, -1, 4, 6))


def test_several_layers_are_joined_at_the_finest_stride_in_the_order_asked_for():
    joined = TimmTrunk(CONV, layers=(4, 2)).eval()
    single = {layer: TimmTrunk(CONV, layers=(layer,)).eval() for layer in (2, 4)}
    for trunk in single.values():
        trunk.model.load_state_dict(joined.model.state_dict(), strict=False)
    with torch.no_grad():
        maps, coarse, fine = joined(drawn()), single[4](drawn()), single[2](drawn())
    assert maps.shape[2:] == fine.shape[2:] and joined.channels == coarse.shape[1] + fine.shape[1]
    torch.testing.assert_close(maps[:, coarse.shape[1] :], fine)
    torch.testing.assert_close(
        maps[:, : coarse.shape[1], ::7, ::11], coarse[:, :, :: coarse.shape[2] - 1, :: coarse.shape[3] - 1]
    )


def test_dilated_maps_have_stride_8():
    trunk = TimmTrunk(CONV, dilated=True).eval()
    assert trunk(drawn()).shape == (2, trunk.channels, 8, 12)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("network", [CONV, VIT])
def test_a_file_in_timms_names_is_loaded_whole_and_its_classifier_left_out(tmp_path, network, suffix):
    saved, path = timm.create_model(network).state_dict(), tmp_path / f"weights{suffix}"
    save_file(saved, path) if suffix == ".safetensors" else torch.save({"state_dict": saved}, path)
    trunk = TimmTrunk(network, weights=str(path))
    loaded = trunk.model.state_dict()
    assert loaded and all(torch.equal(weight, saved[name]) for name, weight in loaded.items())


def test_means_are_those_of_the_network():
    assert TimmTrunk("tf_efficientnet_lite0").mean == (0.5, 0.5, 0.5)
    assert TimmTrunk(CONV).mean == (0.485, 0.456, 0.406)


def test_what_does_not_fit_is_told_in_one_line(tmp_path):
    torch.save(timm.create_model("test_resnet").state_dict(), tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"found .*other.pth without .* expected those of test_efficientnet in timm's"):
        TimmTrunk(CONV, weights=str(tmp_path / "other.pth"))
    wide = {
        name: weight.repeat(2, *[1] * (weight.ndim - 1)) if weight.ndim else weight
        for name, weight in timm.create_model(CONV).state_dict().items()
    }
    torch.save(wide, tmp_path / "wide.pth")
    with pytest.raises(ValueError, match="with other shapes of"):
        TimmTrunk(CONV, weights=str(tmp_path / "wide.pth"))
    with pytest.raises(FileNotFoundError, match=r"found no file nowhere.safetensors, expected weights for test_vit"):
        TimmTrunk(VIT, weights="nowhere.safetensors")
    with pytest.raises(
        ValueError, match=r"found the network 'vit_smal_patch14_dinov2'.*did you mean vit_small_patch14"
    ):
        TimmTrunk("vit_smal_patch14_dinov2")
    with pytest.raises(ValueError, match=r"found layers \[9\] of test_efficientnet, expected some of 0 to 4"):
        TimmTrunk(CONV, layers=(9,))
    with pytest.raises(ValueError, match="found dilated for test_vit, expected a convolutional network"):
        TimmTrunk(VIT, dilated=True)


def test_sizes_that_a_network_does_not_take_are_found_before_training():
    with pytest.raises(ValueError, match=r"patches of 16 × 16, expected sides that the patch divides: .* \[96, 224\]"):
        TimmTrunk(VIT).check_size((100, 224))
    TimmTrunk(VIT).check_size((96, 224))
    with pytest.raises(ValueError, match="that mixer_s16_224 does not take"):
        TimmTrunk("mixer_s16_224").check_size((96, 224))


def test_a_network_without_maps_is_refused(monkeypatch):
    monkeypatch.setattr(timm, "create_model", lambda *a, **k: torch.nn.Identity())
    with pytest.raises(ValueError, match="found the network test_vit, expected one with spatial maps"):
        TimmTrunk(VIT)


def test_published_weights_that_cannot_be_reached_are_one_line(monkeypatch):
    def unreachable(*args, pretrained, **kwargs):
        assert pretrained
        raise OSError("no connection")

    monkeypatch.setattr(timm, "create_model", unreachable)
    with pytest.raises(
        FileNotFoundError, match=r"no way to download the weights of vit_small_patch14_dinov2 \(no conn"
    ):
        TimmTrunk("vit_small_patch14_dinov2", weights="pretrained")
    monkeypatch.undo()
    with pytest.raises(FileNotFoundError, match="found no published weights of vit_tiny_patch16_18x2"):
        monkeypatch.setattr(timm, "is_model", lambda name: True)
        TimmTrunk("vit_tiny_patch16_18x2", weights="pretrained")
