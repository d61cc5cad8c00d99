"""Zip archives of other people, whose members are not believed to be as large as they say."""

from __future__ import annotations

import zipfile
from typing import BinaryIO

from crosspoint.renderers.files import reading

ALWAYS = 2**26  # bytes that any archive may unpack to


def check_zip(file: BinaryIO, where: object, expected: str, most: float) -> None:
    """Look at the sizes that a zip archive announces before anything is unpacked; the file returns to its start.

    Args:
        file: the archive, which may lie at its end of the file.
        where: its name, for the error.
        expected: what it should be, likewise.
        most: bytes that all members may have together; `ALWAYS` where that is more.

    Raises:
        ValueError: if it is no whole archive, or announces more.
    """
    size = file.seek(0, 2)
    file.seek(0)
    with reading(where, expected), zipfile.ZipFile(file) as archive:
        unpacked = sum(member.file_size for member in archive.infolist())
    file.seek(0)
    if unpacked > max(ALWAYS, most):
        raise ValueError(
            f"found {unpacked:,} bytes packed into the {size:,} of {where}, expected {expected} of at most "
            f"{int(max(ALWAYS, most)):,}: it is damaged or a bomb, do not open it by other means"
        )
