"""Benchmarks of corruptions, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.random import Generator

from crosspoint.eval.corruptions import mesh_views, modelnet40_c, modelnet_c
from crosspoint.eval.corruptions.mesh_views import BoxedMesh, MeshCorruption

SEVERITIES = 5
LEAST_POINTS = 600  # of a cloud: at most 500 are removed

Corruption = Callable[[np.ndarray, int, Generator], np.ndarray]


@dataclass(frozen=True)
class Suite:
    """A benchmark of corruptions.

    Args:
        corruptions: by name.
        doubled: those that take twice as many points as they give.
        of_meshes: those that look at the mesh of a cloud, by name.
    """

    corruptions: Mapping[str, Corruption]
    doubled: frozenset[str] = frozenset()
    of_meshes: Mapping[str, MeshCorruption] = field(default_factory=dict)


def _named(*functions: Corruption) -> dict[str, Corruption]:
    return {function.__name__: function for function in functions}


SUITES: dict[str, Suite] = {
    "modelnet_c": Suite(
        _named(
            modelnet_c.scale,
            modelnet_c.jitter,
            modelnet_c.rotate,
            modelnet_c.dropout_global,
            modelnet_c.dropout_local,
            modelnet_c.add_global,
            modelnet_c.add_local,
        )
    ),
    "modelnet40_c": Suite(
        _named(
            modelnet40_c.uniform,
            modelnet40_c.gaussian,
            modelnet40_c.background,
            modelnet40_c.impulse,
            modelnet40_c.upsampling,
            modelnet40_c.distortion_rbf,
            modelnet40_c.distortion_rbf_inv,
            modelnet40_c.distortion,
            modelnet40_c.rotation,
            modelnet40_c.shear,
            modelnet40_c.density,
            modelnet40_c.density_inc,
            modelnet40_c.cutout,
        ),
        frozenset({"density_inc"}),
        {"occlusion": mesh_views.occlusion, "lidar": mesh_views.lidar},
    ),
}


def corrupt(
    points: np.ndarray, suite: str, name: str, severity: int, generator: Generator, mesh: BoxedMesh | None = None
) -> np.ndarray:
    """A corrupted cloud.

    Args:
        points: (N, 3) finite; the functions are made for 1,024 of them (2,048 for density_inc) in the unit sphere.
        suite: "modelnet_c" or "modelnet40_c".
        name: of the corruption.
        severity: from 1 to 5.
        generator: all that is drawn comes from it.
        mesh: that the cloud was drawn from, its axes those of the cloud: for occlusion and lidar.

    Returns:
        (N', 3) float32.

    Raises:
        ValueError: if there is no such suite, corruption or severity, the cloud has too few points for it, or there is
            no mesh where one is looked at.
    """
    if suite not in SUITES:
        raise ValueError(f"found the corruptions {suite!r}, expected one of {', '.join(SUITES)}")
    functions, views = SUITES[suite].corruptions, SUITES[suite].of_meshes
    if name not in {**functions, **views}:
        raise ValueError(f"found the corruption {name!r}, expected one of {', '.join([*functions, *views])}")
    if severity not in range(1, SEVERITIES + 1):
        raise ValueError(f"found severity {severity}, expected 1 to {SEVERITIES}")
    cloud = np.asarray(points, dtype=np.float64)
    if cloud.ndim != 2 or cloud.shape[1] != 3 or not np.isfinite(cloud).all():
        raise ValueError(f"found a cloud of shape {cloud.shape}, expected (N, 3), finite")
    if name in views:
        if mesh is None:
            raise ValueError(f"found a cloud alone for {name}, expected its mesh, too: {name} looks at the mesh")
        low, high = cloud.min(axis=0), cloud.max(axis=0)
        seen = views[name](mesh, severity, generator)
        return (seen * (high - low).max() / 2 + (low + high) / 2).astype(np.float32)
    least = LEAST_POINTS * (2 if name in SUITES[suite].doubled else 1)
    if len(cloud) < least:
        raise ValueError(
            f"found a cloud of {len(cloud)} points, expected at least {least}: {suite} removes up to 500 of 1,024"
        )
    return functions[name](cloud, severity, generator).astype(np.float32)
