"""Exported encoders: whatever number of clouds and points, they give what the network gives."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from crosspoint import Inputs, PointEncoder, load_pretrained, save_encoder
from crosspoint.cli.main import main
from crosspoint.export import export_encoder, formats
from crosspoint.export.verification import Agreement, compare
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.transforms import unit_sphere
from tests.crosspoint.ops.test_plain import ENCODERS, clouds, trained
from tests.refusals import command_refuses

LEAST = {"dgcnn": 6, "pointnet": 2, "dgcnn_partseg": 6, "point_transformer": 8}


def file_of(encoder: PointEncoder, folder: Path, **inputs: Any) -> Path:
    path = folder / "encoder.safetensors"
    save_encoder(encoder, path, Inputs(points=64, **inputs))
    return path


@torch.no_grad()
@pytest.mark.parametrize("name", ENCODERS)
def test_a_program_of_torch_takes_any_number_of_clouds_and_points(name: str, tmp_path: Path) -> None:
    encoder = trained(name)
    made = export_encoder(load_pretrained(file_of(encoder, tmp_path)), tmp_path / "encoder.pt2", per_point=True)
    assert made.least == LEAST[name]
    assert made.agreement.clouds == 6 and made.agreement.difference <= 1e-4 * made.agreement.largest
    files = {"crosspoint.json": ""}
    program = torch.export.load(made.path, extra_files=files).module()
    for count, points in ((1, 33), (4, 150)):
        x = clouds(count, points)
        features, of_points = program(x)
        assert torch.allclose(features, encoder(x), atol=1e-4)
        assert torch.allclose(of_points, encoder.forward_features(x), atol=1e-3)
    record = json.loads(files["crosspoint.json"])
    assert record["encoder"]["class_path"].endswith(type(encoder).__name__) and record["inputs"]["points"] == 64


@torch.no_grad()
@pytest.mark.parametrize("name", ["dgcnn", "point_transformer"])
def test_onnx_gives_the_same_features(name: str, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="ONNX is written by onnxscript: pip install 'crosspoint3d[onnx]'")
    runtime = pytest.importorskip("onnxruntime", reason="ONNX is run by onnxruntime: pip install 'crosspoint3d[onnx]'")
    encoder, unit = trained(name), name == "dgcnn"
    out = tmp_path / "encoder.onnx"
    export_encoder(load_pretrained(file_of(encoder, tmp_path)), out, per_point=not unit, unit=unit)
    session = runtime.InferenceSession(out, providers=["CPUExecutionProvider"])
    (given,), given_back = session.get_inputs(), session.get_outputs()
    assert (given.name, given.shape) == ("points", ["clouds", "points", 3])
    assert [each.name for each in given_back] == (["features"] if unit else ["features", "point_features"])
    assert given_back[0].shape == ["clouds", encoder.feature_dim]
    for count, points in ((1, 25), (3, 1100)):
        x = 5 * clouds(count, points) + 2
        seen = unit_sphere(x) if unit else x
        features, *of_points = session.run(None, {"points": x.numpy()})
        assert np.allclose(features, encoder(seen), atol=1e-3)
        if of_points:
            assert np.allclose(of_points[0], encoder.forward_features(seen), atol=1e-2)
    record = json.loads(session.get_modelmeta().custom_metadata_map["crosspoint"])
    assert record["encoder"]["init_args"] == encoder.config


def test_weights_of_a_network_of_scenes_and_why_it_is_no_graph(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoder = MinkUNet(stem=4, encoder=[4], encoder_blocks=[1], decoder=[4], decoder_blocks=[1])
    source = file_of(encoder, tmp_path, kind="voxels")
    made = export_encoder(load_pretrained(source), tmp_path / "copy.safetensors")
    assert made.least is None
    again = load_pretrained(made.path)
    assert again.inputs == load_pretrained(source).inputs
    for name, weight in encoder.state_dict().items():
        assert torch.equal(weight, again.encoder.state_dict()[name])
    command_refuses(capsys, ["export", source, tmp_path / "encoder.pt2"], "MinkUNet, an encoder of voxels")
    assert not (tmp_path / "encoder.pt2").exists()


def test_what_does_not_agree_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(content: bytes) -> formats.Run:
        run = right(content)
        return lambda drawn: [each * 1.01 for each in run(drawn)]

    right = formats._torch_program
    monkeypatch.setattr(formats, "_torch_program", wrong)
    with pytest.raises(ValueError, match="found that torch-export and the network do not agree"):
        export_encoder(load_pretrained(file_of(trained("pointnet"), tmp_path)), tmp_path / "encoder.pt2")
    assert not (tmp_path / "encoder.pt2").exists()


def test_the_largest_difference_is_the_one_that_is_printed() -> None:
    from crosspoint.export.tracing import CloudNetwork

    network = CloudNetwork(trained("pointnet"), per_point=False, unit=False)
    seen: list[tuple[int, ...]] = []

    def shifted(drawn: np.ndarray) -> list[np.ndarray]:
        seen.append(drawn.shape)
        features = network(torch.from_numpy(drawn))[0].detach().numpy().copy()
        features[-1, 3] += 0.25 if len(seen) == 2 else 0.0
        return [features]

    agreement = compare(shifted, network, least=5, usual=40)
    assert seen == [(1, 40, 3), (3, 12, 3), (2, 77, 3)]
    assert agreement.difference == pytest.approx(0.25, abs=1e-6) and not agreement.holds
    assert str(Agreement(0.25, 2.0, 6, (12, 77))).startswith("largest difference 2.5e-01 beside features up to 2.0e+00")


class Fixed(PointEncoder):
    """Takes clouds of eight points alone."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim = 2
        self.layer = torch.nn.Linear(24, 2)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        return self.layer(points.reshape(len(points), 24))


def test_a_network_of_a_user_that_takes_no_other_clouds_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "encoder.safetensors"
    save_encoder(Fixed(), source, Inputs(points=8))
    with pytest.raises(ValueError, match="found Fixed, of which no graph can be made"):
        export_encoder(load_pretrained(source), tmp_path / "encoder.pt2")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    source, out = file_of(trained("pointnet"), tmp_path), tmp_path / "encoder.pt2"
    with caplog.at_level("INFO", logger="crosspoint"):
        assert main(["export", str(source), str(out), "--verify"]) == 0
    assert "largest difference" in caplog.text
    command_refuses(capsys, ["export", source, out], "already there, expected a new file")
    command_refuses(capsys, ["export", source, tmp_path / "encoder.bin"], ".safetensors, .onnx, .pt2")
    command_refuses(capsys, ["export", source, tmp_path / "a.onnx", "--format", "torch-export"], "ends in .pt2")
    command_refuses(capsys, ["export", source, tmp_path / "a.safetensors", "--unit", "true"], "expected neither")


@pytest.mark.parametrize("missing", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_one_line(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None if name == missing else sys)
    with pytest.raises(ImportError, match=rf"found no {missing} .*pip install 'crosspoint3d\[onnx\]'"):
        export_encoder(load_pretrained(file_of(trained("pointnet"), tmp_path)), tmp_path / "encoder.onnx")
