"""Locks on open files, which the system lets go of when their process ends, however it ends.

They are flock's; on Windows, which has none, those of its C library (`msvcrt.locking`).
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import IO, Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

# Whether a file may be renamed and removed while it is open.
OPEN_FILES_MOVE = fcntl is not None
HELD = {errno.EACCES, errno.EAGAIN, errno.EDEADLK}
FAR = 2**31 - 2  # the byte that Windows locks; it keeps others from reading it, so it lies beyond what files hold
_inherited: set[int] = set()  # descriptors of locks, which a child made by fork would hold beyond its parent's end


def try_lock(file: IO[Any] | int) -> bool:
    """Whether nobody else holds the file; it is ours then, until it is closed.

    Some network file systems have no locks; every file is free there.
    """
    descriptor = file if isinstance(file, int) else file.fileno()
    try:
        if fcntl is None:
            _lock_byte(descriptor)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in HELD
    return True


def _lock_byte(descriptor: int) -> None:
    """Windows' way: it locks bytes from where the file is read or written, and puts that back."""
    msvcrt: Any = import_module("msvcrt")
    before = os.lseek(descriptor, 0, os.SEEK_CUR)
    try:
        os.lseek(descriptor, FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    finally:
        os.lseek(descriptor, before, os.SEEK_SET)


def open_locked(path: Path) -> int | None:
    """The descriptor of a file that is ours alone until `remove_locked`, made where absent; None if another holds it.

    Children of this process do not have it, so the lock ends with this process.
    """
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not try_lock(descriptor):
            os.close(descriptor)
            return None
        # Its last holder may have removed the file between our two steps: then we hold one that has no name.
        if path.exists() and os.path.samestat(os.fstat(descriptor), path.stat()):
            _inherited.add(descriptor)
            return descriptor
        os.close(descriptor)


def remove_locked(path: Path, descriptor: int) -> None:
    """Remove a file of `open_locked`, and let go of it."""
    _inherited.discard(descriptor)
    if not OPEN_FILES_MOVE:
        os.close(descriptor)
    with suppress(OSError):  # gone already, held by the next one, or the disk has become read-only
        path.unlink()
    if OPEN_FILES_MOVE:
        os.close(descriptor)


def _forget_in_child() -> None:
    for descriptor in _inherited:
        os.close(descriptor)
    _inherited.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
