"""Maps of labels as PNG files, and the list of their digests, `sha256.txt`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
from PIL import Image

from crosspoint.renderers.atomic import atomic_write

DIGESTS = "sha256.txt"
_END = b"IEND\xaeB`\x82"  # what every whole PNG ends with


def write_map(path: Path, numbers: np.ndarray) -> None:
    """Write a map (H, W) of whole numbers, of 8 bits where they suffice, else of 16.

    Raises:
        ValueError: if a number is below 0 or above 65,535.
    """
    least, most = (int(numbers.min()), int(numbers.max())) if numbers.size else (0, 0)
    if least < 0 or most >= 2**16:
        raise ValueError(f"found numbers from {least} to {most} for {path}, expected 0 to 65535")
    with atomic_write(path) as file:
        Image.fromarray(numbers.astype(np.uint8 if most < 2**8 else np.uint16)).save(file, format="PNG")


def is_whole(path: Path, size: tuple[int, int]) -> bool:
    """Whether there is a map of a size (W, H) that was not cut off; its pixels are not read."""
    try:
        with Image.open(path) as image:
            fits = image.format == "PNG" and image.size == size
        with path.open("rb") as file:
            file.seek(-len(_END), 2)
            return fits and file.read() == _END
    except (OSError, SyntaxError):
        return False


def write_digests(folder: Path) -> tuple[int, str]:
    """Write the SHA-256 of every map below a folder into its `sha256.txt`, as `sha256sum` does.

    `sha256sum --check sha256.txt` in this folder says which maps have changed.

    Returns:
        How many maps there are, and the digest of the list.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png") if path.is_file())
    lines = [_line(file_digest(folder / name), name) for name in names]
    content = "".join(lines).encode("utf-8", "surrogateescape")
    with atomic_write(folder / DIGESTS) as file:
        file.write(content)
    return len(names), hashlib.sha256(content).hexdigest()


def file_digest(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()


def _line(digest: str, name: str) -> str:
    """A line of the list; sha256sum puts a backslash before a line whose name it had to escape."""
    escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
    return f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n"
