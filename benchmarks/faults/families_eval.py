"""Cases on what evaluation reads: checkpoints, clouds and parts in HDF5, stored folds."""

from __future__ import annotations

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks.faults import inputs_objects as valid
from benchmarks.faults.damage import Damage, Expect, fifo, link, text
from benchmarks.faults.damage_archives import code, hash_bomb, torch_code, traversal, zip_bomb
from benchmarks.faults.damage_trees import deep_json
from benchmarks.faults.families_sets import write_study
from benchmarks.faults.family import Family

DATA = "--dataset modelnet40_hdf5 --root in/clouds --device cpu --jobs 1 --out out/result.json"
TRAIN = "in/clouds/ply_data_train0.h5"


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
        torch_code(path), code(path, "system"), code(path, "eval"), code(path, "exec", 4), hash_bomb(path), hash_bomb(path, torch_file=True),
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
        _record(path, "embedding −4", "refused", _encoder(embedding=-4)), _record(path, "k 0", "refused", _encoder(k=0)),
        _record(path, "channels that are words", "refused", _encoder(channels=["a"])),
        _record(path, "os.system as encoder", "refused", _set("crosspoint", "encoder", value={"class_path": "os.system", "init_args": {"command": "touch canary"}})),
        _record(path, "points −1", "refused", _set("crosspoint", "inputs", "points", value=-1)),
        _record(path, "points 'x'", "refused", _set("crosspoint", "inputs", "points", value="x")),
        _record(path, "inputs that are none", "refused", _set("crosspoint", "inputs", value=None)),
        _record(path, "a tensor alone", "refused", lambda c: next(iter(c["state_dict"].values()))),
        text(path, b"\x80\x02" + b"(" * 100_000 + b".", name="100,000 marks"), text(path, b"PK\x05\x06" + bytes(18), name="an empty zip"),
    )  # fmt: skip


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
)  # fmt: skip

KNN = "evaluate knn --checkpoint in/e.{} " + DATA
CHECKPOINTS = [
    Family("checkpoints", "ckpt", write_study, KNN.format("ckpt"), ("in/e.ckpt",),
           (*_torch_file("in/e.ckpt"), zip_bomb("in/e.ckpt"), traversal("in/e.ckpt", "../../../escape"))),
    Family("checkpoints", "pth", lambda f: (valid.write_clouds(f / "clouds"), valid.write_encoder(f / "e.pth"))[0], KNN.format("pth"), ("in/e.pth",), _torch_file("in/e.pth")),
    Family("checkpoints", "safetensors", write_study, KNN.format("safetensors"), ("in/e.safetensors",), _SAFE),
]  # fmt: skip


def _hdf5(name: str, change: Callable[[Any], None], expect: Expect = "refused", path: str = TRAIN) -> Damage:
    def changed(folder: Path) -> None:
        with h5py.File(folder / path, "a") as file:
            change(file)

    return Damage(f"{Path(path).name}: {name}", expect, changed)


def _put(name: str, value: Any, **options: Any) -> Callable[[Any], None]:
    def put(file: Any) -> None:
        del file[name]
        if options:
            file.create_dataset(name, **options)
        else:
            file[name] = value

    return put


_HDF5 = (
    _hdf5("10⁹ clouds that were never written", _put("data", None, shape=(10**7, valid.POINTS, 3), dtype="f4", chunks=(1000, valid.POINTS, 3))),
    _hdf5("10⁷ clouds and labels never written", lambda f: (_put("data", None, shape=(10**7, valid.POINTS, 3), dtype="f4", chunks=(1000, valid.POINTS, 3))(f), _put("label", None, shape=(10**7, 1), dtype="u1", chunks=(1000, 1))(f))[0]),
    _hdf5("a link to itself", lambda f: _put("data", h5py.SoftLink("/data"))(f)), _hdf5("a link to nowhere", _put("data", h5py.SoftLink("/nothing"))),
    _hdf5("a link to another file", _put("data", h5py.ExternalLink("../e.ckpt", "/data"))), _hdf5("a link out of the root", _put("data", h5py.ExternalLink("../../../other.h5", "/data"))),
    _hdf5("a group", lambda f: (f.__delitem__("data"), f.create_group("data"))[0]), _hdf5("an empty space", _put("data", h5py.Empty("f4"))),
    _hdf5("complex numbers", _put("data", np.zeros((8, 32, 3), "c8"))), _hdf5("words", _put("data", np.full((8, 32, 3), b"a"))),
    _hdf5("records", _put("data", np.zeros((8, 32, 3), dtype=[("a", "f4")]))), _hdf5("references", lambda f: _put("label", None, shape=(8, 1), dtype=h5py.ref_dtype)(f)),
    _hdf5("NaN", _put("data", np.full((8, 32, 3), np.nan, "f4"))), _hdf5("negative labels", _put("label", np.full((8, 1), -1))),
    _hdf5("labels of 10⁹", _put("label", np.full((8, 1), 10**9))), _hdf5("labels that are no integers", _put("label", np.full((8, 1), 0.5))),
    _hdf5("labels of NaN", _put("label", np.full((8, 1), np.nan))), _hdf5("fewer labels", _put("label", np.zeros((3, 1), "u1"))),
    _hdf5("two coordinates", _put("data", np.zeros((8, 32, 2), "f4"))), _hdf5("no cloud", _put("data", np.zeros((0, 32, 3), "f4"))),
    text("in/clouds/shape_names.txt", "", "refused", "no name"), text("in/clouds/shape_names.txt", b"\xff\xfe\x00\n", "refused", "no text"),
    text(TRAIN, b"\x89HDF\r\n\x1a\n", name="the signature alone"), fifo(TRAIN, "refused"), link(TRAIN, "ply_data_train0.h5", "refused"),
)  # fmt: skip

CLOUDS = [
    Family("clouds in HDF5", name, write_study, f"evaluate {name} --checkpoint in/e.ckpt {DATA}{more}", ("in/clouds/*",), _HDF5 if name == "knn" else _HDF5[::3])
    for name, more in (("knn", ""), ("linear", ""), ("fewshot", " --ways [2] --shots [2] --queries 2 --runs 2"))
]  # fmt: skip


def _parts(folder: Path) -> None:
    valid.write_clouds(folder / "parts", parts=True)
    valid.write_encoder(folder / "e.ckpt", parts=True)


def _folds(folder: Path) -> None:
    valid.write_folds(folder / "folds")
    valid.write_encoder(folder / "e.ckpt")


NAMES, ARCHIVE, FOLD = "in/parts/categories.json", "in/parts/ply_data_train0.h5", "in/folds/2way_3shot/0.pkl"
PARTS = Family(
    "part labels", "parts", _parts, "evaluate partseg --checkpoint in/e.ckpt --dataset shapenetpart --root in/parts --device cpu --k 4 --validation 0.25"
    " --recipe.epochs 1 --recipe.batch_size 4 --resources.accelerator cpu --out out/result.json", ("in/parts/*",), (
        text(NAMES, "[]"), text(NAMES, "{}"), text(NAMES, deep_json("parts"), name="deep"), text(NAMES, '{"categories": 7, "parts": {}}'),
        text(NAMES, '{"categories": ["ball", "plate"], "parts": {"ball": [0, 1], "plate": [2, 10000000000]}}', name="a part of 10¹⁰"),
        text(NAMES, '{"categories": ["ball", "plate"], "parts": {"ball": [0, -1], "plate": [2, 3]}}', name="a part of −1"),
        text(NAMES, '{"categories": [["a"], "plate"], "parts": {"ball": [0, 1], "plate": [2, 3]}}', name="a category that is a list"),
        _hdf5("parts of 255", _put("pid", np.full((8, 32), 255, "u1")), path=ARCHIVE), _hdf5("parts of −1", _put("pid", np.full((8, 32), -1)), path=ARCHIVE),
        _hdf5("parts of NaN", _put("pid", np.full((8, 32), np.nan)), path=ARCHIVE), _hdf5("parts of fewer points", _put("pid", np.zeros((8, 30), "u1")), path=ARCHIVE),
    ))  # fmt: skip


def _pickled(name: str, content: Any, expect: Expect = "refused") -> Damage:
    return text(FOLD, pickle.dumps(content, protocol=4), expect, name)


CLOUD = np.ones((valid.POINTS, 6), np.float32)
FOLDS = Family(
    "stored folds", "folds", _folds, f"evaluate folds --checkpoint in/e.ckpt --folds in/folds --points {valid.POINTS} --count 2 --device cpu --out out/result.json",
    ("in/folds/*/*.pkl",), (
        code(FOLD, "system"), code(FOLD, "eval", 4), code(FOLD, "exec", 0), hash_bomb(FOLD), _pickled("a list", []), _pickled("empty parts", {"train": [], "test": []}),
        _pickled("no test", {"train": [(CLOUD, 0, 0)] * 6}), _pickled("NaN", {"train": [(CLOUD * np.nan, n % 2, 0) for n in range(6)], "test": [(CLOUD, 0, 0), (CLOUD, 1, 0)]}),
        _pickled("labels that are words", {"train": [(CLOUD, "a", 0)] * 6, "test": [(CLOUD, "a", 0)] * 6}), _pickled("labels of 10¹²", {"train": [(CLOUD, 10**12, 0)] * 6, "test": [(CLOUD, 0, 0)]}),
        _pickled("clouds of one point", {"train": [(CLOUD[:1], n % 2, 0) for n in range(6)], "test": [(CLOUD[:1], n % 2, 0) for n in range(6)]}),
        text(FOLD, b"\x80\x04\x8a" + struct.pack("<I", 2**31 - 1), name="an integer of 2³¹ bytes"), text(FOLD, b"(" * 10**6 + b".", name="10⁶ marks"),
        text(FOLD, b"\x80\x04" + b"]" + b"2" * 10**6 + b".", name="10⁶ copies"), fifo(FOLD, "refused"), text(FOLD, b"", name="empty"),
    ))  # fmt: skip
