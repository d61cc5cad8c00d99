"""Embedding of all views of a rendered set: parallel over shards, resumable, the same bytes on any number of jobs."""

from __future__ import annotations

import io
import json
import logging
import time
from pathlib import Path
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from crosspoint.datasets.embedded.view_embeddings import (
    FOLDER,
    MANIFEST,
    Teacher,
    embedding_paths,
    manifest_content,
    read_manifest,
    set_digest,
)
from crosspoint.datasets.embedded.view_facts import color_shares
from crosspoint.datasets.rendered import resized
from crosspoint.models.map_cache import weights_digest
from crosspoint.models.timm_encoder import TimmEncoder
from crosspoint.renderers import RenderedSet
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.manifest import read_manifest as read_set
from crosspoint.renderers.parallel import in_processes, processes
from crosspoint.renderers.ranges import PIXELS, in_range
from crosspoint.renderers.sole_writer import sole_writer
from crosspoint.renderers.threads import one_thread

log = logging.getLogger(__name__)

BATCH = 64  # views that the network sees at once
SECONDS = 10  # between two lines of progress


class Network(NamedTuple):
    """How a process builds the teacher, and how it knows that it has: a process may outlive a file of weights."""

    network: str
    weights: str
    sha256: str  # of the weights


class Shard(NamedTuple):
    """What a process is to embed."""

    root: Path
    split: str
    number: int
    folder: Path
    image_size: int
    device: str


def embed_views(
    root: str | Path,
    *,
    network: str,
    weights: str,
    name: str | None = None,
    image_size: int | None = None,
    device: str = "cpu",
    jobs: int = -1,
) -> Path:
    """Embed every view of a rendered set with a frozen network of timm; what is there already stays.

    SET/embeddings/NAME then holds, for each shard, float16 arrays of embeddings (n, V, D) and of colors (n, V, 64), and
    a manifest with the network and the sha256 of its weights.

    Args:
        root: folder of the set.
        network: of timm.
        weights: "pretrained", or a file in timm's names.
        name: of the folder below SET/embeddings; the network's where None.
        image_size: side in pixels to which views are resized (antialiased); None for that of the set.
        device: "cpu" or "cuda"; a GPU has one process.
        jobs: processes on a CPU, −1 for one per core.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: if there is no such set, or there are no such weights.
        ValueError: if the network does not take images of this size, or the folder holds embeddings of another teacher
            or set, or is being written to.
    """
    if jobs == 0:
        raise ValueError("found 0 jobs, expected 1 or more, or -1 for one per core")
    in_range("image_size", image_size, *PIXELS)
    root = Path(root)
    objects = RenderedSet(root)
    side = objects.size if image_size is None else image_size
    encoder = build_teacher(network, weights)
    encoder.check_size((side, side))
    teacher = Teacher(network, weights_digest(encoder.model), side, encoder.feature_dim)
    folder = root / FOLDER / (name or network)
    with sole_writer(folder):
        _begin(folder, manifest_content(teacher, set_digest(root)))
        shards = [
            Shard(root, split, number, folder, side, device)
            for split, count in read_set(root).shards.items()
            for number in range(count)
        ]
        todo = [shard for shard in shards if not all(path.is_file() for path in _paths(shard).values())]
        log.info("%d of %d shards embedded already", len(shards) - len(todo), len(shards))
        started = said = time.monotonic()
        done = 0
        work = ((Network(network, weights, teacher.weights), shard) for shard in todo)
        made = in_processes(_embed_shard, work, processes(jobs, device), ordered=False)
        for number, views in enumerate(made, start=1):
            done += views
            now = time.monotonic()
            if now - said >= SECONDS or number == len(todo):
                said = now
                log.info("%d of %d shards, %.1f views a second", number, len(todo), done / (now - started))
    return folder


def _begin(folder: Path, content: dict[str, object]) -> None:
    """Write the manifest of a new folder, or compare that of one that was begun."""
    if not (folder / MANIFEST).is_file():
        if folder.exists() and any(path.suffix == ".npy" for path in folder.iterdir()):
            raise ValueError(f"found arrays without {MANIFEST} in {folder}, expected a new folder: choose another name")
        with atomic_write(folder / MANIFEST) as file:
            file.write((json.dumps(content, indent=1) + "\n").encode())
        return
    found = read_manifest(folder)
    there, wanted = ({**facts["teacher"], "set": facts["set"]} for facts in (found, cast(dict, content)))
    changed = [key for key in wanted if there[key] != wanted[key]]
    if changed:
        what = ", ".join(f"{key} {str(there[key])[:40]} instead of {str(wanted[key])[:40]}" for key in changed)
        raise ValueError(
            f"found embeddings in {folder} with {what}, expected the same teacher and set: give another name, or "
            "remove the folder"
        )


def _paths(shard: Shard) -> dict[str, Path]:
    return embedding_paths(shard.folder, Path(f"{shard.split}-{shard.number:06d}.tar"))


def build_teacher(network: str, weights: str) -> TimmEncoder:
    """The frozen network; random weights (none) are the same in every process."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return TimmEncoder(network, weights=weights, frozen=True).eval()


_loaded: dict[tuple[Network, str], TimmEncoder] = {}  # what this process has built


def _encoder(network: Network, device: str) -> TimmEncoder:
    if (network, device) not in _loaded:
        made = build_teacher(network.network, network.weights)
        if weights_digest(made.model) != network.sha256:
            raise ValueError(
                f"found other weights in {network.weights} than when the command began, expected the same: begin again"
            )
        _loaded.clear()
        _loaded[network, device] = made.to(device)
    return _loaded[network, device]


def _embed_shard(network: Network, shard: Shard) -> int:
    """Embed one shard; returns how many views it has."""
    encoder, paths = _encoder(network, shard.device), _paths(shard)
    with one_thread():
        return _write_shard(encoder, shard, paths)


def _write_shard(encoder: TimmEncoder, shard: Shard, paths: dict[str, Path]) -> int:
    objects = RenderedSet(shard.root, shard.split)
    path = shard.root / f"{shard.split}-{shard.number:06d}.tar"
    rows = [index for index in range(len(objects)) if objects.shard_of(index) == path]
    embeddings, colors = [], []
    step = max(1, BATCH // objects.views)
    for start in range(0, len(rows), step):
        images = torch.cat([objects.images(index) for index in rows[start : start + step]])
        colors.append(color_shares(images).unflatten(0, (-1, objects.views)))
        seen = resized(images, shard.image_size).to(shard.device)
        embeddings.append(encoder.embed(seen).cpu().unflatten(0, (-1, objects.views)))
    for kind, values in (("colors", colors), ("embeddings", embeddings)):
        _write(paths[kind], torch.cat(values))
    return len(rows) * objects.views


def _write(path: Path, values: Tensor) -> None:
    array = values.numpy().astype(np.float16)
    if not np.isfinite(array).all():
        raise ValueError(f"found an embedding beyond float16 for {path}, expected finite ones: take another teacher")
    content = io.BytesIO()
    np.save(content, array)
    with atomic_write(path) as file:
        file.write(content.getvalue())
