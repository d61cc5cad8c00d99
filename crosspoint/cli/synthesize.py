"""`crosspoint synthesize`: the embedded driving world, written to disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from crosspoint.cli.parser import call

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(synthesize, "synthesize", arguments, clusters=True)


def synthesize(
    out: Path,
    train: int = 100,
    val: int = 20,
    frames: int = 10,
    views: int = 1,
    beams: Literal[32, 64] = 32,
    seed: int = 0,
    class_images: bool = False,
    imperfect: int | None = None,
    jobs: int = -1,
) -> int:
    """Write the embedded driving world to disk: streets with LiDAR, images and all labels; a dataset of kind folder.

    Interrupted runs go on where they stopped. Class images may be asked for later, frames stay as they are: they serve
    as weak labels, `--data.dataset.weak_labels OUT/class_images`.

    Args:
        out: folder of the frames
        train: number of streets to learn from
        val: number of streets to measure on
        frames: number of frames of each street
        views: number of cameras: 1 looks ahead, 6 look all around
        beams: number of beams of the LiDAR; KITTI's has 64
        seed: seed of everything but the mistakes; the number of jobs changes nothing
        class_images: write the true class of each pixel to OUT/class_images, too
        imperfect: seed of mistakes: write class images with mistakes as an image model makes them to
            OUT/imperfect_labels, too
        jobs: processes, -1 for one per core
    """
    from crosspoint.scene.synthetic import HDL_64, Lidar, write_scenes

    lidar = HDL_64 if beams == 64 else Lidar()
    written = write_scenes(
        out,
        train,
        val,
        frames,
        views=views,
        lidar=lidar,
        seed=seed,
        class_images=class_images,
        imperfect=imperfect,
        jobs=jobs,
    )
    log.info("%d frames written, %d in %s", written, (train + val) * frames, out)
    return 0
