"""Sweeps, their labels, images and lists, read from files: every check of what a file holds is here.

Returns without a position (NaN, infinite, or exactly at the sensor, as rotating sensors record a beam that met nothing)
are dropped together with their labels, for no pair and no voxel can hold them. Whatever else is wrong with a file is
refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from crosspoint.datasets.cloud_files import SUFFIXES, read_named
from crosspoint.renderers.files import IMAGE_FAULTS, read_whole, regular_file
from crosspoint.scene.data.sample import IGNORED
from crosspoint.scene.datasets.row_width import check_width, possible_widths

Item = TypeVar("Item")

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".PNG", ".JPG", ".JPEG")
SWEEP_SUFFIXES = SUFFIXES
FARTHEST = 10_000.0  # meters; no LiDAR sees farther, and bytes of another type almost always do


class Sweep(NamedTuple):
    """The returns of one file that have a position."""

    points: Tensor  # (N, 3) float32: x y z in meters
    intensity: Tensor  # (N,) float32 in [0, 1]
    others: Tensor  # (N, columns − 4) float32: the numbers beyond the intensity
    kept: np.ndarray  # (M,) bool: which of the file's M returns these are


def read_sweep(path: Path, columns: int = 4, full_scale: float = 1.0) -> Sweep:
    """Read a sweep: float32 rows that begin with x y z intensity, or a file that says itself what it holds.

    Args:
        path: the file; a suffix of `crosspoint.datasets.cloud_files` other than .bin says how it is read.
        columns: numbers in a row of a .bin file; 3 where there is no intensity, which is then 0.
        full_scale: the largest intensity the sensor gives, which becomes 1; the few above it (some sensors overshoot on
            retroreflectors) become 1, too.

    Raises:
        FileNotFoundError: if there is no such file.
        ImportError: if a package that reads it is not installed.
        ValueError: if the file is cut off, is of another width, type or scale, or holds no return with a position.
    """
    row = "x y z intensity"[: 15 if columns > 3 else 5] + " …" * (columns > 4)
    size = regular_file(path, f"the sweep, float32 {row}")
    returns = _read_rows(path, columns, size, row) if path.suffix == ".bin" else read_named(path)
    if returns.shape[1] == 3:
        returns = np.column_stack([returns, np.zeros(len(returns), dtype=np.float32)])
    # By columns: reducing rows of four numbers takes five times as long.
    x, y, z, intensity = returns[:, :4].T
    finite = np.isfinite(x) & np.isfinite(y) & np.isfinite(z) & np.isfinite(intensity)
    kept = finite & ((x != 0) | (y != 0) | (z != 0))
    count, returns = len(returns), np.compress(kept, returns, axis=0)
    points, intensity = np.ascontiguousarray(returns[:, :3]), returns[:, 3]
    if len(points) == 0:
        raise ValueError(
            f"found no return with a position among {count} in {path}, expected some: leave this frame out"
        )
    farthest = float(np.abs(points).max())
    if farthest > FARTHEST:
        raise ValueError(
            f"found a coordinate of {farthest:.3g} m in {path}, expected at most {FARTHEST:.0f}: is it float32 {row}, "
            "in meters?"
        )
    if (intensity > full_scale).mean() > 0.5:
        raise ValueError(
            f"found intensities up to {intensity.max():g} in {path}, expected most within 0…{full_scale:g}: "
            "give the sensor's largest intensity as `intensity_scale`"
        )
    scaled = np.clip(intensity / full_scale, 0.0, 1.0)
    others = np.ascontiguousarray(returns[:, 4:])
    return Sweep(torch.from_numpy(points), torch.from_numpy(scaled), torch.from_numpy(others), kept)


def layout(
    columns: int | None, intensity_scale: float | None, usual: tuple[int, float] = (4, 1.0)
) -> tuple[int, float]:
    """Columns and largest intensity of a dataset's sweeps: as given, or the usual ones where None.

    Raises:
        ValueError: if no sweep can have so many columns or such a largest intensity.
    """
    columns = usual[0] if columns is None else columns
    intensity_scale = usual[1] if intensity_scale is None else intensity_scale
    if columns < 3:
        raise ValueError(f"found columns {columns}, expected 3 (x y z) or more: give the numbers in a row of a sweep")
    if not 0 < intensity_scale < float("inf"):
        raise ValueError(f"found the intensity_scale {intensity_scale}, expected the sensor's largest intensity")
    return columns, intensity_scale


def _read_rows(path: Path, columns: int, size: int, row: str) -> np.ndarray:
    """The rows (M, columns) of a headless file."""
    if size == 0 or size % (4 * columns):
        others = [width for width in possible_widths(size // 4) if width != columns] if size % 4 == 0 else []
        wider = f", or give `columns` if rows have {', '.join(map(str, others))} numbers" if others else ""
        raise ValueError(
            f"found {size} bytes in {path}, expected a multiple of {4 * columns} (float32 {row}): "
            f"the file is cut off or of another format, fetch it anew{wider}"
        )
    numbers = np.fromfile(path, dtype="<f4").astype(np.float32, copy=False)
    check_width(numbers, columns, path)
    return numbers.reshape(-1, columns)


def read_labels(path: Path, kept: np.ndarray, dtype: str = "<u4") -> np.ndarray:
    """Read one integer per return of a sweep.

    Args:
        path: the file.
        kept: (M,) bool, as `read_sweep` gives it.
        dtype: of the file, as numpy writes types.

    Returns:
        (N,) int64: what the file says of the returns that were kept.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it does not hold M labels.
    """
    size, width = regular_file(path, "the labels of a sweep"), np.dtype(dtype).itemsize
    if size != width * len(kept):
        raise ValueError(
            f"found {size / width:g} labels in {path}, expected {len(kept)}, one per return: "
            "the file is cut off or belongs to another sweep"
        )
    return np.fromfile(path, dtype=dtype)[kept].astype(np.int64)


def misfit(sweep: Path, columns: int, labels: Sequence[Path] = (), width: int = 4) -> str | None:
    """What the sizes of a sweep and its labels say is wrong with them; None for nothing.

    Args:
        sweep: the file; nothing is said of one that is no .bin.
        columns: numbers in its rows.
        labels: its file of labels, if it has one.
        width: bytes of a label.
    """
    if sweep.suffix != ".bin":
        return None
    size = sweep.stat().st_size
    if size % (4 * columns):
        return (
            f"found {size} bytes in {sweep}, expected a multiple of {4 * columns}: fetch it anew, or give the "
            "numbers in a row as `columns`"
        )
    returns = size // (4 * columns)
    for path in labels:
        count = path.stat().st_size / width
        if count != returns:
            return f"found {count:g} labels in {path}, expected {returns}, one per return: fetch the file anew"
    return None


def to_classes(raw: np.ndarray, classes: Mapping[int, int], path: Path) -> np.ndarray:
    """A file's labels as a dataset's classes.

    Args:
        raw: (N,) int64 ≥ 0.
        classes: of each label that a file may hold, `IGNORED` among them.
        path: where they come from, for the error.

    Returns:
        (N,) int64.

    Raises:
        ValueError: if a label is not in `classes`.
    """
    unknown, beyond = IGNORED - 1, max(classes) + 1
    table = np.full(beyond + 1, unknown, dtype=np.int64)
    table[list(classes)] = list(classes.values())
    found = table[np.minimum(raw, beyond)]  # bytes of another type are numbers up to four billion
    if (found == unknown).any():
        raise ValueError(
            f"found the label {raw[found == unknown][0]} in {path}, expected one of: "
            f"{', '.join(map(str, sorted(classes)))}"
        )
    return found


def read_images(
    paths: Sequence[Path], size: tuple[int, int] | None = None, sizes: Sequence[Sequence[int]] | None = None
) -> Tensor:
    """Read images of one size, or of a size of their own each.

    Args:
        paths: V files, at least one.
        size: (H, W) they must have; None for that of the first.
        sizes: V pairs H and W that they must have instead, where they differ; `size` is then that of the arrays.

    Returns:
        (V, 3, H, W) uint8, RGB; images smaller than their array lie at its top left, the rest is black.

    Raises:
        FileNotFoundError: if a file is not there.
        ValueError: if one is damaged or of another size.
    """
    images = []
    for view, path in enumerate(paths):
        regular_file(path, "an image")
        wanted = size if sizes is None else (sizes[view][0], sizes[view][1])
        try:
            with Image.open(path) as image:
                if wanted is not None and image.size != (wanted[1], wanted[0]):  # before its pixels are unpacked
                    raise _of_another_size(path, (image.size[1], image.size[0]), wanted)
                pixels = np.array(image.convert("RGB"))
        except IMAGE_FAULTS as error:
            if str(error).startswith("found "):
                raise
            raise ValueError(f"found an image that cannot be read, {path} ({error}), expected a whole one") from None
        size = pixels.shape[:2] if size is None else size
        height, width = size if sizes is None else sizes[view]
        if pixels.shape[:2] != (height, width):
            raise _of_another_size(path, (pixels.shape[0], pixels.shape[1]), (height, width))
        images.append(np.pad(pixels, ((0, size[0] - height), (0, size[1] - width), (0, 0))))
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def _of_another_size(path: Path, found: tuple[int, int], size: tuple[int, int]) -> ValueError:
    return ValueError(
        f"found an image of {found[0]}×{found[1]} pixels, {path}, expected {size[0]}×{size[1]}: images have "
        "the size that the calibration says"
    )


def read_lines(path: Path, what: str) -> list[str]:
    """The lines of a text file without blanks around them; empty ones are left out.

    Raises:
        FileNotFoundError: if there is no such file; the message says that it holds `what`.
        ValueError: if it is no text.
    """
    content = read_whole(path, what)
    try:
        lines = content.decode().splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"found bytes that are no text in {path}, expected {what}") from None
    return [line.strip() for line in lines if line.strip()]


def find_image(folder: Path, name: str) -> Path:
    """The image of a name in a folder, whichever suffix it has; the first suffix where there is none."""
    places = [folder / f"{name}{suffix}" for suffix in IMAGE_SUFFIXES]
    return next((place for place in places if place.exists()), places[0])


def image_names(folder: Path) -> set[str]:
    """Names without suffix of the images right below a folder."""
    return {path.stem for path in folder.glob("*.*") if path.suffix in IMAGE_SUFFIXES and path.name[0] != "."}


def optional_file(path: Path, wanted: bool | None) -> list[Path]:
    """A file that is read if `wanted`, never if not, and with None where it is there; as a list of one or none."""
    return [path] if wanted or (wanted is None and path.is_file()) else []


def find_sweeps(folder: Path, where: str, suffixes: Sequence[str] = (".bin",)) -> list[Path]:
    """The sweeps right below a folder, sorted by name: .bin files, or those of the first suffix that any file has.

    Raises:
        FileNotFoundError: if there is no such folder or no such file; `where` says what it should have held.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"found no folder {folder}, expected {where}")
    for suffix in suffixes:
        paths = sorted(path for path in folder.glob(f"*{suffix}") if not path.name.startswith("."))
        if paths:
            return paths
    kinds = sorted({path.suffix for path in folder.iterdir() if path.is_file() and path.suffix})
    there = f" (but {', '.join(kinds)})" if kinds else ""
    raise FileNotFoundError(f"found no {' or '.join(suffixes)} file in {folder}{there}, expected {where}")


def subsample(items: list[Item], skip: int) -> list[Item]:
    """Every `skip`-th of the items, from the first on.

    Raises:
        ValueError: if skip is below 1.
    """
    check_skip(skip)
    return items[::skip]


def check_skip(skip: int) -> None:
    """Raise ValueError if a dataset cannot be thinned by `skip`."""
    if skip < 1:
        raise ValueError(f"found skip {skip}, expected at least 1: 100 keeps one of a hundred")
