"""Damage to files that hold arrays: npy, npz, tar, HDF5, safetensors."""

from __future__ import annotations

import io
import json
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from random import Random

import h5py
import numpy as np

from benchmarks.faults.damage import Expect

BLOCK = 512  # bytes to which tar pads


def changed_array(array: np.ndarray, random: Random) -> tuple[str, Expect, np.ndarray]:
    """An array of another type or shape, or with numbers that are none."""
    kind = random.choice(
        [
            "float64",
            "int64",
            "complex64",
            "S4",
            "bool",
            "empty",
            "fewer",
            "more",
            "narrow",
            "axis",
            "scalar",
            "nan",
            "inf",
            "huge",
            "negative",
            "constant",
            "structured",
        ]
    )
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
    value = random.choice(
        [
            None,
            [],
            {},
            "word",
            {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]},
            {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
            {"dtype": "Q9"},
        ]
    )
    length = random.choice([None, None, None, 0, 2**63, size + 1])
    header[name] = value
    body = json.dumps(header).encode()

    def change() -> None:
        path.write_bytes(struct.pack("<Q", len(body) if length is None else length) + body + data[8 + size :])

    return f"header {name[:20]} = {str(value)[:20]}, length {length}", "same", change


def of_shard(path: Path, random: Random) -> tuple[str, Expect, Callable[[], None]]:
    """One member of a shard changed, with an index that fits: as if the set had been written so."""
    index, data = json.loads(path.with_suffix(".json").read_text()), path.read_bytes()
    members = [(sample, ending) for sample in index["samples"] for ending in sorted(sample["members"])]
    chosen = random.choice(members)
    offset, size = chosen[0]["members"][chosen[1]]
    what, expect, made = changed_member(chosen[1], data[offset : offset + size], random)

    def change() -> None:
        with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as file:
            for sample, ending in members:
                at, length = sample["members"][ending]
                content = made if (sample, ending) == chosen else data[at : at + length]
                header = tarfile.TarInfo(f"{sample['key']}.{ending}")
                header.size = len(content)
                file.addfile(header, io.BytesIO(content))
                sample["members"][ending] = [file.offset - -(-len(content) // BLOCK) * BLOCK, len(content)]
        path.with_suffix(".json").write_text(json.dumps(index | {"bytes": path.stat().st_size}))

    return f"{chosen[1]} {what}", expect, change


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
    others = {"truncated": content[: len(content) // 2], "empty": b"", "noise": random.randbytes(len(content))}
    return kind, "same", others[kind]
