"""The images of a folder that are to be labeled, and the place of the map of each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

SUFFIXES = (".png", ".jpg", ".jpeg")


def find_images(frames: Path, out: Path, pattern: str = "**/*") -> list[PurePosixPath]:
    """Images below a folder, at any depth, in sorted order.

    Args:
        frames: the folder; links to folders are followed.
        out: where the maps go: what lies in it is left out.
        pattern: that the paths below `frames` match: `*` stands for any part of a name, `**` for any number of folders
            or, at the end, for all that is below.

    Returns:
        Their paths, relative to `frames`.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if no image matches, two differ by their suffix alone, or `out` is `frames`.
    """
    if not frames.is_dir():
        raise FileNotFoundError(f"found no folder {frames}, expected one with the images to label")
    if out.resolve() == frames.resolve():
        raise ValueError(
            f"found the folder of the images, {frames}, for the maps, expected another: give one inside it"
        )
    parts = PurePosixPath(pattern).parts
    found = sorted(path for path in _images(frames, out.resolve()) if _matches(path.parts, parts))
    if not found:
        raise ValueError(f"found no image {pattern} in {frames}, expected files that end with {', '.join(SUFFIXES)}")
    of_map: dict[PurePosixPath, PurePosixPath] = {}
    for path in found:
        other = of_map.setdefault(map_path(path), path)
        if other != path:
            raise ValueError(
                f"found {other} and {path.name} in {frames}, expected names that differ by more than the suffix, for "
                f"both maps would be {map_path(path)}: move one, or narrow --images"
            )
    return found


def map_path(image: PurePosixPath) -> PurePosixPath:
    """Where the map of an image lies, relative to the folder of the maps."""
    return image.with_suffix(".png")


def _images(frames: Path, out: Path) -> Iterator[PurePosixPath]:
    visited: set[Path] = {out}
    for folder, folders, files in os.walk(frames, followlinks=True):
        here = Path(folder).resolve()
        # A link to a folder above leads round in circles, two links to each other as well.
        if here in visited:
            folders.clear()
            continue
        visited.add(here)
        folders[:] = [name for name in folders if (here / name).resolve() not in (out, here, *here.parents)]
        for name in files:
            if name.lower().endswith(SUFFIXES):
                yield PurePosixPath(Path(folder, name).relative_to(frames).as_posix())


def _matches(path: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    """Whether the parts of a path match those of a pattern."""
    if not pattern:
        return not path
    if pattern[0] == "**":
        return any(_matches(path[start:], pattern[1:]) for start in range(len(path) + 1))
    return bool(path) and fnmatchcase(path[0], pattern[0]) and _matches(path[1:], pattern[1:])
