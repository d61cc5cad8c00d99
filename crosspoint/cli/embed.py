"""`crosspoint embed`: features of your own data under a trained encoder, in one file."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from crosspoint.cli.parser import call

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(embed, "embed", arguments, clusters=True)


def embed(
    data: Path,
    out: Path,
    checkpoint: Path | None = None,
    dataset: str | None = None,
    split: str | None = None,
    per_point: bool = False,
    points: int | None = None,
    k: int | None = None,
    up_axis: Literal["x", "y", "z"] | None = None,
    device: str = "auto",
    jobs: int = -1,
    skip_incomplete: bool = False,
) -> int:
    """Write features of meshes, clouds, a rendered set or LiDAR frames under a trained encoder to one file.

    Interrupted runs go on where they stopped. Clouds come in their own units and are brought into the frame of
    training.

    Args:
        data: a folder of meshes or clouds (.off .obj .ply .glb .npy .npz .xyz .txt .pcd .las …), one such file, a
            rendered set, or the folder of a LiDAR dataset
        out: file to write, .safetensors, .npz or .parquet
        checkpoint: file of crosspoint pretrain, an export of save_encoder, or weights of another code; required
        dataset: name of a dataset of LiDAR frames, as crosspoint data lists them, or an import path
        split: name of a split of a rendered set or a LiDAR dataset; by default all of it
        per_point: write features of points, too
        points: number of points that are sampled on each mesh; by default that of training
        k: neighbors per point, or points of a patch; by default the checkpoint's number
        up_axis: up axis of meshes and clouds; by default z in a ModelNet tree, else that of training
        device: auto takes a GPU where there is one
        jobs: processes on a CPU, -1 for one per core
        skip_incomplete: leave out what cannot be read, and say so; else the first such item stops the run
    """
    from crosspoint.checkpoints.pretrained import load_pretrained
    from crosspoint.eval.embedding.run import embed as run_embed
    from crosspoint.eval.embedding.sources import FileSource, FrameSource, RenderedSource, Source
    from crosspoint.ops.device import chosen_device

    if checkpoint is None:
        raise ValueError("found no --checkpoint, expected the encoder that describes the data: give its file")
    source: Source
    if dataset is not None:
        from crosspoint.scene.datasets.build import open_scenes

        options: dict[str, Any] = {} if split is None else {"split": split}
        source = FrameSource(open_scenes(dataset, data, **options))
    elif (data / "set.json").is_file():
        source = RenderedSource(data, split, load_pretrained(checkpoint).encoder.fields)
    else:
        if split is not None:
            raise ValueError(f"found the split {split} for {data}, expected none: only sets and datasets have splits")
        trained = load_pretrained(checkpoint)
        source = files = FileSource(data, points or trained.inputs.points or 2048, trained.encoder.fields)
        up_axis = up_axis or files.up_axis
        log.info("%s", files)
    found = run_embed(
        source,
        checkpoint,
        out=out,
        k=k,
        up_axis=up_axis,
        per_point=per_point,
        device=chosen_device(device),
        jobs=jobs,
        skip_incomplete=skip_incomplete,
    )
    log.info("%d × %d features in %s", *found.features.shape, out)
    return 0
