from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from crosspoint import DGCNN, CrossPoint, PointNet, load_encoder, save_encoder
from crosspoint.checkpoints.load import encoder_record, trained_on
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from crosspoint.training.config import TrainingConfig
from crosspoint.training.lightning_module import Pretraining

spec = importlib.util.spec_from_file_location("original_networks", Path(__file__).with_name("original_networks.py"))
original = importlib.util.module_from_spec(spec)
sys.modules["original_networks"] = original
spec.loader.exec_module(original)


def randomize(network: nn.Module) -> nn.Module:
    """Weights, norms and running statistics that differ from their initial values, as after training."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for tensor, low in ((module.weight, -0.5), (module.running_var, 0.5), (module.running_mean, -0.5)):
                tensor.data = low + torch.rand(tensor.shape, generator=generator)
            nn.init.normal_(module.bias, generator=generator)
    return network.eval()


def points() -> Tensor:
    return torch.randn(3, 80, 3, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("network", ["OriginalDGCNN", "OriginalPartSeg", "fine-tuned OriginalPartSeg"])
def test_original_weights_give_the_same_features(network: str, prefix: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = original.OriginalPartSeg(parts=50) if "fine" in network else getattr(original, network)()
    randomize(reference)
    path = tmp_path / "weights.pth"
    torch.save({prefix + name: tensor for name, tensor in reference.state_dict().items()}, path)
    encoder = load_encoder(path)
    assert not encoder.training
    assert isinstance(encoder, DGCNN if network == "OriginalDGCNN" else PartSegDGCNN)
    with torch.no_grad():
        expected = reference(points())
        assert float((encoder(points()) - expected).abs().max() / expected.abs().max()) < 1e-5


def test_other_k_is_taken(tmp_path: Path) -> None:
    reference = randomize(original.OriginalDGCNN(k=5))
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    with torch.no_grad():
        found, expected = load_encoder(tmp_path / "weights.pth", k=5)(points()), reference(points())
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


def test_incomplete_original_is_named(tmp_path: Path) -> None:
    state = original.OriginalDGCNN().state_dict()
    del state["conv3.0.weight"]
    torch.save(state, tmp_path / "weights.pth")
    with pytest.raises(ValueError, match=r"found no 'conv3.0.weight' among the weights"):
        load_encoder(tmp_path / "weights.pth")


@pytest.mark.parametrize(
    "encoder", [DGCNN(k=6, channels=[8, 16], embedding=24), PointNet(embedding=32), PartSegDGCNN(k=9)]
)
def test_export_round_trip(encoder: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "encoder.safetensors"
    save_encoder(encoder.eval(), path)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    again = load_encoder(path)
    with torch.no_grad():
        assert torch.equal(again(points()), encoder(points()))


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('unpickled')",))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.ckpt", None, "found no checkpoint at"),
        ("text.ckpt", b"hello", "found .* unreadable|only their own code can read"),
        ("empty.ckpt", b"", "found .* unreadable"),
        ("text.safetensors", b"hello", "found .* unreadable .* expected safetensors"),
        ("code.pth", Payload(), "only their own code can read"),
        ("list.pth", [1, 2], "found a list in"),
        ("other.pth", {"layer.weight": torch.zeros(2)}, r"found keys \['layer.weight'\] …"),
    ],
)
def test_bad_files_are_named(name: str, content: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / name
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load_encoder(path)


def test_truncated_checkpoint_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.pth"
    torch.save(original.OriginalDGCNN().state_dict(), path)
    path.write_bytes(path.read_bytes()[:10_000])
    with pytest.raises(ValueError, match="unreadable"):
        load_encoder(path)


def test_another_architecture_is_named(tmp_path: Path) -> None:
    from crosspoint.checkpoints.load import ENCODER_KEY

    content = {ENCODER_KEY: {"network": "pointnet"}, "state_dict": {"method.encoder.x": torch.zeros(1)}}
    torch.save(content, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="that do not fit pointnet"):
        load_encoder(tmp_path / "other.ckpt")


def test_the_points_of_training_travel_with_the_weights(tmp_path: Path) -> None:
    method = CrossPoint(PointNet(embedding=8), None, cross_weight=0.0)
    module = Pretraining(method, TrainingConfig(), 0, encoder_record(method.encoder, points=96))
    content = {"state_dict": module.state_dict()}
    module.on_save_checkpoint(content)
    torch.save(content, tmp_path / "run.ckpt")
    encoder = load_encoder(tmp_path / "run.ckpt")
    save_encoder(encoder, tmp_path / "export.safetensors")
    assert trained_on(encoder) == trained_on(load_encoder(tmp_path / "export.safetensors")) == (96, None)
    save_encoder(PointNet(embedding=8), tmp_path / "new.safetensors")
    assert trained_on(load_encoder(tmp_path / "new.safetensors")) == (None, None)
    method = CrossPoint(DGCNN(k=9), None, cross_weight=0.0)
    module = Pretraining(method, TrainingConfig(), 0, encoder_record(method.encoder, points=128))
    module.on_save_checkpoint(content := {"state_dict": module.state_dict()})
    torch.save(content, tmp_path / "dgcnn.ckpt")
    assert trained_on(load_encoder(tmp_path / "dgcnn.ckpt", k=20)) == (128, 9)
