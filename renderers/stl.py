"""Stereolithography files (https://www.fabbers.com/tech/STL_Format): whether one is whole."""

from __future__ import annotations

import re
import struct


def check_stl(content: bytes, name: str) -> None:
    """Make sure that all triangles are there.

    Raises:
        ValueError: if the file is shorter than it says, or ends within a solid.
    """
    if len(content) >= 84:
        (count,) = struct.unpack("<I", content[80:84])
        if len(content) == 84 + 50 * count:
            return
    text = content.lstrip().lower().startswith(b"solid") and b"\0" not in content[:512]
    if text:
        opened = len(re.findall(rb"^\s*facet\b", content, re.MULTILINE | re.IGNORECASE))
        closed = len(re.findall(rb"^\s*endfacet\b", content, re.MULTILINE | re.IGNORECASE))
        if opened != closed or not re.search(rb"\bendsolid\b", content, re.IGNORECASE):
            raise ValueError(
                f"found {closed} whole triangles and no end in {name} (STL), expected endsolid: the file is cut off, "
                "fetch or export it again"
            )
    elif len(content) < 84 or len(content) < 84 + 50 * count:
        expected = 84 + 50 * count if len(content) >= 84 else 84
        raise ValueError(
            f"found {len(content)} bytes in {name} (STL), expected {expected} by its header: the file is cut off, "
            "fetch or export it again"
        )
