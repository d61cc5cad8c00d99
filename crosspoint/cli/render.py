"""`crosspoint render`: a folder of meshes → a rendered set."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from crosspoint.cli.parser import call

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(render, "render", arguments, clusters=True)


def render(
    source: Path,
    out: Path,
    views: int = 12,
    size: int = 224,
    points: int = 2048,
    backend: str = "raycast",
    orbit: Literal["random", "ring", "sphere"] = "random",
    up_axis: Literal["x", "y", "z"] | None = None,
    background: Literal["white", "transparent"] = "white",
    supersample: int = 2,
    jobs: int = -1,
    seed: int = 0,
    test_share: float | None = None,
) -> int:
    """Render a folder of meshes into a set of views and clouds that `pretrain` reads.

    Interrupted runs go on where they stopped. Meshes that cannot be used are listed in OUT/failures.jsonl, and those
    whose textures or materials were not found in OUT/not_found.jsonl; where no mesh can be used, the command fails.

    Args:
        source: folder of meshes (a ModelNet or ShapeNetCore tree, <class>/<mesh>, or meshes alone), or one mesh
        out: folder of the rendered set
        views: views per mesh
        size: height and width of a view in pixels
        points: points sampled on each surface
        backend: renderer: raycast, pytorch3d (on a GPU, too), or an import path
        orbit: places of the cameras: random as in 3D-R2N2, on a fixed ring, or all around (sphere)
        up_axis: up axis of the meshes; by default z in a ModelNet tree, else y
        background: what is behind the object
        supersample: rays along each side of a pixel
        jobs: processes, -1 for one per core
        seed: decides cameras, points and the test split, whatever the number of jobs
        test_share: share of each class that becomes the split test, where the folder has no splits
    """
    from crosspoint.renderers import render_folder

    summary = render_folder(
        source,
        out,
        views=views,
        size=size,
        points=points,
        backend=backend,
        orbit=orbit,
        up_axis=up_axis,
        background=background,
        supersample=supersample,
        jobs=jobs,
        seed=seed,
        test_share=test_share,
        progress=sys.stderr.isatty(),
    )
    log.info("%s", summary)
    if summary.rendered == 0:
        raise ValueError(
            f"found no mesh that can be rendered: all {summary.failed} failed, the first because: {summary.reason}; "
            f"expected at least one: see {out / 'failures.jsonl'}"
        )
    return 0
