"""Files that are no mesh at all: what they are instead."""

from __future__ import annotations

import re


def what_it_is(content: bytes, name: str) -> str | None:
    """A sentence on a file that another program left in a mesh's place; None for one that may be a mesh."""
    head = content[:512].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not content.strip(b"\0 \t\r\n"):
        size = f"{len(content)} bytes that are all zero or blank" if content else "an empty file"
        return f"found {size} in {name}, expected a mesh: the download or copy failed, fetch it again"
    if head.startswith(b"version https://git-lfs.github.com/"):
        return (
            f"found a pointer file of Git LFS in {name}, expected the mesh that it stands for: run "
            "`git lfs pull` where the data were cloned"
        )
    if re.match(rb"<(!doctype\s+html|html|head|body)\b", head, re.IGNORECASE):
        return (
            f"found an HTML page in {name}, expected a mesh: a server's answer was saved in its place, fetch it again"
        )
    if head.startswith((b"<?xml", b"<Error")) and b"<Error>" in content[:1024]:
        return f"found a server's error message in {name}, expected a mesh: fetch it again"
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b", b"7z\xbc\xaf", b"Rar!")) and not name.lower().endswith(
        (".3mf", ".zip", ".zae", ".3dxml")
    ):
        return f"found a compressed archive in {name}, expected a mesh: unpack it"
    return None
