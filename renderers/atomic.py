"""Files that are either whole or absent, whenever the process ends."""

from __future__ import annotations

import errno
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from crosspoint.renderers.file_lock import OPEN_FILES_MOVE, try_lock

FULL = {
    errno.ENOSPC: "no space left",
    errno.EDQUOT: "no quota left",
    errno.EFBIG: "no room for a file so large",
}
DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")
CUT = re.compile(r"\d+ requested and \d+ written")  # what NumPy says of a full disk


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Open a neighbor of `path` for writing, and give it that name once the block has ended without an error.

    Folders above `path` are made. A reader sees the old file or the new one, never a part. What a killed process left
    of its neighbor goes with `clear_drafts`.

    Raises:
        OSError: if it cannot be written; where the disk is full, in words that name the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with draft.open("xb") as file:
            try_lock(file)  # while it is held, nobody takes the draft for one that was left
            yield file
            file.flush()
            os.fsync(file.fileno())
            if OPEN_FILES_MOVE:
                os.replace(draft, path)
        if not OPEN_FILES_MOVE:
            os.replace(draft, path)
    except (OSError, RuntimeError) as error:  # PyTorch's writer makes a RuntimeError of an OSError
        cause = _full(error)
        if cause is None:
            raise
        raise OSError(f"found {cause} for {path}, expected enough: make room, and give the command again") from error
    finally:
        draft.unlink(missing_ok=True)


def clear_drafts(folder: Path) -> list[Path]:
    """Remove what killed processes left of files that they had not finished, at any depth; returns what is gone.

    Drafts of processes that live stay: they hold them.
    """
    gone = []
    for place, _, names in os.walk(folder):
        for name in filter(DRAFT.fullmatch, names):
            path = Path(place, name)
            with suppress(OSError):  # gone meanwhile, or another user's
                with path.open("rb") as file:
                    left = try_lock(file)
                if left:
                    path.unlink()
                    gone.append(path)
    return gone


def check_writable(path: Path, flag: str) -> None:
    """Refuse a file that cannot be written, before the work whose result it is for.

    Args:
        path: the file; folders above it may be absent.
        flag: that named it, for the message.

    Raises:
        OSError: if its folder, or the nearest one above that is there, takes no file.
    """
    folder = next(above for above in path.absolute().parents if above.exists())
    probe = folder / f".{path.name}.{uuid.uuid4().hex}"
    try:
        probe.open("xb").close()
        probe.unlink()
    except OSError as error:
        raise OSError(
            f"found {folder} not writable ({error.strerror}), expected a folder for {path.name}: choose another {flag}"
        ) from error


def _full(error: BaseException) -> str | None:
    """What a full disk says, from an error or those that it came from; None for other errors."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, OSError):
            if seen.errno in FULL:
                return FULL[seen.errno]
            if seen.errno is None and CUT.search(str(seen)):
                return FULL[errno.ENOSPC]
        seen = seen.__cause__ or seen.__context__
    return None
