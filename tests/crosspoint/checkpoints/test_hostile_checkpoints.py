"""Checkpoints that are damaged, hostile or of a newer version: refused in one line, without the memory they ask for."""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from crosspoint.checkpoints.dual_encoder import trained_image_size
from crosspoint.checkpoints.files import read_checkpoint
from crosspoint.checkpoints.pickles import check_pickle
from crosspoint.checkpoints.pretrained import load_encoder, load_pretrained
from crosspoint.checkpoints.record import RECORD_KEY, Inputs, Record
from crosspoint.models.pointnet import PointNet
from crosspoint.plugins import describe
from tests.refusals import DEEP, command_refuses, hash_bomb, refused, write

ENCODER = PointNet(embedding=8)
WEIGHTS = {f"method.encoder.{name}": weight for name, weight in ENCODER.state_dict().items()}
RECORD = Record(describe(ENCODER)).as_dict()
FIRST = next(iter(WEIGHTS))


def with_record(**changes: Any) -> dict[str, Any]:
    record = {**RECORD, **{name: value for name, value in changes.items() if value is not ...}}
    return {RECORD_KEY: {n: v for n, v in record.items() if changes.get(n) is not ...}, "state_dict": WEIGHTS}


def with_weights(**changes: Any) -> dict[str, Any]:
    return {RECORD_KEY: RECORD, "state_dict": {**WEIGHTS, **changes}}


def encoder(**arguments: Any) -> dict[str, Any]:
    return {"class_path": RECORD["encoder"]["class_path"], "init_args": arguments}


CONTENTS: dict[str, Any] = {
    "record is a list": {RECORD_KEY: [], "state_dict": WEIGHTS},
    "record is text": {RECORD_KEY: "x", "state_dict": WEIGHTS},
    "record is empty": {RECORD_KEY: {}, "state_dict": WEIGHTS},
    "newer": with_record(format=3, other=[1]),
    "format as text": with_record(format="2"),
    "unknown field": with_record(teacher={}),
    "no encoder": with_record(encoder=...),
    "encoder is text": with_record(encoder="pointnet"),
    "encoder without class": with_record(encoder={"init_args": {}}),
    "class is a number": with_record(encoder={"class_path": 3, "init_args": {}}),
    "arguments are a list": with_record(encoder={"class_path": RECORD["encoder"]["class_path"], "init_args": []}),
    "argument of another type": with_record(encoder=encoder(embedding="eight")),
    "negative": with_record(encoder=encoder(embedding=-4)),
    "zero": with_record(encoder=encoder(embedding=0)),
    "30 million": with_record(encoder=encoder(embedding=3 * 10**7)),
    "10^12": with_record(encoder=encoder(embedding=10**12)),
    "10^30": with_record(encoder=encoder(embedding=10**30)),
    "a billion layers": with_record(
        encoder={"class_path": "minkunet", "init_args": {"stem": 4, "encoder_blocks": [10**9, 1, 1, 1]}}
    ),
    "inputs are a list": with_record(inputs=[]),
    "unknown input": with_record(inputs={"rays": 3}),
    "inputs of another type": with_record(inputs={"points": "many"}),
    "inputs below 1": with_record(inputs={"points": -1}),
    "unknown kind": with_record(inputs={"kind": "rays"}),
    "unknown voxel field": with_record(inputs={"kind": "voxels", "voxels": {"colour": 1}}),
    "voxels of size 0": with_record(inputs={"kind": "voxels", "voxels": {"size": 0.0}}),
    "config is a list": with_record(config=[]),
    "no weights": {RECORD_KEY: RECORD},
    "weights are a list": {RECORD_KEY: RECORD, "state_dict": []},
    "weights by number": {RECORD_KEY: RECORD, "state_dict": {3: torch.zeros(2)}},
    "weight is a list": with_weights(**{FIRST: [1.0]}),
    "weight is complex": with_weights(**{FIRST: WEIGHTS[FIRST].to(torch.complex64)}),
    "weight is whole": with_weights(**{FIRST: WEIGHTS[FIRST].long()}),
    "weight is NaN": with_weights(**{FIRST: WEIGHTS[FIRST] * torch.nan}),
    "weight of another shape": with_weights(**{FIRST: torch.zeros(1, 2, 3)}),
    "weight repeats one number": with_weights(**{FIRST: torch.zeros(1).expand(10**12)}),
    "a list": [1, 2],
    "a number": 3,
    "empty": {},
    "first format, of another type": {"crosspoint_encoder": [1], "state_dict": WEIGHTS},
    "first format, unknown network": {"crosspoint_encoder": {"network": "gpt"}, "state_dict": WEIGHTS},
    "first format, sizes": {"crosspoint_encoder": {"network": "pointnet", "embedding": -1}, "state_dict": WEIGHTS},
    "first format, scenes": {"crosspoint_scene_encoder": 3, "crosspoint_voxels": {}, "state_dict": WEIGHTS},
    "first format, newer field": {
        "crosspoint_scene_encoder": {"heads": 3}, "crosspoint_voxels": {}, "state_dict": WEIGHTS,
    },
    "original, layers without axes": {
        name: torch.tensor(1.0) for name in ("conv1.0.weight", "conv1.1.running_mean", "conv5.0.weight")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CONTENTS)
def test_what_a_checkpoint_says_is_not_believed(name: str, tmp_path: Path) -> None:
    path = tmp_path / "run.ckpt"
    torch.save(CONTENTS[name], path)
    refused(lambda: load_encoder(path), "run.ckpt")


def zipped(content: bytes, packed: bool = False) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if packed else zipfile.ZIP_STORED) as archive:
        archive.writestr("run/data.pkl", content)
        archive.writestr("run/version", "3\n")
        archive.writestr("run/byteorder", "little")
    return file.getvalue()


def legacy(content: bytes) -> bytes:
    return b"".join(map(pickle.dumps, (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True}))) + content


FILES = {
    "nothing": b"", "text": b"hello", "half a pickle": pickle.dumps({"a": 1})[:5],
    "a pickle that calls": b"cos\nsystem\n(S'true'\ntR.", "bomb": hash_bomb(), "bomb in a zip": zipped(hash_bomb()),
    "bomb in an older file": legacy(hash_bomb()), "packed": zipped(pickle.dumps({"a": "b" * 2**27}), packed=True),
    "zip without a pickle": zipped(b""), "cut zip": zipped(b"x" * 1000)[:500],
    "deep": zipped(b"\x80\x02" + b"]" * 10**5),
    "memo of 10^9": b"\x80\x02}r\xff\xff\xff\x7f.", "bytes of 4 GB": b"\x80\x02X\xff\xff\xff\xff.",
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_files_that_are_no_checkpoint(name: str, suffix: str, tmp_path: Path) -> None:
    path = write(tmp_path / f"run{suffix}", FILES[name])
    refused(lambda: load_encoder(path), path.name)


@pytest.mark.parametrize("record", ["{", "[]", DEEP, '{"format": 2, "encoder": 3}', '{"format": NaN}', '"x"'])
def test_records_of_exports(record: str, tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    save_file(ENCODER.state_dict(), path, metadata={RECORD_KEY: record})
    refused(lambda: load_encoder(path), "run.safetensors")
    save_file(ENCODER.state_dict(), path, metadata={"crosspoint_encoder": record})
    refused(lambda: load_encoder(path), "run.safetensors")


def test_the_command_says_it_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "run.ckpt", zipped(hash_bomb()))
    flags = ["--dataset", "rendered", "--root", tmp_path]
    command_refuses(capsys, ["evaluate", "linear", "--checkpoint", tmp_path / "run.ckpt", *flags], "run.ckpt")


def test_a_pipe_is_no_checkpoint(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "run.ckpt")
    refused(lambda: load_encoder(tmp_path / "run.ckpt"), "run.ckpt")


@pytest.mark.parametrize(
    "config", [{"method": 3}, {"method": {"init_args": []}}, {"method": {"init_args": {"images": 3}}}]
)
def test_the_size_of_images_is_not_believed(config: dict[str, Any], tmp_path: Path) -> None:
    torch.save(with_record(config=config), tmp_path / "run.ckpt")
    refused(lambda: trained_image_size(tmp_path / "run.ckpt"), "run.ckpt")


def test_a_method_that_is_none(tmp_path: Path) -> None:
    torch.save(with_record(config={"method": {"class_path": 3}}), tmp_path / "run.ckpt")
    refused(lambda: load_pretrained(tmp_path / "run.ckpt").load_method(), "run.ckpt")


def test_sound_files_are_read_as_before(tmp_path: Path) -> None:
    torch.save(with_record(inputs=vars(Inputs(points=7))), tmp_path / "run.ckpt")
    torch.save(with_record(), tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    for name, points in (("run.ckpt", 7), ("old.ckpt", None)):
        found = load_pretrained(tmp_path / name)
        assert found.inputs.points == points
        for key, weight in found.encoder.state_dict().items():
            assert torch.equal(weight, ENCODER.state_dict()[key])


@pytest.mark.parametrize("protocol", range(6))
def test_what_pickle_writes_passes(protocol: int) -> None:
    """Shared and nested containers, sets and long tuples, as every protocol writes them."""
    shared = ("a", 1.5, (2, 3))
    plain = {"x": [shared, shared, []], "y": {1, 2}, "z": frozenset({3}), "t": tuple(range(50_000)), "e": ((), {}, [])}
    file = io.BytesIO(pickle.dumps(plain, protocol) + b"rest")
    check_pickle(file)
    assert file.read() == b"rest"


def test_networks_of_any_number_of_tensors_are_no_bomb(tmp_path: Path) -> None:
    """An ordered state dict is made by a call, and so could be a key, before 2,000 tensors fill it."""
    tensors = {str(number): torch.zeros(2, 3, 4, 5) for number in range(2_000)}
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": OrderedDict(tensors), "all": tuple(tensors.values())}, path)
    assert len(read_checkpoint(path)["state_dict"]) == 2_000


def test_a_large_key_used_often_is_refused() -> None:
    """A key of n entries set n times takes n^2 steps to hash, from a file of n bytes."""
    key = b"(" + b"N" * 10_000 + b"tq\x01"
    content = b"\x80\x02}q\x00(" + key + b"N" + b"h\x01N" * 2_000 + b"u."
    assert len(pickle.loads(content)) == 1
    with pytest.raises(pickle.UnpicklingError, match="stands for more"):
        check_pickle(io.BytesIO(content))


def test_what_expands_is_refused_wherever_it_stands() -> None:
    top_down: list[Any] = [[] for _ in range(60)]
    for upper, lower in pairwise(top_down):
        upper += [lower, lower]
    circle: list[Any] = []
    circle.append(circle)
    for content in (pickle.dumps(top_down[0]), pickle.dumps(circle), hash_bomb()):
        with pytest.raises(pickle.UnpicklingError, match=r"it (holds|stands)"):
            check_pickle(io.BytesIO(content))


def test_json_of_records_is_what_was_written() -> None:
    assert Record.of(json.loads(json.dumps(RECORD)), "here") == Record(describe(ENCODER))
