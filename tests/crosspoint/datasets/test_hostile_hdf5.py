"""HDF5 archives whose numbers are elsewhere, were never written, or are no numbers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from crosspoint.datasets.hdf5 import read_archives
from tests.refusals import refused, write

DATA, LABEL = np.zeros((3, 8, 3), np.float32), np.arange(3)


def replaced(key: str, make: Callable[[h5py.File, Path], object]) -> Callable[[Path], None]:
    def made(path: Path) -> None:
        with h5py.File(path, "w") as file:
            for name, value in (("data", DATA), ("label", LABEL), ("pid", np.zeros((3, 8), int))):
                if name != key:
                    file[name] = value
            found = make(file, path)
            if isinstance(found, np.ndarray | h5py.SoftLink | h5py.ExternalLink):
                file[key] = found

    return made


def outside(file: h5py.File, path: Path) -> h5py.ExternalLink:
    with h5py.File(path.with_name("other.h5"), "w") as other:
        other["data"] = DATA
    return h5py.ExternalLink("other.h5", "/data")


def stored_outside(file: h5py.File, path: Path) -> None:
    write(path.with_name("raw"), bytes(DATA.nbytes))
    file.create_dataset("data", DATA.shape, "f4", external=[(str(path.with_name("raw")), 0, DATA.nbytes)])


def virtual(file: h5py.File, path: Path) -> None:
    layout = h5py.VirtualLayout(DATA.shape, "f4")
    layout[:] = h5py.VirtualSource(str(path.with_name("other.h5")), "data", DATA.shape)
    file.create_virtual_dataset("data", layout)


COMPOUND = np.zeros((3, 8, 3), dtype=[("x", "f4"), ("y", "f4")])

CASES = {
    "loop": replaced("data", lambda file, _: h5py.SoftLink("/data")),
    "soft link": replaced("data", lambda file, _: h5py.SoftLink("/nowhere")),
    "other file": replaced("data", outside),
    "stored outside": replaced("data", stored_outside),
    "virtual": replaced("data", virtual),
    "group": replaced("data", lambda file, _: file.create_group("data")),
    "null space": replaced("data", lambda file, _: file.create_dataset("data", data=h5py.Empty("f4"))),
    "never written": replaced("data", lambda file, _: file.create_dataset("data", (10**6, 2048, 3), "f4")),
    "never written, in chunks": replaced(
        "data", lambda file, _: file.create_dataset("data", (10**6, 2048, 3), "f4", chunks=(1, 2048, 3))
    ),
    "one huge chunk": replaced(
        "data",
        lambda file, _: file.create_dataset("data", DATA.shape, "f4", chunks=(10**3, 10**5, 3), maxshape=(None,) * 3),
    ),
    "complex": replaced("data", lambda *_: DATA.astype(np.complex64)),
    "text": replaced("data", lambda *_: DATA.astype("S4")),
    "compound": replaced("data", lambda *_: COMPOUND),
    "references": replaced("data", lambda file, _: file.create_dataset("data", DATA.shape, h5py.ref_dtype)),
    "labels are text": replaced("label", lambda *_: LABEL.astype("S4")),
    "labels are pairs": replaced("label", lambda *_: np.zeros((3, 2), int)),
    "labels of a null space": replaced("label", lambda file, _: file.create_dataset("label", data=h5py.Empty("i8"))),
    "parts never written": replaced("pid", lambda file, _: file.create_dataset("pid", (10**6, 2048), "i4")),
}


@pytest.mark.parametrize("name", CASES)
def test_each_is_refused(name: str, tmp_path: Path) -> None:
    CASES[name](tmp_path / "bad.h5")
    refused(lambda: read_archives([tmp_path / "bad.h5"], 8, ["pid"]), "bad.h5")


def test_files_that_are_none(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    refused(lambda: read_archives([tmp_path / "pipe.h5"], 8), "pipe.h5")
    refused(lambda: read_archives([write(tmp_path / "cut.h5", b"\x89HDF\r\n\x1a\n" + bytes(100))], 8), "cut.h5")


def test_flipped_bits_end_in_one_line_or_in_numbers(tmp_path: Path) -> None:
    """Some bits are padding, and some are of the numbers themselves."""
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file.create_dataset("data", data=DATA, compression="gzip", chunks=(1, 8, 3))
        file["label"] = LABEL
    good = (tmp_path / "good.h5").read_bytes()
    for place in np.random.default_rng(0).choice(len(good), 150, replace=False).tolist():
        bad = bytearray(good)
        bad[place] ^= 1 << place % 8
        path = write(tmp_path / "bad.h5", bytes(bad))
        try:
            read_archives([path], 8)
        except ValueError as error:
            assert "bad.h5" in str(error) and "\n" not in str(error)


def test_packed_numbers_of_one_value_are_read(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "good.h5", "w") as file:
        file.create_dataset("data", data=np.ones((20, 100, 3), np.float32), compression="gzip")
        file.create_dataset("label", data=np.zeros((20, 1), np.uint8), compression="gzip")
    assert read_archives([tmp_path / "good.h5"], 50).points.shape == (20, 50, 3)
