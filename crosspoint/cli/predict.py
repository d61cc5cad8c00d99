"""`crosspoint predict`: predictions of a fine-tuned network for your own data, in files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from crosspoint.cli.parser import call

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(predict, "predict", arguments, clusters=True)


def predict(
    data: Path,
    out: Path,
    checkpoint: Path | None = None,
    dataset: str | None = None,
    split: str | None = None,
    points: int | None = None,
    up_axis: Literal["x", "y", "z"] | None = None,
    category: str | None = None,
    device: str = "auto",
    jobs: int = -1,
    skip_incomplete: bool = False,
) -> int:
    """Write classes or parts of objects, or classes, objects or boxes of LiDAR frames, predicted by a trained network.

    Objects go to OUT/predictions.csv and predictions.npz, frames to a file each, in the format of their dataset where
    it has one for the network's classes. Interrupted runs go on where they stopped.

    Args:
        data: a folder of meshes or clouds (.off .obj .ply .glb .npy .npz .xyz .txt .pcd .las …), one such file, a
            rendered set, or the folder of a dataset
        out: folder of the predictions
        checkpoint: network.safetensors that crosspoint evaluate finetune, partseg, semseg, panoptic or detection wrote,
            or the folder that --save_dir named; required
        dataset: name of a dataset, of LiDAR frames or of labeled objects as the network is for, or an import path
        split: name of a split of a rendered set or a dataset; by default all of a set or of LiDAR frames, and test of
            labeled objects
        points: number of points that are sampled on each mesh; by default that of training
        up_axis: up axis of meshes and clouds; by default z in a ModelNet tree, else that of training
        category: category of all clouds whose parts are predicted; by default that of each one's folder or label
        device: auto takes a GPU where there is one
        jobs: processes on a CPU, -1 for one per core
        skip_incomplete: leave out what cannot be read, and say so; else the first such item stops the run
    """
    from crosspoint.datasets.labeled import labeled_clouds
    from crosspoint.eval.embedding.sources import CloudsSource, FileSource, FrameSource, RenderedSource, Source
    from crosspoint.eval.prediction import predict as run_predict
    from crosspoint.eval.supervised.trained_network import load_network
    from crosspoint.ops.device import chosen_device

    if checkpoint is None:
        raise ValueError("found no --checkpoint, expected the trained network: give its network.safetensors")
    trained = load_network(checkpoint)
    inputs, fields = trained.inputs, trained.encoder.fields
    points = points or inputs.points or 2048
    if inputs.kind != "points" and dataset is None:
        raise ValueError(f"found a network of LiDAR frames for {data}, expected its dataset's name: give --dataset")
    source: Source
    if dataset is not None and inputs.kind == "points":
        clouds = labeled_clouds(dataset, data, split or "test", points=points, up_axis=up_axis, fields=fields)
        source = CloudsSource(clouds)
    elif dataset is not None:
        from crosspoint.scene.datasets.build import open_scenes

        options: dict[str, Any] = {} if split is None else {"split": split}
        source = FrameSource(open_scenes(dataset, data, **options))
    elif (data / "set.json").is_file():
        source = RenderedSource(data, split, fields)
    else:
        if split is not None:
            raise ValueError(f"found the split {split} for {data}, expected none: only sets and datasets have splits")
        source = files = FileSource(data, points, fields)
        up_axis = up_axis or files.up_axis
        log.info("%s", files)
    run_predict(
        source,
        trained,
        out,
        up_axis=up_axis,
        category=category,
        device=chosen_device(device),
        jobs=jobs,
        skip_incomplete=skip_incomplete,
    )
    log.info("predictions of %d items in %s", len(source.names), out)
    return 0
