"""Errors of the system and of libraries that stand for a cause which a user can mend, in words that say how."""

from __future__ import annotations

import errno
import re

from crosspoint.renderers.system_faults import OPEN_FILES

SHARED_MEMORY = re.compile(r"bus error|insufficient shared memory|No space left on device.*torch_", re.IGNORECASE)
GPU_MEMORY = re.compile(r"CUDA out of memory|CUDNN_STATUS_ALLOC_FAILED")
KILLED = re.compile(r"worker process .*(?:terminated|killed)|A process in the process pool was terminated abruptly")
DECODER = re.compile(r"(?:decoder|encoder) (?P<name>\w+) not available")
FILTER = re.compile(r"required filter '(?P<name>[^']+)' is not registered")


def advice(error: BaseException) -> str | None:
    """What was found, what was expected and what to do, on one line; None where the error's own words do.

    Args:
        error: that ended a command.
    """
    text, number = str(error), getattr(error, "errno", None)
    place = getattr(error, "filename", None)
    where = "" if place is None else f" at {place}"
    if number in (errno.EMFILE, errno.ENFILE) or OPEN_FILES.search(text):
        return (
            f"found too many open files{where}, expected fewer than the system allows: raise the limit "
            "(ulimit -n 65536), or lower the number of workers (compute.workers, --jobs)"
        )
    if SHARED_MEMORY.search(text):
        return (
            "found too little shared memory for the loader processes, expected more: enlarge /dev/shm (docker run "
            "--shm-size 8g), or give --compute.workers 0"
        )
    if number in (errno.EACCES, errno.EPERM) and place is not None:
        return f"found no permission for {place}, expected a file or folder for this user to use: choose another"
    if number == errno.EROFS and place is not None:
        return f"found a file system that cannot be written{where}, expected one that can: choose another folder"
    if number in (errno.ENOSPC, errno.EDQUOT):
        return f"found no space left{where}, expected some: make room, or choose another folder; what is done is kept"
    if number in (errno.ENOTDIR, errno.EEXIST) and place is not None:
        return f"found a file{where} where a folder was expected: choose another folder"
    if GPU_MEMORY.search(text):
        return (
            "found too little memory on the GPU, expected enough for a step: lower the batch size "
            "(training.batch_size, --recipe.batch_size), or give --compute.precision bf16-mixed"
        )
    if KILLED.search(text):
        return (
            "found a worker process that the system ended, perhaps for lack of memory, expected all to live: lower "
            "--jobs"
        )
    decoder = DECODER.search(text)
    if decoder:
        return (
            f"found no {decoder['name']} decoder in the installed Pillow, expected one for the images: install it "
            "anew from its wheel (pip install --force-reinstall pillow), or convert the images to PNG"
        )
    plugin = FILTER.search(text)
    if plugin:
        return (
            f"found HDF5 data compressed by {plugin['name']}, which h5py cannot read alone, expected gzip or none: "
            "repack the file (h5repack -f GZIP=4 OLD NEW)"
        )
    return None
