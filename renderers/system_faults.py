"""Faults of the machine, which say nothing of the file that was open when they came."""

from __future__ import annotations

import errno
import re

OPEN_FILES = re.compile(r"Too many open files|received \d+ items of ancdata")  # torch and libraries keep only the text
NUMBERS = {errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EIO, errno.ESTALE}


def is_system_fault(error: BaseException) -> bool:
    """Whether an error is the machine's: files, space or memory that have run out, a disk that does not answer.

    What skips broken files must not skip a file for one of these: it is whole.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, MemoryError) or getattr(seen, "errno", None) in NUMBERS or OPEN_FILES.search(str(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False
