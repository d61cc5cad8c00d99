"""A folder of meshes → a rendered set on disk: parallel, resumable, the same bytes however many jobs ran.

The set is a folder of WebDataset shards, `<split>-<number>.tar`, each with an index beside it (`shards.py`), and of

- `set.json`: format version, settings and classes, written first;
- `sources.json`: the meshes, their sizes in bytes;
- `not_found.jsonl`: the meshes whose textures or materials were not all found, and which;
- `failures.jsonl`: the meshes that could not be used and why, written last.

One sample has the members `<key>.points.npy` (float32 N, 3), `<key>.normals.npy`, `<key>.colours.npy` (uint8, where
the mesh has colors), `<key>.view00.png` …, `<key>.cameras.npz` (K, R, t, size) and `<key>.json`.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from msgspec import to_builtins
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.layouts import Item, Source, find_meshes
from crosspoint.renderers.manifest import begin
from crosspoint.renderers.meshes import UpAxis
from crosspoint.renderers.parallel import in_processes
from crosspoint.renderers.rendering import open_backend
from crosspoint.renderers.sample import Orbit, Recipe, render_sample
from crosspoint.renderers.shading import Background, Style
from crosspoint.renderers.shards import Failure, Lacking, Sample, read_index, write_shard
from crosspoint.renderers.sole_writer import sole_writer
from crosspoint.renderers.system_faults import is_system_fault
from crosspoint.renderers.threads import one_thread

log = logging.getLogger("crosspoint")


@dataclass(frozen=True)
class Summary:
    """What a run of `render_folder` leaves."""

    rendered: int  # samples in the set
    failed: int  # meshes that could not be used, listed in failures.jsonl
    views: int  # drawn by this run, which leaves out shards that were there
    seconds: float
    lacking: int = 0  # samples whose textures or materials were not all found, listed in not_found.jsonl
    example: str = ""  # one of those
    out: str = ""  # folder of the set
    reason: str = ""  # why the first of the failed meshes could not be used

    def __str__(self) -> str:
        speed = self.views / max(self.seconds, 1e-9)
        rate = f"{_counted(self.views, 'view')} in {self.seconds:.0f} s ({speed:.0f} per second)"
        said = f"rendered {_counted(self.rendered, 'object')}, drew {rate}; {_counted(self.failed, 'mesh')} failed"
        if self.failed:
            said += f", see {Path(self.out, 'failures.jsonl')}"
        if self.lacking:
            listed = Path(self.out, "not_found.jsonl")
            lacking = _counted(self.lacking, "object")
            said += f"; {lacking} without some textures or materials ({self.example}), see {listed}"
        return said


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}{'es' if noun.endswith('sh') else 's'}"


@dataclass(frozen=True)
class Shard:
    """The work of one job: a tar file and the meshes that belong in it."""

    source: str
    path: str
    items: list[Item]
    recipe: Recipe
    textures: str | None  # folder outside of which none is read, None for the tree of each mesh


def render_folder(
    source: str | Path,
    out: str | Path,
    *,
    views: int = 12,
    size: int = 224,
    points: int = 2048,
    backend: str = "raycast",
    orbit: Orbit = "random",
    background: Background = "white",
    supersample: int = 2,
    smooth: bool = True,
    up_axis: UpAxis | None = None,
    seed: int = 0,
    test_share: float | None = None,
    shard_size: int = 32,
    jobs: int = -1,
    progress: bool = True,
) -> Summary:
    """Render every mesh below a folder into a set of shards, or finish a set that was begun.

    A mesh that cannot be used is noted in failures.jsonl and never stops the run. Nothing is overwritten.

    Args:
        source: folder of meshes, for whose layouts see `find_meshes`, or one mesh. What it is taken for is logged.
        out: folder of the set, new, empty, or begun with the same settings.
        views: images per mesh.
        size: image side in pixels.
        points: surface samples per mesh.
        backend: raycast (CPU) or pytorch3d (CPU or GPU).
        orbit: where the cameras stand: random (as 3D-R2N2's), ring or sphere (both fixed).
        background: white (RGB) or transparent (RGBA).
        supersample: samples along each axis of a pixel where neighboring pixels differ.
        smooth: smooth normals, sharp at creases; otherwise facets.
        up_axis: of the source, by default z for ModelNet's layout and y for others.
        seed: of points, cameras and the test split.
        test_share: of each class, drawn as the split test where the source has no splits; the rest is train.
        shard_size: meshes per shard.
        jobs: worker processes, -1 for one per core.
        progress: show a bar, on a terminal.

    Raises:
        FileNotFoundError: if there is no source folder.
        ValueError: if a setting is out of range, the source has no mesh or mixed layouts, or `out` holds other things
            or is being written to.
        ImportError: if the backend is not installed.
    """
    started = time.perf_counter()
    open_backend(backend)
    if shard_size < 1:
        raise ValueError(f"found shard_size {shard_size}, expected at least 1")
    if jobs == 0:
        raise ValueError("found 0 jobs, expected 1 or more, or -1 for one per core")
    style = Style(background=background, supersample=supersample, smooth=smooth)
    meshes = find_meshes(source)
    if test_share is not None:
        meshes = meshes.split_by(test_share, seed)
    recipe = Recipe(views, size, points, orbit, backend, up_axis or meshes.up_axis, seed, style)
    with sole_writer(out):
        begin(Path(out), meshes, recipe, shard_size, test_share)
        for line in str(replace(meshes, up_axis=recipe.up_axis)).splitlines():
            log.info("%s", line)
        shards = plan(Path(out), meshes, recipe, shard_size)
        todo = [shard for shard in shards if read_index(Path(shard.path)) is None]
        drawn = views * _run(todo, jobs, progress)
        rendered, failures, lost = finish(Path(out), shards)
    failed, reason = len(failures), failures[0].reason if failures else ""
    example = f"{lost[0].names[0]} of {lost[0].path}" if lost and lost[0].names else ""
    return Summary(rendered, failed, drawn, time.perf_counter() - started, len(lost), example, str(out), reason)


def plan(out: Path, meshes: Source, recipe: Recipe, shard_size: int) -> list[Shard]:
    """Divide the meshes of each split over shards, shuffled by the seed, so that a shard mixes classes."""
    shards = []
    for split in sorted({item.split for item in meshes.items}):
        items = [item for item in meshes.items if item.split == split]
        order = np.random.default_rng(recipe.seed).permutation(len(items))
        for number, start in enumerate(range(0, len(items), shard_size)):
            chosen = [items[i] for i in order[start : start + shard_size]]
            textures = None if meshes.single else str(meshes.root)
            path = str(out / f"{split}-{number:06d}.tar")
            shards.append(Shard(str(meshes.root), path, chosen, recipe, textures))
    return shards


def finish(out: Path, shards: list[Shard]) -> tuple[int, list[Failure], list[Lacking]]:
    """Gather what the shards say in failures.jsonl and not_found.jsonl.

    Returns:
        How many samples there are, the failures (path and reason), and what was not found (path and names).
    """
    indices = [index for shard in shards if (index := read_index(Path(shard.path))) is not None]
    failures = [failure for index in indices for failure in index.failures]
    lost = [line for index in indices for line in index.not_found]
    for name, lines in (("not_found.jsonl", lost), ("failures.jsonl", failures)):
        with atomic_write(out / name) as file:
            file.write("".join(json.dumps(to_builtins(line)) + "\n" for line in lines).encode())
    return sum(len(index.samples) for index in indices), failures, lost


def render_shard(shard: Shard) -> tuple[int, int]:
    """Render the meshes of one shard and write it, the work item of joblib; returns how many were read and rendered."""
    failures: list[JsonObject] = []
    lost: list[JsonObject] = []
    with one_thread():
        write_shard(Path(shard.path), _samples(shard, failures, lost), {"failures": failures, "not_found": lost})
    return len(shard.items), len(shard.items) - len(failures)


def _samples(shard: Shard, failures: list[JsonObject], lost: list[JsonObject]) -> Iterator[Sample]:
    """The samples of a shard; meshes that cannot be used are added to `failures`, names not found to `lost`."""
    for item in shard.items:
        facts = {"class": item.category, "split": item.split, "source": item.path}
        textures = None if shard.textures is None else Path(shard.textures)
        try:
            members = render_sample(Path(shard.source, item.path), facts, shard.recipe, textures)
        except ImportError:
            raise
        except MemoryError:
            text = f"found {item.path} to ask for more memory than there is, expected a mesh: check or convert it"
            failures.append({"path": item.path, "reason": text})
        except Exception as error:  # parsers of twenty formats fail in as many ways on a broken file
            if is_system_fault(error):
                raise
            reason = (
                str(error) if type(error) in (ValueError, FileNotFoundError) else f"{type(error).__name__}: {error}"
            )
            failures.append({"path": item.path, "reason": " ".join(reason.split())})
        else:
            names = json.loads(members["json"]).get("not_found")
            if names:
                lost.append({"path": item.path, "names": names})
            yield Sample(item.key, item.category, members)


def _run(shards: list[Shard], jobs: int, progress: bool) -> int:
    """Render shards in parallel, under a progress bar; returns how many samples there are in them."""
    console = Console(stderr=True)
    bar = Progress(
        TextColumn("rendering"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("meshes, {task.fields[rate]:.0f} views/s,"),
        TimeRemainingColumn(),
        console=console,
        disable=not (progress and console.is_terminal),
    )
    read, rendered, started = 0, 0, time.perf_counter()
    with bar:
        task = bar.add_task("", total=sum(len(shard.items) for shard in shards), rate=0.0)
        for counts in in_processes(render_shard, ((shard,) for shard in shards), jobs, ordered=False):
            read, rendered = read + counts[0], rendered + counts[1]
            views = rendered * shards[0].recipe.views
            bar.update(task, completed=read, rate=views / (time.perf_counter() - started))
    return rendered
