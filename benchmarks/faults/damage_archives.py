"""Damage to files that hold arrays: npy, zip, tar, HDF5, safetensors, and pickles that carry code."""

from __future__ import annotations

import io
import json
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from benchmarks.faults.damage import Damage, Expect

BOMB = 6 * 2**30  # bytes that a zip bomb of some megabytes becomes


def changed_array(array: np.ndarray, random: Random) -> tuple[str, Expect, np.ndarray]:
    """An array of another type or shape, or with numbers that are none."""
    kind = random.choice(["float64", "int64", "complex64", "S4", "bool", "empty", "fewer", "more", "narrow", "axis", "scalar",
                          "nan", "inf", "huge", "negative", "constant", "structured"])  # fmt: skip
    flat = array.reshape(-1)
    if kind in ("float64", "int64", "complex64", "S4", "bool"):
        return kind, "any" if kind in ("bool", "int64") else "same", array.astype(kind)
    if kind == "structured":
        return kind, "same", np.zeros(array.shape, dtype=[("x", "f4"), ("y", "i2")])
    if kind in ("nan", "inf", "huge"):
        made = array.astype(np.float32)
        made.reshape(-1)[random.randrange(max(1, flat.size)) :] = {"nan": np.nan, "inf": -np.inf, "huge": 3e38}[kind]
        return kind, "same", made
    if kind == "negative":
        return kind, "any", (-1 - array.astype(np.float64)).astype(array.dtype)
    if kind == "constant":
        return kind, "any", np.zeros_like(array)
    made = {
        "empty": array[:0] if array.ndim else array.reshape(1)[:0],
        "fewer": array[: max(1, len(array) // 2)] if array.ndim else array,
        "more": np.concatenate([array, array]) if array.ndim else array,
        "narrow": array[..., :-1] if array.ndim else array,
        "axis": array[None],
        "scalar": flat[0] if flat.size else array,
    }[kind]
    return kind, "any" if kind in ("fewer", "more", "scalar", "empty") else "same", np.asarray(made)


def of_hdf5(path: Path, random: Random) -> tuple[str, Expect, Callable[[], None]]:
    """One dataset of an HDF5 file, changed."""
    with h5py.File(path) as file:
        arrays = {name: file[name][()] for name in file}
    name = random.choice(sorted(arrays))
    what, expect, made = changed_array(arrays[name], random)

    def change() -> None:
        with h5py.File(path, "w") as file:
            for key, array in (arrays | {name: made}).items():
                file[key] = array

    return f"{name} {what}", expect, change


def of_npz(path: Path, random: Random) -> tuple[str, Expect, Callable[[], None]]:
    """One array of an npz file, changed."""
    with np.load(path) as archive:
        arrays = {name: archive[name] for name in archive.files}
    name = random.choice(sorted(arrays))
    what, expect, made = changed_array(arrays[name], random)
    return f"{name} {what}", expect, lambda: np.savez(path, **(arrays | {name: made}))


def of_safetensors(path: Path, random: Random) -> tuple[str, Expect, Callable[[], None]]:
    """The header of a safetensors file, changed."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    name = random.choice(sorted(header))
    value = random.choice([None, [], {}, "word", {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
                           {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}, {"dtype": "Q9"}])  # fmt: skip
    length = random.choice([None, None, None, 0, 2**63, size + 1])
    header[name] = value
    body = json.dumps(header).encode()

    def change() -> None:
        path.write_bytes(struct.pack("<Q", len(body) if length is None else length) + body + data[8 + size :])

    return f"header {name[:20]} = {str(value)[:20]}, length {length}", "same", change


def of_shard(path: Path, random: Random) -> tuple[str, Expect, Callable[[], None]]:
    """One member of a shard changed, with an index that fits: as if the set had been written so."""
    from crosspoint.renderers.shards import Sample, read_index, write_shard

    index = read_index(path)
    assert index is not None
    data = path.read_bytes()
    samples = [
        Sample(each["key"], each["class"], {end: data[at : at + size] for end, (at, size) in each["members"].items()})
        for each in index["samples"]
    ]
    sample = random.choice(samples)
    ending = random.choice(sorted(sample.members))
    what, expect, sample.members[ending] = changed_member(ending, sample.members[ending], random)
    facts = {key: value for key, value in index.items() if key not in ("bytes", "samples")}
    return f"{ending} {what}", expect, lambda: _discard(write_shard(path, samples, facts))


def changed_member(ending: str, content: bytes, random: Random) -> tuple[str, Expect, bytes]:
    """The content of a member of a rendered set, changed."""
    if ending.endswith(".npy"):
        what, expect, made = changed_array(np.load(io.BytesIO(content)), random)
        file = io.BytesIO()
        np.save(file, made)
        return what, expect, file.getvalue()
    if ending.endswith(".npz"):
        with np.load(io.BytesIO(content)) as archive:
            arrays = {name: archive[name] for name in archive.files}
        name = random.choice(sorted(arrays))
        what, _, made = changed_array(arrays[name], random)
        file = io.BytesIO()
        np.savez(file, **(arrays | {name: made}))
        return f"{name} {what}", "any", file.getvalue()  # pre-training reads no camera
    kind = random.choice(["truncated", "empty", "noise"])
    made = {"truncated": content[: len(content) // 2], "empty": b"", "noise": random.randbytes(len(content))}[kind]
    return kind, "same", made


def _discard(_: Any) -> None:
    """Nothing."""


class Canary:
    """An object whose unpickling would write a file.

    Args:
        case: folder of the case.
        how: os.system, eval or exec.
    """

    def __init__(self, case: Path, how: str = "system") -> None:
        self.case, self.how = case, how

    def __reduce__(self) -> Any:
        """What unpickling calls."""
        import os

        if self.how == "system":
            return os.system, (f"touch {self.case}/canary",)
        return (eval if self.how == "eval" else exec), (f"open({str(self.case / 'canary')!r}, 'w')",)


def code(path: str, how: str, protocol: int = 2) -> Damage:
    """A pickle that carries code."""

    def change(folder: Path) -> None:
        (folder / path).write_bytes(pickle.dumps({"state_dict": Canary(folder, how)}, protocol=protocol))

    return Damage(f"{path}: a pickle that calls {how}", "refused", change)


def torch_code(path: str) -> Damage:
    """A torch file whose pickle carries code."""

    def change(folder: Path) -> None:
        import torch

        torch.save({"state_dict": Canary(folder)}, folder / path)

    return Damage(f"{path}: a torch file that calls os.system", "refused", change)


def hash_bomb(path: str, levels: int = 60, torch_file: bool = False) -> Damage:
    """A pickle of 300 bytes with a tuple in a tuple, each twice, as a key: its hash takes 2⁶⁰ steps."""
    body = b"\x80\x02}" + b")" + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(levels)) + b"K\x01s."

    def change(folder: Path) -> None:
        if not torch_file:
            (folder / path).write_bytes(body)
            return
        with zipfile.ZipFile(folder / path, "w") as file:
            file.writestr("archive/data.pkl", body)
            file.writestr("archive/version", "3\n")

    return Damage(f"{path}: hash bomb{' in a zip' * torch_file}", "refused", change)


def zip_bomb(path: str, member: str | None = None, head: bytes = b"") -> Damage:
    """The largest member of a zip file, or one of a name, replaced by zeros that fill gigabytes once unpacked."""

    def change(folder: Path) -> None:
        whole = folder / path
        with zipfile.ZipFile(whole) as file:
            members = {name: file.read(name) for name in file.namelist()}
        chosen = member or max(members, key=lambda name: len(members[name]))
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for name, content in members.items():
                if name != chosen:
                    file.writestr(name, content)
            with file.open(chosen, "w", force_zip64=True) as stream:
                stream.write(head)
                for _ in range(BOMB // 2**26):
                    stream.write(bytes(2**26))

    return Damage(f"{path}: zip bomb of {BOMB // 2**30} GB", "refused", change)


def traversal(path: str, name: str) -> Damage:
    """A member of a zip or tar file with a name that leads out of it."""

    def change(folder: Path) -> None:
        whole = folder / path
        if path.endswith(".tar"):
            with tarfile.open(whole, "a") as file:
                header = tarfile.TarInfo(name.replace("{case}", str(folder)))
                header.size = 4
                file.addfile(header, io.BytesIO(b"evil"))
            return
        with zipfile.ZipFile(whole, "a") as file:
            file.writestr(name.replace("{case}", str(folder)), b"evil")

    return Damage(f"{path}: a member {name}", "any", change)
