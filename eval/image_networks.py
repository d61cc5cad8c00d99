"""Image networks that are measured: the image branch or teacher of a checkpoint, or one by its name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from crosspoint.checkpoints.record import InputKind
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.supervised.trainer import seeded
from crosspoint.models.image_encoder import ImageEncoder
from crosspoint.models.image_stages import ImageStages
from crosspoint.models.image_teacher import LAST, ImageTeacher
from crosspoint.models.resnet_trunk import RANDOM
from crosspoint.models.timm_encoder import TimmEncoder
from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.models.pixel_encoder import ResNetMaps


def image_stages(checkpoint: Checkpoint, seed: int | None = None) -> ImageStages:
    """The image network of a checkpoint in eval mode; with a seed, random weights in place of the file's.

    What stands above its maps, such as the trained decoder of a `PixelEncoder`, is left out; what was dilated is not.

    Raises:
        FileNotFoundError: if a file of weights is not there.
        ValueError: if the checkpoint has no image network, or one whose stages are not known.
    """
    if isinstance(checkpoint, NamedNetwork):
        with seeded(seed or 0):
            weights = checkpoint.weights if seed is None else RANDOM
            return ImageStages(checkpoint.network_name, weights=weights).eval()
    images = checkpoint.image_encoder
    if images is None:
        raise ValueError(
            f"found no image network in {checkpoint.path}, expected one beside the point encoder: give a checkpoint "
            "(.ckpt) of crosspoint pretrain, or --image_network and --weights"
        )
    network, layers, state = _weights_of(images, checkpoint.path)
    with seeded(seed or 0):
        stages = ImageStages(network, layers=layers)
    if seed is None:
        own = stages.trunk.state_dict()  # without the layers above the maps, which a `TimmEncoder` has
        stages.trunk.load_state_dict({name: weight for name, weight in state.items() if name in own})
    return stages.eval()


def _weights_of(images: nn.Module, path: Path) -> tuple[str, Sequence[int], dict[str, Tensor]]:
    """Network, last layers, and weights of its trunk."""
    if isinstance(images, ImageTeacher):
        return images.arguments["network"], images.arguments["layers"], images.trunk.state_dict()
    if isinstance(images, ResNetMaps):
        return images.arguments["network"], LAST, images.state_dict()
    if isinstance(images, ImageEncoder):
        return images.arguments["network"], LAST, images.resnet.state_dict()
    if isinstance(images, TimmEncoder):
        return images.network, LAST, {f"model.{name}": weight for name, weight in images.model.state_dict().items()}
    raise ValueError(
        f"found an image network {type(images).__name__} in {path}, expected one whose stages are known: a ResNet or a "
        "network of timm, such as resnet_maps or pixel_encoder"
    )


@dataclass(frozen=True)
class NamedNetwork(Checkpoint):
    """An image network without a checkpoint.

    Args:
        path: its file of weights, or its name where there is none.
        network_name: resnet18, resnet50, or a network of timm.
        weights: as `ImageStages` knows them.
    """

    network_name: str = "resnet50"
    weights: str = RANDOM

    @property
    def inputs(self) -> InputKind:
        """Neither voxels nor clouds of objects."""
        return "sweeps"

    @property
    def image_network(self) -> str | None:
        """Its name."""
        return self.network_name

    @property
    def run_config(self) -> JsonObject:
        """Nothing is known of its training."""
        return {}
