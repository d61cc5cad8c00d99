"""Corruptions that look at meshes, of all clouds of a split: each mesh is read once, for all kinds and severities."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from crosspoint.eval.corruptions.mesh_views import BoxedMesh
from crosspoint.eval.corruptions.suites import SEVERITIES, SUITES, corrupt
from crosspoint.renderers.meshes import TO_Y_UP, UpAxis, load_mesh
from crosspoint.renderers.parallel import in_processes

CHUNK = 16  # meshes that a process reads at once


def corrupt_by_meshes(
    points: np.ndarray, meshes: Sequence[Path], suite: str, seeds: Sequence[int], *, up_axis: UpAxis, jobs: int
) -> dict[tuple[str, int], np.ndarray]:
    """Corrupt clouds by looks at their meshes.

    Args:
        points: (n, N, 3), y up.
        meshes: the file of each.
        suite: name of the benchmark.
        seeds: of all draws; kind, severity and number of the cloud are put behind them.
        up_axis: of the files.
        jobs: processes, -1 for one per core.

    Returns:
        (n, N', 3) float32 by name and severity.

    Raises:
        FileNotFoundError: if a mesh is not there.
        ValueError: if one cannot be used, or there are others than clouds.
    """
    if len(meshes) != len(points):
        raise ValueError(f"found {len(meshes)} meshes of {len(points)} clouds, expected one of each: read both again")
    starts = range(0, len(points), CHUNK)
    work = (
        (points[start : start + CHUNK], meshes[start : start + CHUNK], start, suite, [*seeds], up_axis)
        for start in starts
    )
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    for part in in_processes(_corrupt_some, work, jobs if len(points) > CHUNK else 1):
        for key, clouds in part.items():
            found.setdefault(key, []).extend(clouds)
    return {key: np.stack(clouds) for key, clouds in found.items()}


def _corrupt_some(
    points: np.ndarray, meshes: Sequence[Path], start: int, suite: str, seeds: list[int], up_axis: UpAxis
) -> dict[tuple[str, int], list[np.ndarray]]:
    found: dict[tuple[str, int], list[np.ndarray]] = {}
    known = len(SUITES[suite].corruptions)  # kinds of meshes are numbered behind the others
    for row, (cloud, path) in enumerate(zip(points, meshes, strict=True), start=start):
        mesh = load_mesh(path)
        mesh.vertices = np.asarray(mesh.vertices) @ TO_Y_UP[up_axis].T
        boxed = BoxedMesh(mesh)
        for kind, name in enumerate(SUITES[suite].of_meshes, start=known):
            for severity in range(1, SEVERITIES + 1):
                generator = np.random.default_rng([*seeds, kind, severity, row])
                try:
                    seen = corrupt(cloud, suite, name, severity, generator, boxed)
                except ValueError as error:
                    raise ValueError(f"{path}: {error}") from error
                found.setdefault((name, severity), []).append(seen)
    return found
