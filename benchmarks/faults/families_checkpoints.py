"""Cases on checkpoints: torch files of two formats, and safetensors."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults import inputs_objects as valid
from benchmarks.faults.damage import Damage, Expect, text
from benchmarks.faults.damage_code import code, hash_bomb, torch_code, traversal, zip_bomb
from benchmarks.faults.damage_trees import deep_json
from benchmarks.faults.families_sets import write_study
from benchmarks.faults.family import Family

DATA = "--dataset modelnet40_hdf5 --root in/clouds --device cpu --jobs 1 --out out/result.json"


def _record(path: str, name: str, expect: Expect, change: Callable[[dict[str, Any]], Any]) -> Damage:
    """The content of a torch file, changed."""

    def changed(folder: Path) -> None:
        import torch

        content = torch.load(folder / path, weights_only=True)
        made = change(content)
        torch.save(content if made is None else made, folder / path)

    return Damage(f"{path}: {name}", expect, changed)


def _weights(change: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    def changed(content: dict[str, Any]) -> None:
        weights = content["state_dict"]
        for name in list(weights):
            weights[name] = change(weights[name])

    return changed


def _encoder(**settings: Any) -> Callable[[dict[str, Any]], None]:
    """Settings of the encoder in the record of a checkpoint."""

    def changed(content: dict[str, Any]) -> None:
        content["crosspoint"]["encoder"]["init_args"].update(settings)

    return changed


def _set(*path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    def changed(content: dict[str, Any]) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return changed


def _torch_file(path: str) -> tuple[Damage, ...]:
    return (
        torch_code(path),
        code(path, "system"),
        code(path, "eval"),
        code(path, "exec", 4),
        hash_bomb(path),
        hash_bomb(path, torch_file=True),
        _record(path, "weights that are a list", "refused", _set("state_dict", value=[1])),
        _record(path, "weights that are words", "refused", _weights(lambda _: "word")),
        _record(path, "complex weights", "refused", _weights(lambda w: w.to(torch_complex()))),
        _record(path, "NaN weights", "refused", _weights(lambda w: w * float("nan") if w.is_floating_point() else w)),
        _record(path, "empty weights", "refused", _weights(lambda w: w[:0] if w.ndim else w)),
        _record(path, "float64 weights", "any", _weights(lambda w: w.double() if w.is_floating_point() else w)),
        _record(path, "no record", "any", lambda c: c.pop("crosspoint") and None),
        _record(path, "a record that is a list", "refused", _set("crosspoint", value=[1])),
        _record(path, "a key of a newer version", "refused", _set("crosspoint", "novel", value=1)),
        _record(path, "a setting of a newer version", "refused", _encoder(novel=1)),
        _record(path, "embedding 3·10⁷", "refused", _encoder(embedding=3 * 10**7)),
        _record(path, "embedding −4", "refused", _encoder(embedding=-4)),
        _record(path, "k 0", "refused", _encoder(k=0)),
        _record(path, "channels that are words", "refused", _encoder(channels=["a"])),
        _record(
            path,
            "os.system as encoder",
            "refused",
            _set("crosspoint", "encoder", value={"class_path": "os.system", "init_args": {"command": "touch canary"}}),
        ),
        _record(path, "points −1", "refused", _set("crosspoint", "inputs", "points", value=-1)),
        _record(path, "points 'x'", "refused", _set("crosspoint", "inputs", "points", value="x")),
        _record(path, "inputs that are none", "refused", _set("crosspoint", "inputs", value=None)),
        _record(path, "a tensor alone", "refused", lambda c: next(iter(c["state_dict"].values()))),
        text(path, b"\x80\x02" + b"(" * 100_000 + b".", name="100,000 marks"),
        text(path, b"PK\x05\x06" + bytes(18), name="an empty zip"),
    )


def torch_complex() -> Any:
    """The type of complex weights."""
    import torch

    return torch.complex64


def _header(change: Callable[[dict[str, Any]], None], name: str, expect: Expect = "refused") -> Damage:
    """The header of a safetensors file, changed."""

    def changed(folder: Path) -> None:
        path = folder / "in" / "e.safetensors"
        data = path.read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])
        change(header)
        body = json.dumps(header).encode()
        path.write_bytes(struct.pack("<Q", len(body)) + body + data[8 + size :])

    return Damage(f"in/e.safetensors: {name}", expect, changed)


_SAFE = (
    _header(lambda h: h.pop("__metadata__"), "no record", "any"),
    _header(lambda h: h["__metadata__"].update(crosspoint="[]"), "a record that is a list"),
    _header(lambda h: h["__metadata__"].update(crosspoint=deep_json("encoder")), "a deep record"),
    _header(lambda h: h["__metadata__"].update(crosspoint="nonsense"), "a record that is no JSON"),
    text("in/e.safetensors", struct.pack("<Q", 2**62) + b"{}", name="a header of 2⁶² bytes"),
    text("in/e.safetensors", deep_json(), name="deep JSON alone"),
)


def _older(folder: Path) -> None:
    valid.write_clouds(folder / "clouds")
    valid.write_encoder(folder / "e.pth")


KNN = "evaluate knn --checkpoint in/e.{} " + DATA
CHECKPOINTS = [
    Family(
        "checkpoints",
        "ckpt",
        write_study,
        KNN.format("ckpt"),
        ("in/e.ckpt",),
        (*_torch_file("in/e.ckpt"), zip_bomb("in/e.ckpt"), traversal("in/e.ckpt", "../../../escape")),
    ),
    Family(
        "checkpoints",
        "pth",
        _older,
        KNN.format("pth"),
        ("in/e.pth",),
        _torch_file("in/e.pth"),
    ),
    Family("checkpoints", "safetensors", write_study, KNN.format("safetensors"), ("in/e.safetensors",), _SAFE),
]
