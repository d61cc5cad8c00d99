"""Arrays in NumPy's format (https://numpy.org/neps/nep-0001-npy-format.html), believed after a look at their header."""

from __future__ import annotations

import io
import math
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

from crosspoint.renderers.archives import check_zip
from crosspoint.renderers.files import reading, regular_file


class Header(NamedTuple):
    """What an array says of itself before its numbers."""

    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    bytes: int  # of the numbers that follow


def read_header(file: IO[bytes], where: object) -> Header:
    """Read the header of an array, up to its numbers.

    Raises:
        ValueError: if there is none, or it announces objects, which would be unpickled.
    """
    with reading(where, "an array of NumPy"):
        version = np.lib.format.read_magic(file)
        if version == (1, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        elif version == (2, 0):
            shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
        else:
            raise ValueError(f"version {version} of the format")
        if dtype.hasobject:
            raise ValueError(f"found objects in {where}, expected an array of numbers: save numbers alone")
        return Header(shape, fortran, dtype, math.prod(shape) * dtype.itemsize)


def read_arrays(path: Path, expected: str, remedy: str = "make it again", most: int = 2**30) -> dict[str, np.ndarray]:
    """All arrays of an archive of NumPy (.npz), by name.

    Args:
        path: the archive.
        expected: what it should be, for the error.
        remedy: what to do if it is not.
        most: bytes that its arrays may have together.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no such archive, or announces more.
    """
    regular_file(path, expected, remedy)
    with reading(path, expected, remedy), path.open("rb") as file:
        check_zip(file, path, expected, most)
        with zipfile.ZipFile(file) as archive:
            for member in archive.infolist():
                with archive.open(member) as content:
                    header = read_header(content, f"{member.filename} of {path}")
                if header.bytes > member.file_size:
                    raise ValueError(f"{member.filename} announces {header.bytes} bytes")
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            return dict(arrays)


def read_array(content: bytes, dtype: str, shape: tuple[int, ...], where: object) -> np.ndarray:
    """The array in a member of a rendered set.

    Args:
        content: of the member.
        dtype: that it must have.
        shape: that it must have.
        where: names the member, for the error.

    Raises:
        ValueError: if it is no such array, or is cut off, or holds NaN or infinity.
    """
    usual = _header(dtype, shape)
    start = len(usual)
    if not content.startswith(usual):  # written by another version of NumPy, or of another kind
        file = io.BytesIO(content)
        header = read_header(file, where)
        start = file.tell()
        if header.shape != shape or header.dtype != np.dtype(dtype) or header.fortran:
            raise ValueError(
                f"found {header.dtype} of shape {header.shape} in {where}, expected {np.dtype(dtype)} of shape "
                f"{shape}: render its shard again"
            )
    wanted = math.prod(shape) * np.dtype(dtype).itemsize
    if len(content) - start != wanted:
        raise ValueError(
            f"found {len(content) - start} bytes of numbers in {where}, expected {wanted}: render its shard again"
        )
    array = np.frombuffer(content, dtype, offset=start).reshape(shape).copy()
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        broken = ~np.isfinite(array.reshape(len(array), -1))
        first = array.reshape(len(array), -1)[broken][0]
        raise ValueError(
            f"found {first} in {broken.any(axis=1).sum()} of {len(array)} rows of {where}, expected finite numbers: "
            "render its shard again"
        )
    return array


@lru_cache
def _header(dtype: str, shape: tuple[int, ...]) -> bytes:
    """The header that NumPy writes: compared whole, as reading it takes longer than the numbers."""
    file = io.BytesIO()
    described = {"descr": dtype, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, described)
    return file.getvalue()
