from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from crosspoint import DGCNN, Inputs, PointEncoder, PointNet, load_encoder, load_pretrained, save_encoder
from crosspoint.checkpoints.files import read_safetensors
from crosspoint.checkpoints.record import RECORD_KEY, Record
from crosspoint.models.dgcnn_partseg import PartSegDGCNN
from crosspoint.models.point_transformer import PointTransformer
from crosspoint.plugins import describe
from crosspoint.transforms import unit_sphere
from tests.crosspoint.toys import SIZES, toy_method, toy_run

OLD = Path(__file__).with_name("first_format")

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


@pytest.mark.parametrize("container", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("network", ["OriginalDGCNN", "OriginalPartSeg", "fine-tuned OriginalPartSeg"])
def test_original_weights_give_the_same_features(
    network: str, prefix: str, container: str | None, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    reference = original.OriginalPartSeg(parts=50) if "fine" in network else getattr(original, network)()
    randomize(reference)
    path = tmp_path / "weights.pth"
    state = {prefix + name: tensor for name, tensor in reference.state_dict().items()}
    torch.save(state if container is None else {container: state, "epoch": 3}, path)
    encoder = load_encoder(path)
    assert not encoder.training
    assert isinstance(encoder, DGCNN if network == "OriginalDGCNN" else PartSegDGCNN)
    with torch.no_grad():
        expected = reference(points())
        assert float((encoder(points()) - expected).abs().max() / expected.abs().max()) < 1e-5


def test_other_k_is_taken(tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = randomize(original.OriginalDGCNN(k=5))
    torch.save(reference.state_dict(), tmp_path / "weights.pth")
    with torch.no_grad():
        found, expected = load_encoder(tmp_path / "weights.pth", k=5)(points()), reference(points())
    assert float((found - expected).abs().max() / expected.abs().max()) < 1e-5


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": {"state_dict": state}, "epoch": 1},
        lambda state: {"net": {f"module.encoder.{name}": value for name, value in state.items()}},
        lambda state: {f"point_model.{name}": value for name, value in state.items()},
        lambda state: {name: value for name, value in state.items() if "num_batches" not in name},
    ],
)
def test_weights_in_wrappers_and_of_old_versions(wrap: Callable[[dict], dict], tmp_path: Path) -> None:
    torch.manual_seed(0)
    reference = randomize(original.OriginalDGCNN())
    torch.save(wrap(dict(reference.state_dict())), tmp_path / "weights.pth")
    with torch.no_grad():
        found, expected = load_encoder(tmp_path / "weights.pth")(points()), reference(points())
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
def test_export_round_trip(encoder: PointEncoder, tmp_path: Path) -> None:
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
    with pytest.raises(ValueError, match="cannot be read"):
        load_encoder(path)


def test_another_architecture_is_named(tmp_path: Path) -> None:
    record = Record(describe(PointNet(embedding=8))).as_dict()
    torch.save({RECORD_KEY: record, "state_dict": {"method.encoder.x": torch.zeros(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match="that do not fit PointNet"):
        load_pretrained(tmp_path / "other.ckpt")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": 99}, "found a record of format 99 in .*, expected 2: install the version that wrote it"),
        ({"encoder": {"class_path": "os.path", "init_args": {}}}, "found os.path, expected a class that extends"),
        ({"encoder": {"class_path": "no.Such", "init_args": {}}}, "found no class no.Such .*No module named"),
        ({"encoder": {"class_path": "subprocess.Popen", "init_args": {"args": "x"}}}, "expected a class that extends"),
        ({"encoder": {"class_path": "pointnet", "init_args": {"width": 3}}}, "do not fit it .*width"),
        ({"surprise": 1}, "found the unknown key"),
    ],
)
def test_a_record_cannot_name_just_anything(change: dict[str, object], message: str, tmp_path: Path) -> None:
    encoder = PointNet(embedding=8)
    weights = {f"method.encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    record = {**Record(describe(encoder)).as_dict(), **change}
    torch.save({RECORD_KEY: record, "state_dict": weights}, tmp_path / "run.ckpt")
    with pytest.raises(ValueError, match=message):
        load_pretrained(tmp_path / "run.ckpt")


def test_what_training_saw_travels_with_the_weights(tmp_path: Path) -> None:
    last = toy_run(tmp_path / "run", training={"epochs": 1})
    loaded = load_pretrained(last)
    assert loaded.inputs == Inputs(points=48, k=5)
    assert loaded.config["method"]["init_args"]["clouds"]["points"] == 48
    assert loaded.config["training"]["epochs"] == 1
    save_encoder(loaded.encoder, tmp_path / "export.safetensors", loaded.inputs)
    assert load_pretrained(tmp_path / "export.safetensors").inputs == loaded.inputs
    assert load_pretrained(last, k=7).encoder.config["k"] == 7
    with pytest.raises(ValueError, match=r"found the argument 'width' for .*DGCNN, expected one of k, channels"):
        load_pretrained(last, width=3)
    method = loaded.load_method()
    assert not method.training
    torch.testing.assert_close(method.image_encoder.state_dict(), loaded.image_encoder.state_dict())


@pytest.mark.parametrize("shape", [(200, 3), (2, 200, 3)])
@pytest.mark.parametrize("kind", [np.float64, np.float32, None])
def test_a_raw_cloud_becomes_what_the_encoder_saw(shape: tuple[int, ...], kind: type | None, tmp_path: Path) -> None:
    encoder = PointNet(embedding=8)
    save_encoder(encoder, tmp_path / "e.safetensors", Inputs(points=None))
    loaded = load_pretrained(tmp_path / "e.safetensors")
    cloud = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 40 + 7  # in centimeters, somewhere
    given = cloud if kind is None else cloud.numpy().astype(kind)
    expected = unit_sphere(cloud.view(-1, 200, 3))
    torch.testing.assert_close(loaded.transform(given), expected, atol=1e-5, rtol=0)
    assert loaded.encoder(loaded.transform(given)).shape == (len(expected), 8)


def test_points_and_up_axis_are_those_of_training(tmp_path: Path) -> None:
    save_encoder(PointNet(embedding=8), tmp_path / "e.safetensors", Inputs(points=50, unit_sphere=False))
    loaded = load_pretrained(tmp_path / "e.safetensors")
    cloud = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    fewer = loaded.transform(cloud)
    assert fewer.shape == (1, 50, 3)
    assert torch.equal(fewer, loaded.transform(cloud))
    assert all((fewer[0, i] == cloud).all(dim=1).any() for i in range(50))
    z_up = torch.tensor([[1.0, 2.0, 3.0]])
    assert torch.equal(loaded.transform(z_up, up_axis="z"), torch.tensor([[[1.0, 3.0, -2.0]]]))
    with pytest.raises(ValueError, match=r"found a cloud of shape \(5, 2\), expected \(N, 3\)"):
        loaded.transform(torch.rand(5, 2))
    with pytest.raises(ValueError, match="found NaN"):
        loaded.transform(torch.full((5, 3), float("nan")))


def test_a_checkpoint_of_version_0_1_gives_the_same_features() -> None:
    """`dgcnn.ckpt` and `features.npz` were written by version 0.1."""
    loaded = load_pretrained(OLD / "dgcnn.ckpt")
    assert loaded.inputs == Inputs(points=24, k=4)
    with np.load(OLD / "features.npz") as expected, torch.inference_mode():
        found = loaded.encoder(torch.from_numpy(expected["points"]))
        assert np.array_equal(found.numpy(), expected["dgcnn"])


def test_an_export_of_version_0_1_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    encoder = DGCNN(k=4, channels=[4, 6], embedding=5)
    metadata = {
        "crosspoint_encoder": '{"network": "dgcnn", "k": 4, "channels": [4, 6], "embedding": 5}',
        "crosspoint_points": "24",
    }
    save_file(encoder.state_dict(), tmp_path / "old.safetensors", metadata=metadata)
    loaded = load_pretrained(tmp_path / "old.safetensors")
    assert loaded.inputs == Inputs(points=24, k=4)
    assert all(torch.equal(t, encoder.state_dict()[name]) for name, t in loaded.encoder.state_dict().items())


def test_both_branches_of_version_0_1_are_read(tmp_path: Path) -> None:
    method = toy_method()
    old = {"network": "dgcnn", "k": 5, "channels": [8, 8], "embedding": 16}
    state = {f"method.{name}": tensor for name, tensor in method.state_dict().items()}
    torch.save({"crosspoint_encoder": old, "crosspoint_points": None, "state_dict": state}, tmp_path / "last.ckpt")
    loaded = load_pretrained(tmp_path / "last.ckpt")
    assert loaded.inputs == Inputs()
    again = loaded.load_method()
    assert all(torch.equal(t, again.state_dict()[name]) for name, t in method.state_dict().items())
    (tmp_path / "config.yaml").write_text("method: {images: {size: 48}}")
    assert load_pretrained(tmp_path / "last.ckpt").config["method"]["init_args"]["images"]["size"] == 48
    (tmp_path / "config.yaml").write_text("method: 3")
    with pytest.raises(ValueError, match=r"found 3 at method in .*method\.images\.size"):
        load_pretrained(tmp_path / "last.ckpt")


def test_a_scene_encoder_of_version_0_1_loads_with_equal_features() -> None:
    loaded = load_pretrained(OLD / "minkunet.ckpt")
    assert (loaded.inputs.kind, loaded.inputs.voxels["size"]) == ("voxels", 0.5)
    with np.load(OLD / "features.npz") as expected, torch.inference_mode():
        found = loaded.encoder(loaded.transform(expected["sweep"]))
        np.testing.assert_allclose(found.numpy(), expected["minkunet"], rtol=1e-5, atol=1e-6)


def test_the_same_encoder_is_the_same_bytes(tmp_path: Path) -> None:
    """The order of keys in metadata is of a hash table that differs from call to call: there is one key."""
    encoder = DGCNN(k=4, channels=[8, 8], embedding=8)
    inputs = Inputs(points=64, k=4)
    for number in range(12):
        save_encoder(encoder, tmp_path / f"{number}.safetensors", inputs)
    save_encoder(load_encoder(tmp_path / "0.safetensors"), tmp_path / "again.safetensors", inputs)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1
    assert len(read_safetensors(tmp_path / "0.safetensors")[1]) == 1


def test_neighborhoods_of_another_size(tmp_path: Path) -> None:
    patches = PointTransformer(groups=4, size=4, width=24, depth=1, heads=3)
    graph, neither = DGCNN(**SIZES[DGCNN]), PointNet(embedding=8)
    found = {}
    for encoder in (patches, graph, neither):
        save_encoder(encoder, tmp_path / "e.safetensors", Inputs(points=48, k=encoder.neighbors))
        found[type(encoder)] = load_pretrained(tmp_path / "e.safetensors")
        assert load_encoder(tmp_path / "e.safetensors", k=9).neighbors == (9 if encoder.neighbors else None)
    changed = found[PointTransformer].with_neighbors(9).encoder
    assert (changed.size, changed.groups) == (9, 4) and found[PointTransformer].inputs.k == 4
    torch.testing.assert_close(changed.state_dict(), patches.state_dict())
    assert found[DGCNN].with_neighbors(9).encoder.config["k"] == 9
    with pytest.raises(ValueError, match=r"found k 9 for a PointNet .*which looks at no neighbors, expected none"):
        found[PointNet].with_neighbors(9)
