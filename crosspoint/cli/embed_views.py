"""`crosspoint embed-views`: what a frozen image network makes of every view of a rendered set, on disk."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from crosspoint.cli.parser import call

log = logging.getLogger("crosspoint")


def run(arguments: Sequence[str]) -> int:
    """The command."""
    return call(embed_views, "embed-views", arguments, clusters=True)


def embed_views(
    rendered: Path,
    network: str = "vit_base_patch14_dinov2",
    weights: str = "pretrained",
    name: str | None = None,
    image_size: int | None = None,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    jobs: int = -1,
) -> int:
    """Embed every view of a rendered set with a frozen image network, for CrossJEPA and for CrossPoint without images.

    Interrupted runs go on where they stopped. The embeddings lie in RENDERED/embeddings/NAME, with the network's name
    and the sha256 of its weights. Pre-train on them with data.dataset embedded.

    Args:
        rendered: folder of the rendered set
        network: name of a network of timm; DINOv2's ViT-B is what CrossJEPA takes, tf_efficientnet_lite0 is for CPUs
        weights: pretrained (timm downloads them once), a file in timm's names, or none for a random network
        name: name of the folder of the embeddings; by default that of the network
        image_size: side in pixels that the network sees, that of the views where none is given
        device: auto takes a GPU where there is one
        jobs: processes on a CPU, -1 for one per core
    """
    from crosspoint.datasets.embedded import writing
    from crosspoint.ops.device import chosen_device

    folder = writing.embed_views(
        rendered,
        network=network,
        weights=weights,
        name=name,
        image_size=image_size,
        device=chosen_device(device),
        jobs=jobs,
    )
    log.info("embeddings of %s in %s", network, folder)
    return 0
