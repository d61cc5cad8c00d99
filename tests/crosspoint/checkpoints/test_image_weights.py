import urllib.error

import pytest
import torch
import torchvision

from crosspoint.checkpoints.image_weights import MOCO_V2, load_weights, read_image_weights
from crosspoint.models.resnet_trunk import ResNetTrunk


def saved_resnet():
    """Weights that no other network has."""
    torch.manual_seed(5)
    return torchvision.models.resnet18().state_dict()


def moco(state):
    query = {f"module.encoder_q.{name}": weight for name, weight in state.items() if not name.startswith("fc.")}
    head = {"module.encoder_q.fc.0.weight": torch.ones(4, 4), "module.encoder_q.fc.2.bias": torch.ones(4)}
    key = {f"module.encoder_k.{name}": torch.zeros_like(weight) for name, weight in state.items()}
    queue = {"module.queue": torch.zeros(4, 8), "module.queue_ptr": torch.zeros(1)}
    return {"epoch": 800, "arch": "resnet18", "state_dict": query | head | key | queue, "optimizer": {"lr": 0.03}}


def dino_teacher(state):
    backbone = {f"backbone.{name}": weight for name, weight in state.items() if not name.startswith("fc.")}
    student = {f"module.{name}": torch.zeros_like(weight) for name, weight in backbone.items()}
    return {"student": student, "teacher": backbone | {"head.mlp.0.weight": torch.ones(3, 3)}, "epoch": 800}


def objects_run(state):
    """As `crosspoint pretrain` saves the image branch of objects."""
    others = {"method.image_head.0.weight": torch.ones(4, 4), "method.encoder.layer.weight": torch.ones(4)}
    branch = {f"method.image_encoder.resnet.{n}": w for n, w in state.items() if not n.startswith("fc.")}
    return {"state_dict": others | branch, "epoch": 3}


def simipu_run(state):
    others = {"method.encoder.layer.weight": torch.ones(4), "method.head.weight": torch.ones(4)}
    return {
        "state_dict": others | {f"method.image_encoder.{n}": w for n, w in state.items() if not n.startswith("fc.")}
    }


def without_counts(state):
    return {name: weight for name, weight in state.items() if not name.endswith("num_batches_tracked")}


@pytest.mark.parametrize(
    "layout",
    [
        moco,
        dino_teacher,
        lambda state: {n: w for n, w in state.items() if not n.startswith("fc.")},  # DINO's ResNet alone
        lambda state: {f"backbone.{n}": w for n, w in state.items()},
        lambda state: (
            {f"module.backbone.{n}": w for n, w in state.items()} | {"module.head.last.weight": torch.ones(2)}
        ),
        lambda state: {"state_dict": {f"module.{n}": w for n, w in state.items()}},
        without_counts,
        dict,
        objects_run,
        simipu_run,
    ],
    ids=[
        *("moco", "dino-teacher", "dino-plain", "backbone", "dino-ddp", "ddp", "old", "torchvision"),
        *("objects-run", "simipu-run"),
    ],
)
def test_every_known_layout_gives_the_weights_that_were_saved(tmp_path, layout):
    state = saved_resnet()
    torch.save(layout(state), tmp_path / "weights.pth")
    trunk = ResNetTrunk("resnet18", dilated=False, weights=str(tmp_path / "weights.pth"))
    loaded = without_counts(trunk.state_dict())
    assert without_counts(read_image_weights(tmp_path / "weights.pth")).keys() == loaded.keys()
    assert len(loaded) == len(without_counts(state)) - 2  # the classifier's weight and bias
    for name, weight in loaded.items():
        torch.testing.assert_close(weight, state[name], rtol=0, atol=0)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda state: state.pop("layer3.0.conv2.weight"), r"without layer3\.0\.conv2\.weight \(1 in all\)"),
        (lambda state: state.update({"layer5.weight": torch.ones(2)}), r"with unknown layer5\.weight \(1 in all\)"),
        (lambda state: state.update({"bn1.bias": torch.ones(2)}), r"with other shapes of bn1\.bias \(1 in all\)"),
        (lambda state: state.pop("conv1.weight"), "expected a ResNet's as torchvision, MoCo or DINO names them"),
    ],
)
def test_weights_that_do_not_fit_are_named_and_nothing_is_loaded(tmp_path, change, told):
    state = saved_resnet()
    change(state)
    path = tmp_path / "weights.pth"
    torch.save(state, path)
    trunk = ResNetTrunk("resnet18", dilated=False, weights="none")
    before = {name: weight.clone() for name, weight in trunk.state_dict().items()}
    with pytest.raises(ValueError, match=told) as error:
        load_weights(trunk, "resnet18", str(path))
    assert "\n" not in str(error.value)
    assert all(torch.equal(weight, before[name]) for name, weight in trunk.state_dict().items())


def test_a_file_without_a_resnet_is_refused(tmp_path):
    torch.save({"state_dict": {"method.encoder.stem.0.kernel": torch.ones(2)}}, tmp_path / "ppkt.ckpt")
    with pytest.raises(ValueError, match="expected a ResNet's"):
        read_image_weights(tmp_path / "ppkt.ckpt")
    with pytest.raises(FileNotFoundError, match="found no checkpoint at"):
        read_image_weights(tmp_path / "nowhere.ckpt")


def test_another_networks_file_is_refused(tmp_path):
    torch.save(saved_resnet(), tmp_path / "weights.pth")
    with pytest.raises(ValueError, match="expected those of a resnet50"):
        ResNetTrunk("resnet50", dilated=True, weights=str(tmp_path / "weights.pth"))


def test_a_missing_file_or_name_says_what_to_fetch():
    with pytest.raises(FileNotFoundError, match=f"{MOCO_V2}.*IMAGENET1K_V2.*or none"):
        ResNetTrunk("resnet50", dilated=False, weights="moco.pth.tar")


def test_a_failed_download_says_where_the_file_goes(tmp_path, monkeypatch):
    def refuse(*_args, **_options):
        raise urllib.error.URLError("no route")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    place = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    with pytest.raises(FileNotFoundError, match=f"https://download.pytorch.org/.*no route.*put that file at {place}"):
        ResNetTrunk("resnet18", dilated=False, weights="DEFAULT")
