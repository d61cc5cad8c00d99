"""`embed`: items of a source → features under a trained encoder; parallel, resumable, one file in the end."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from crosspoint.checkpoints.files import require_file
from crosspoint.checkpoints.pretrained import Pretrained, load_pretrained
from crosspoint.eval.embedding.sources import Source
from crosspoint.eval.embedding.tables import Embeddings, checked_suffix, join, write_embeddings
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.parallel import in_processes, processes
from crosspoint.renderers.threads import one_thread
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.models.frame_features import frame_features

log = logging.getLogger(__name__)

CHUNK = 64  # items of a part, which is what an interrupted run does not lose
SECONDS = 10  # between two lines of progress


class Settings(NamedTuple):
    """What decides the features beside the data."""

    checkpoint: Path
    sha256: str  # of the checkpoint: a file that was written anew is read anew
    k: int | None
    up_axis: str | None
    per_point: bool
    device: str


def embed(
    source: Source,
    checkpoint: str | Path,
    *,
    out: str | Path | None = None,
    k: int | None = None,
    up_axis: str | None = None,
    per_point: bool = False,
    device: str = "cpu",
    jobs: int = 1,
    skip_incomplete: bool = False,
) -> Embeddings:
    """Features of all items of a source under a trained encoder, in evaluation mode.

    Clouds of objects are brought into the frame of training by the checkpoint's own `transform`. A frame's feature is
    the mean over its points. Features of points belong to `points`: of an object those that the encoder saw, in its
    frame; of a frame all of them, in meters.

    Args:
        source: a `FileSource`, `RenderedSource` or `FrameSource`, or an object of yours with `names`, `labels` and
            `read`.
        checkpoint: whatever `load_pretrained` reads.
        out: file to write, .safetensors, .npz or .parquet; a run that was interrupted goes on where it was. None writes
            nothing.
        k: neighbors per point, or points of a patch, where they should differ from the checkpoint's.
        up_axis: of the clouds, "x", "y" or "z"; None where it is that of training.
        per_point: features of points, too.
        device: where the encoder runs.
        jobs: processes on a CPU, −1 for one per core.
        skip_incomplete: leave out items that cannot be read, say which, and go on.

    Raises:
        FileNotFoundError: if there is no such checkpoint, or an item is not there.
        ImportError: if a package that reads an item or writes the file is not installed.
        ValueError: if the checkpoint is for other data, an item cannot be read, or nothing is left.
    """
    if jobs == 0:
        raise ValueError("found 0 jobs, expected 1 or more, or -1 for one per core")
    path = None if out is None else Path(out)
    if path is not None:
        checked_suffix(path)
    file = require_file(checkpoint)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    settings = Settings(file, sha256, k, up_axis, per_point, device)
    pretrained = _pretrained(settings)
    digest = _digest(settings, source.names)
    drafts = None if path is None else path.with_name(f".{path.name}.parts-{digest[:16]}")
    chunks = [range(start, min(start + CHUNK, len(source.names))) for start in range(0, len(source.names), CHUNK)]
    started = said = time.monotonic()
    parts: list[Embeddings] = []
    work = ((source, chunk, settings, drafts, skip_incomplete) for chunk in chunks)
    for part in in_processes(_embed_chunk, work, processes(jobs, device)):
        parts.append(part)
        now = time.monotonic()
        if now - said >= SECONDS:
            said, done = now, len(parts) * CHUNK
            log.info("%d of %d embedded, %.1f a second", done, len(source.names), done / (now - started))
    parts = [part for part in parts if len(part.names)]
    if not parts:
        raise ValueError(f"found no item that can be read among {len(source.names)}, expected one: see the lines above")
    found = join(parts)
    if path is not None and drafts is not None:
        facts = {
            "checkpoint": str(settings.checkpoint),
            "sha256": settings.sha256,
            "encoder": pretrained.record.encoder,
            "inputs": asdict(pretrained.inputs),
            "left_out": sorted({*source.names} - {*found.names}) if len(found.names) < len(source.names) else [],
        }
        write_embeddings(path, found, facts)
        shutil.rmtree(drafts, ignore_errors=True)
    return found


_loaded: list[tuple[Settings, Pretrained]] = []  # what this process has read


def _pretrained(settings: Settings) -> Pretrained:
    if not _loaded or _loaded[0][0] != settings:
        pretrained = load_pretrained(settings.checkpoint)
        if settings.k is not None:
            pretrained = pretrained.with_neighbors(settings.k)
        pretrained.encoder.to(settings.device)
        _loaded[:] = [(settings, pretrained)]
    return _loaded[0][1]


def _embed_chunk(
    source: Source, chunk: Sequence[int], settings: Settings, drafts: Path | None, skip_incomplete: bool
) -> Embeddings:
    draft = None if drafts is None else drafts / f"{chunk[0]:09d}.npz"
    if draft is not None and (found := _read_draft(draft)) is not None:
        return found
    pretrained = _pretrained(settings)
    rows: list[Embeddings] = []
    with one_thread():
        for index in chunk:
            name = source.names[index]
            try:
                item = source.read(index)
                rows.append(_embed_one(pretrained, item, name, source.labels[index], settings))
            except (ValueError, OSError) as error:
                if not skip_incomplete:
                    raise ValueError(f"{error} ({name}; --skip_incomplete true leaves such items out)") from error
                log.warning("left out %s: %s", name, error)
    part = join(rows) if rows else Embeddings([], [], np.zeros((0, 0), dtype=np.float32))
    if draft is not None:
        _write_draft(draft, part)
    return part


def _embed_one(
    pretrained: Pretrained, item: np.ndarray | LidarSample, name: str, label: str, settings: Settings
) -> Embeddings:
    if isinstance(item, LidarSample):
        of_points = frame_features(pretrained, item)
        points = item.points[:, :3].numpy()
        return _one(item.name or name, label, of_points.mean(axis=0), points, of_points, settings.per_point)
    if pretrained.inputs.kind != "points":
        raise ValueError(
            f"found an encoder of {pretrained.inputs.kind} in {settings.checkpoint}, expected one of objects: give "
            "--dataset for LiDAR frames"
        )
    cloud = pretrained.transform(item, up_axis=settings.up_axis)
    with torch.inference_mode():
        feature = pretrained.encoder(cloud)[0].float().cpu().numpy()
        described = pretrained.encoder.forward_features(cloud)[0].float().cpu().numpy() if settings.per_point else None
    if not np.isfinite(feature).all():
        raise ValueError(
            f"found NaN or infinite features, expected finite ones: the weights in {pretrained.path} have probably "
            "diverged; take an earlier checkpoint"
        )
    return _one(name, label, feature, cloud[0].cpu().numpy(), described, settings.per_point)


def _one(
    name: str, label: str, feature: np.ndarray, points: np.ndarray, described: np.ndarray | None, per_point: bool
) -> Embeddings:
    features = feature.astype(np.float32)[None]
    if not per_point or described is None:
        return Embeddings([name], [label], features)
    offsets = np.array([0, len(points)], dtype=np.int64)
    return Embeddings([name], [label], features, points.astype(np.float32), described.astype(np.float32), offsets)


def _digest(settings: Settings, names: Sequence[str]) -> str:
    """What decides the parts of a run, so that one with other settings begins anew."""
    told = {name: value for name, value in settings._asdict().items() if name != "checkpoint"}  # it may be moved
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for name in names:
        digest.update(f"{name}\n".encode())
    return digest.hexdigest()


def _read_draft(path: Path) -> Embeddings | None:
    if not path.is_file():
        return None
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    names, labels = (arrays.pop(key).tolist() for key in ("names", "labels"))
    return Embeddings(names, labels, **arrays)


def _write_draft(path: Path, part: Embeddings) -> None:
    arrays: dict[str, Any] = {**part.arrays(), "names": np.array(part.names, dtype=np.str_)}
    arrays["labels"] = np.array(part.labels, dtype=np.str_)
    with atomic_write(path) as file:
        np.savez(file, **arrays)
