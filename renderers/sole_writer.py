"""One writer of a folder at a time, and a folder without what killed writers left."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from crosspoint.renderers.atomic import clear_drafts
from crosspoint.renderers.cluster import opened_cluster
from crosspoint.renderers.file_lock import open_locked, remove_locked

LOCK = ".lock"


@contextmanager
def sole_writer(folder: str | Path) -> Iterator[None]:
    """Hold a folder as its only writer; every command that fills one does.

    The folder is made where it is absent, and is gone afterwards if nothing was written. Unfinished files of killed
    writers are removed. The lock is a file in the folder, which the system lets go of when its process ends, by
    kill -9 as well: there are no locks left behind to remove by hand.

    Args:
        folder: that is written to.

    Raises:
        ValueError: if another process, or another call in this one, writes there.
        OSError: if the folder cannot be made, or takes no file.
    """
    folder = Path(folder)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"found the file {folder}, expected a folder: choose another")
    made = [above for above in (folder, *folder.parents) if not above.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK
    descriptor = open_locked(path)
    if descriptor is None:
        holder = ""
        with suppress(OSError):
            holder = path.read_text(encoding="utf-8").strip()
        raise ValueError(
            f"found {folder} in use by {holder or 'another process'}, expected one writer at a time: wait for it "
            "to end, or choose another folder"
        )
    try:
        os.truncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}".encode())
        clear_drafts(folder)
        yield
        if opened_cluster() is not None:  # which goes on when a worker dies
            clear_drafts(folder)
    finally:
        remove_locked(path, descriptor)
        with suppress(OSError):  # not empty
            for above in made:
                above.rmdir()


def is_empty(folder: Path) -> bool:
    """Whether a folder holds nothing but its writer's lock."""
    return all(path.name == LOCK for path in folder.iterdir())
