"""Pickles of other people: read as plain containers, numbers and arrays, and never obeyed."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar

import numpy as np

from crosspoint.checkpoints.pickles import check_pickle


def check_sizes(file: BinaryIO) -> None:
    """Walk through a pickle's instructions without following them, and return to its start.

    The unpickler allocates what a file announces: a few bytes could ask it for all memory, or for all time.

    Raises:
        ValueError: if more bytes are announced than there are, or if the instructions are no pickle.
        pickle.UnpicklingError: if they build what no pickler does, see `check_pickle`.
    """
    check_pickle(file)
    file.seek(0)


class StoredArray:
    """An array of numbers while its parts arrive from a pickle; `array` is the whole."""

    def __init__(self, *_: object) -> None:
        self.array: np.ndarray = np.zeros(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _, shape, kind, column_major, content = state
        self.array = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if column_major else "C")


class _Kind:
    """A type of numbers while its parts arrive from a pickle."""

    def __init__(self, code: object, *_: object) -> None:
        if not (isinstance(code, str) and re.fullmatch("[biuf][1248]", code)):
            raise pickle.UnpicklingError(f"it holds an array of type {code}")
        self.code, self.order = code, "="

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"it holds an array of byte order {state[1]}")
        self.order = state[1]

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(self.order + self.code)


class _Call:
    """What a pickle may call; unlike a function, it has no state that the pickle could change."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.function = function

    def __call__(self, *arguments: object) -> object:
        return self.function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it sets the state of a function")


def _buffered(content: bytes, kind: _Kind, shape: tuple[int, ...], order: str, axes: object = None) -> StoredArray:
    if axes is not None:
        raise pickle.UnpicklingError("it holds an array with permuted axes")
    stored = StoredArray()
    stored.array = np.frombuffer(content, kind.dtype).reshape(shape, order="F" if order == "F" else "C")
    return stored


def _number(kind: _Kind, content: bytes) -> int | float:
    return np.frombuffer(content, kind.dtype)[0].item()


def _encoded(text: str, encoding: str) -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it holds bytes as {encoding}")
    return text.encode("latin1")


class RestrictedUnpickler(pickle.Unpickler):
    """Reads plain containers, text and numbers, and numpy's arrays as `StoredArray`; refuses all else.

    A pickle may name any function of any module and have it called. Here each of the few names that numpy's pickles
    (protocols 2 to 5, of numpy 1 and 2) need stands for something of this file, and no module is searched or imported.
    """

    ADMITTED: ClassVar[dict[tuple[str, str], object]] = {
        ("numpy", "ndarray"): "ndarray",
        ("numpy", "dtype"): _Call(_Kind),
        ("numpy.core.multiarray", "_reconstruct"): _Call(StoredArray),
        ("numpy.core.multiarray", "scalar"): _Call(_number),
        ("numpy.core.numeric", "_frombuffer"): _Call(_buffered),  # protocol 5
        ("_codecs", "encode"): _Call(_encoded),  # bytes in protocol 2
    }

    def find_class(self, module: str, name: str) -> Any:
        """What a name in the file stands for.

        Raises:
            pickle.UnpicklingError: if it is not one that arrays need.
        """
        admitted = self.ADMITTED.get((module.replace("numpy._core.", "numpy.core."), name))
        if admitted is None:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return admitted
