"""Maps of a frozen network on disk, so that an image is described once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from crosspoint.renderers.atomic import atomic_write


class MapCache:
    """A folder of maps in float16, one file for the bytes of an image and what describes it.

    Files appear whole, so that several processes may fill one folder. A damaged file is made anew.

    Args:
        folder: made when first written to.
        source: what decides the maps beside the image: the network, its weights, its layers.
    """

    def __init__(self, folder: str | Path, source: str) -> None:
        self.folder = Path(folder)
        self.source = source

    def __call__(self, images: Tensor, describe: Callable[[Tensor], Tensor]) -> Tensor:
        """The maps of images (I, 3, H, W) uint8: (I, C, h, w) on their device; `describe` makes those not there."""
        paths = [self.path(image) for image in images.cpu()]
        found = {row: maps for row, path in enumerate(paths) if (maps := _read(path)) is not None}
        missing = [row for row in range(len(paths)) if row not in found]
        if missing:
            for row, maps in zip(missing, describe(images[missing]), strict=True):
                found[row] = maps.half()
                with atomic_write(paths[row]) as file:
                    file.write(save({"maps": found[row].cpu().contiguous()}))
        rows = [found[row].to(images.device) for row in range(len(paths))]
        return torch.stack(rows).float()

    def path(self, image: Tensor) -> Path:
        """Where the maps of an image (3, H, W) uint8 are kept."""
        digest = hashlib.sha256(f"{self.source} {tuple(image.shape)}".encode())
        digest.update(image.contiguous().numpy().data)
        name = digest.hexdigest()[:32]
        return self.folder / name[:2] / f"{name}.safetensors"


def _read(path: Path) -> Tensor | None:
    if not path.is_file():
        return None
    try:
        return load_file(path)["maps"]
    except (SafetensorError, OSError, KeyError):
        return None


def weights_digest(network: torch.nn.Module) -> str:
    """A digest of the weights of a network."""
    digest = hashlib.sha256()
    for name, weight in sorted(network.state_dict().items()):
        digest.update(name.encode())
        digest.update(weight.detach().cpu().reshape(-1).contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
