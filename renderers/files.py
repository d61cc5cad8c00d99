"""Files of other people: whether one may be opened, and one sentence for whatever a reader of it raises."""

from __future__ import annotations

import os
import reprlib
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from PIL import Image

from crosspoint.renderers.system_faults import is_system_fault

# What readers (of the standard library, NumPy, h5py, Pillow, torch, …) raise at a damaged or a hostile file. Of our
# own errors, those that begin with "found" pass as they are.
FAULTS: tuple[type[Exception], ...] = (
    *(ValueError, TypeError, AttributeError, LookupError, ArithmeticError, AssertionError, EOFError, OSError),
    *(
        RuntimeError,
        MemoryError,
        SystemError,
        SyntaxError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
        UnpicklingError,
    ),
)
IMAGE_FAULTS: tuple[type[Exception], ...] = (*FAULTS, Image.DecompressionBombError)

_SHORT = reprlib.Repr()
_SHORT.maxlevel, _SHORT.maxstring, _SHORT.maxother, _SHORT.maxlong = 2, 60, 60, 40

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def short(value: object) -> str:
    """The `repr` of a value from a file, cut short: it may hold a billion entries, or have a million digits."""
    return " ".join(_SHORT.repr(value).split())


def cut(value: object, most: int = 160) -> str:
    """The words of a value on one line, cut where they are many."""
    text = " ".join(str(value).split())
    return text if len(text) <= most else f"{text[:most]} …"


def regular_file(path: Path, expected: str, remedy: str = "check the path") -> int:
    """Bytes of a file that may be opened: one of the disk, or a link to one; never a pipe, which has no end.

    Args:
        path: the file.
        expected: what it should be, for the error.
        remedy: what to do if it is not there.

    Raises:
        FileNotFoundError: if there is no such file, or a link leads nowhere.
        ValueError: if it is a folder, a pipe, a socket or a device, or if links lead in a circle.
    """
    try:
        found = os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        if path.is_symlink():
            raise FileNotFoundError(
                f"found a link at {path} to a file that is not there, expected {expected}: mend the link"
            ) from None
        raise FileNotFoundError(f"found no file {path}, expected {expected}: {remedy}") from None
    except (OSError, ValueError) as error:  # links in a circle, no permission, a name too long
        raise ValueError(f"found {path} that cannot be opened ({_cause(error)}), expected {expected}") from None
    if stat.S_ISREG(found.st_mode):
        return found.st_size
    kind = next((name for test, name in _KINDS if test(found.st_mode)), "something else")
    raise ValueError(f"found {kind} at {path}, expected {expected} in a file: {remedy}")


def read_whole(path: Path, expected: str, remedy: str = "check the path", most: int = 2**26) -> bytes:
    """The bytes of a regular file that is small by its nature.

    Args:
        path: the file.
        expected: what it should be, for the error.
        remedy: what to do if it is not.
        most: bytes that it may have.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is no regular file, is larger, or cannot be read.
    """
    size = regular_file(path, expected, remedy)
    if size > most:
        raise ValueError(f"found {size:,} bytes in {path}, expected {expected} of at most {most:,}: {remedy}")
    with reading(path, expected, remedy), path.open("rb") as file:
        return file.read(most)


@contextmanager
def reading(where: object, expected: str, remedy: str = "fetch or make it again") -> Iterator[None]:
    """Turn whatever a library raises in this block into one sentence that names the file.

    Args:
        where: the file, and the place in it where that is known.
        expected: what it should be.
        remedy: what to do.

    Raises:
        ValueError: in place of each of `FAULTS`. Errors of ours, which begin with "found" or name the file, pass, and
            so do faults of the machine, such as too many open files.
    """
    try:
        yield
    except FAULTS as error:
        if isinstance(error, ValueError | FileNotFoundError) and _ours(str(error), str(where)):
            raise
        if isinstance(error, OSError) and (is_system_fault(error) or isinstance(error, PermissionError)):
            raise  # of the machine, not of the file: the command line has words for it
        raise ValueError(
            f"found {where} that cannot be read ({_cause(error)}), expected {expected}: {remedy}"
        ) from error


def _ours(text: str, where: str) -> bool:
    return text.startswith("found ") or ("found " in text and where in text)


def _cause(error: BaseException) -> str:
    """What a library says, on one line and short."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = cut(error)
    return f"it has no {text}" if isinstance(error, KeyError) else text or type(error).__name__
