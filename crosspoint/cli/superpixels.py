"""`crosspoint superpixels`: the superpixels of all images of a dataset, found before a pre-training that needs them."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from crosspoint.cli.dataset_arguments import OPTIONS, dataset_rows, read_dataset_options, take_dataset_flags
from crosspoint.cli.parser import function_parser, take_cluster
from crosspoint.renderers.cluster import ClusterConfig, on_cluster

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    words = list(arguments)
    parser = function_parser(superpixels, "superpixels")
    parser.add_class_arguments(ClusterConfig)
    name = words[0] if words and not words[0].startswith("-") else None
    own = [*inspect.signature(superpixels).parameters, *inspect.signature(ClusterConfig).parameters]
    flags: list[tuple[str, str]] = []
    if name is not None:
        words, flags = take_dataset_flags(words, name, own)
        parser.further_rows = [("", ""), *dataset_rows(name, own)]
        parser.further_keys = [row[0].removeprefix("--") for row in parser.further_rows]
    values = vars(parser.instantiate(parser.read(words)))
    values.pop("config")
    cluster = take_cluster(values)
    values[OPTIONS] = read_dataset_options(values["dataset"], values[OPTIONS], flags, own)
    with on_cluster(cluster):
        return superpixels(**values)


def superpixels(
    dataset: str,
    root: Path | None = None,
    split: str | None = None,
    cache: Path = Path("data/superpixels"),
    segments: int = 150,
    compactness: float = 6.0,
    sigma: float = 3.0,
    method: Literal["reduced", "scikit_image"] = "reduced",
    jobs: int = -1,
    options: dict[str, Any] | None = None,
) -> int:
    """Find the superpixels of all images of a dataset, and keep them where crosspoint pretrain --method slidr looks.

    Pre-training does so itself; this command does it before, on machines without a GPU. Interrupted runs go on where
    they stopped.

    Args:
        dataset: kitti_raw, nuscenes, folder, … (crosspoint data lists all), or an import path
        root: folder of the dataset; synthetic needs none
        split: name of the split; by default the dataset's first, or all frames where it has none
        cache: folder of the regions, a PNG for each image, as method.superpixels_cache names it
        segments: about how many superpixels an image gets
        compactness: weight of place against color
        sigma: width of the blur before, in pixels
        method: reduced, or scikit_image, which takes five times as long
        jobs: processes, -1 for one per core
        options: further arguments of the dataset, which are flags, too: superpixels NAME --help lists them
    """
    from crosspoint.scene.data.superpixels import SuperpixelCache, SuperpixelConfig, compute_superpixels
    from crosspoint.scene.datasets.build import open_scenes

    if jobs == 0:
        raise ValueError("found 0 jobs, expected 1 or more, or -1 for one per core")
    given = dict(options or {}) if split is None else {**(options or {}), "split": split}
    scenes = open_scenes(dataset, root, **given)
    found = SuperpixelCache(cache, SuperpixelConfig(segments, compactness, sigma, method))
    count = compute_superpixels(scenes, found, jobs)
    log.info("superpixels of %d images of %d frames in %s", count, len(scenes), cache)
    return 0
