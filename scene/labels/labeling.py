"""Labeling of a folder of images: what is there is kept, what is missing is made, and the manifest says how."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
import torch
from PIL import Image

from crosspoint.installation import DISTRIBUTION
from crosspoint.renderers.cluster import opened_cluster
from crosspoint.renderers.parallel import in_processes, processes
from crosspoint.renderers.sole_writer import is_empty, sole_writer
from crosspoint.scene.datasets.readers import read_images
from crosspoint.scene.labels.frames import find_images, map_path
from crosspoint.scene.labels.labeler import Labeler, Painter
from crosspoint.scene.labels.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from crosspoint.scene.labels.maps import is_whole, write_digests, write_map

log = logging.getLogger("crosspoint")

_PACKAGES = (DISTRIBUTION, "transformers", "torch", "torchvision", "numpy", "pillow")
_SECONDS = 10  # between two lines of progress
_CHUNK = 16  # images that a process gets at once

Device = Literal["auto", "cpu", "cuda"]


def label_images(
    labeler: Labeler,
    frames: str | Path,
    out: str | Path,
    *,
    images: str = "**/*",
    device: Device = "auto",
    batch_size: int = 1,
    jobs: int = 1,
) -> int:
    """Make a map for every image of a folder; a run that was stopped goes on where it was.

    Args:
        labeler: how.
        frames: folder of the images.
        out: folder of the maps: `<path of the image>.png`, `manifest.json` and `sha256.txt`.
        images: pattern of the images that are meant.
        device: "auto" takes a GPU where there is one.
        batch_size: images of one size that a network sees at once.
        jobs: processes on a CPU, −1 for one per core; a GPU has one.

    Returns:
        How many maps were made.

    Raises:
        FileNotFoundError: if there is no such folder, or a model is not there.
        ImportError: if `transformers` is not installed.
        ValueError: if there is no image or one is damaged, the maps in `out` were made with other settings, or there is
            no such device.
    """
    frames, out = Path(frames), Path(out)
    place = _place(device)
    if batch_size < 1 or jobs == 0:
        raise ValueError(f"found batch_size {batch_size} and jobs {jobs}, expected a batch from 1, and jobs, or −1")
    names = find_images(frames, out, images)
    with sole_writer(out):
        manifest = _manifest(out, labeler)
        todo = [name for name in names if not _is_done(frames / name, out / map_path(name))]
        log.info("%d images in %s, %d of them labeled already", len(names), frames, len(names) - len(todo))
        if not todo:
            manifest = read_manifest(out)  # whose versions made the maps
        else:
            write_manifest(out, manifest)
            _label(labeler, place, frames, out, todo, batch_size, jobs)
        count, digest = write_digests(out)
        write_manifest(
            out, Manifest(manifest.kind, manifest.classes, manifest.recipe, manifest.versions, count, digest)
        )
    return len(todo)


def _place(device: Device) -> str:
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("found no CUDA device, expected one for --device cuda: take --device cpu")
    return "cuda" if device != "cpu" and torch.cuda.is_available() else "cpu"


def _manifest(out: Path, labeler: Labeler) -> Manifest:
    """The manifest of an unfinished folder, after a look at the one that is there."""
    recipe = json.loads(json.dumps(labeler.recipe()))  # as it is read back
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:  # on the path without being installed
            versions[package] = "unknown"
    ours = Manifest(labeler.kind, labeler.names, recipe, versions)
    if not (out / MANIFEST).exists():
        if out.is_dir() and not is_empty(out):
            raise ValueError(
                f"found files without {MANIFEST} in {out}, expected an empty folder or maps of this command"
            )
        return ours
    there = read_manifest(out)
    if (there.kind, there.classes, there.recipe) != (ours.kind, ours.classes, ours.recipe):
        changed = sorted(key for key in {*there.recipe, *recipe} if there.recipe.get(key) != recipe.get(key))
        raise ValueError(
            f"found maps in {out} that were made with other settings ({', '.join(changed) or 'classes'}), expected the "
            "same: give a new folder, or remove this one"
        )
    return Manifest(ours.kind, ours.classes, recipe, _joined(there.versions, versions))


def _joined(before: dict[str, str], now: dict[str, str]) -> dict[str, str]:
    """Versions of a folder that was made with several: all of them, the newest last."""
    return {
        name: f"{before[name]}, {found}"
        if found not in before.get(name, found).split(", ")
        else before.get(name, found)
        for name, found in now.items()
    }


def _is_done(image: Path, target: Path) -> bool:
    if not target.is_file():
        return False
    try:
        with Image.open(image) as file:
            size = file.size
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"found an image that cannot be read, {image} ({error}), expected a whole one") from None
    return is_whole(target, size)


def _label(
    labeler: Labeler, device: str, frames: Path, out: Path, names: Sequence[PurePosixPath], batch_size: int, jobs: int
) -> None:
    size = max(batch_size, min(_CHUNK, -(-len(names) // processes(jobs, device))))
    chunks = [names[start : start + size] for start in range(0, len(names), size)]
    started = said = time.monotonic()
    done = 0
    for count in _counts(labeler, device, frames, out, chunks, batch_size, jobs):
        done += count
        now = time.monotonic()
        if now - said >= _SECONDS or done == len(names):
            said = now
            log.info("%d of %d images labeled, %.2f a second", done, len(names), done / (now - started))


def _counts(
    labeler: Labeler,
    device: str,
    frames: Path,
    out: Path,
    chunks: Sequence[Sequence[PurePosixPath]],
    batch_size: int,
    jobs: int,
) -> Iterator[int]:
    if processes(jobs, device) == 1 and opened_cluster() is None:
        paint = labeler.load(device)
        return (_paint_chunk(paint, frames, out, chunk, batch_size) for chunk in chunks)
    work = ((labeler, device, frames, out, chunk, batch_size) for chunk in chunks)
    return in_processes(_paint_in_process, work, jobs, ordered=False)


_loaded: list[tuple[Labeler, str, Painter]] = []  # what this process has loaded for its earlier chunks


def _paint_in_process(
    labeler: Labeler, device: str, frames: Path, out: Path, names: Sequence[PurePosixPath], batch_size: int
) -> int:
    if not _loaded or _loaded[0][:2] != (labeler, device):
        _loaded[:] = [(labeler, device, labeler.load(device))]
    return _paint_chunk(_loaded[0][2], frames, out, names, batch_size)


def _paint_chunk(paint: Painter, frames: Path, out: Path, names: Sequence[PurePosixPath], batch_size: int) -> int:
    for start in range(0, len(names), batch_size):
        chosen = names[start : start + batch_size]
        pixels = [read_images([frames / name])[0].permute(1, 2, 0).contiguous().numpy() for name in chosen]
        # Networks pad images of different sizes to one, and not all of them take the padding off again.
        for _, group in groupby(zip(chosen, pixels, strict=True), key=lambda pair: pair[1].shape):
            members = list(group)
            for (name, image), numbers in zip(members, paint([image for _, image in members]), strict=True):
                if numbers.shape != image.shape[:2]:
                    raise ValueError(f"found a map of {numbers.shape} for {name}, expected {image.shape[:2]}")
                write_map(out / map_path(name), np.asarray(numbers))
    return len(names)
