"""`crosspoint export`: a trained encoder for another runtime, held to the network before it is written."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from crosspoint.cli.parser import call

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(export, "export", arguments)


def export(
    checkpoint: Path,
    out: Path,
    format: Literal["onnx", "torch-export", "safetensors"] | None = None,
    per_point: bool = False,
    unit: bool = False,
    k: int | None = None,
    verify: bool = True,
) -> int:
    """Write a trained encoder as ONNX, as a program of torch.export, or as safetensors.

    ONNX and torch.export are for encoders of objects, and take any number of clouds and points, (B, N, 3) float32. The
    search for neighbors is in the graph.

    Args:
        checkpoint: file of crosspoint pretrain, an export of save_encoder, or weights of another code
        out: file to write, .onnx, .pt2 or .safetensors
        format: what to write; by default what the file's name ends in
        per_point: give features of points as a second output
        unit: center clouds and scale them into the unit sphere in the graph
        k: neighbors per point, or points of a patch; by default the checkpoint's number
        verify: compare with the network on random clouds, and print the largest difference
    """
    from crosspoint.checkpoints.pretrained import load_pretrained
    from crosspoint.export import export_encoder

    pretrained = load_pretrained(checkpoint)
    if k is not None:
        pretrained = pretrained.with_neighbors(k)
    made = export_encoder(pretrained, out, format=format, per_point=per_point, unit=unit, verify=verify)
    if made.least is not None:
        log.info("clouds need %d points or more", made.least)
    if made.agreement is not None:
        log.info("%s", made.agreement)
    elif verify:
        log.info("every weight is the same")
    log.info("%s, %.1f MB", out, made.size / 1e6)
    return 0
