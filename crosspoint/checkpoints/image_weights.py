"""Weights of ResNets from torchvision or from a file that self-supervised training left."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import torchvision
from torch import Tensor, nn

from crosspoint.checkpoints.files import read_checkpoint, require_file

ResNetName = Literal["resnet18", "resnet50"]

MOCO_V2 = "https://dl.fbaipublicfiles.com/moco/moco_checkpoints/moco_v2_800ep/moco_v2_800ep_pretrain.pth.tar"
DINO = "https://dl.fbaipublicfiles.com/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth"

# What stands before the encoder's names in a file, and before those of other networks that lie beside it.
LAYOUTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("module.encoder_q.", ("module.encoder_k.", "module.queue")),  # MoCo: the momentum encoder and its queue
    ("module.backbone.", ("module.head.",)),  # DINO under DistributedDataParallel
    ("backbone.", ("head.",)),  # DINO's teacher
    ("module.", ()),
    ("method.image_encoder.resnet.", ("method.",)),  # a run of ours on objects
    ("method.image_encoder.", ("method.",)),  # and SimIPU's on scenes
    ("", ()),  # torchvision, and DINO's ResNet-50 alone
)
CLASSIFIER = "fc."  # of torchvision; MoCo v2 has its projection head there


def load_weights(trunk: nn.Module, network: ResNetName, weights: str) -> None:
    """Give a ResNet without its classifier weights; each one must be there, and none may be left over.

    Files are read without unpickling more than tensors. Known are state_dicts of torchvision, MoCo (v1, v2:
    https://github.com/facebookresearch/moco) and DINO's ResNet-50 (https://github.com/facebookresearch/dino), alone or
    inside of a checkpoint.

    Args:
        trunk: named as torchvision's.
        network: which ResNet it is.
        weights: a name that torchvision knows ("DEFAULT" or "pretrained", "IMAGENET1K_V2"), downloaded once, or the
            path of a file.

    Raises:
        FileNotFoundError: if there is no such name and no such file, or the download fails.
        ValueError: if the file is damaged or holds other weights than the network needs.
    """
    names = [entry.name for entry in torchvision.models.get_model_weights(network)]
    weights = "DEFAULT" if weights == "pretrained" else weights
    if weights in (*names, "DEFAULT"):
        state = _encoder_alone(_download(network, weights), weights)
    elif Path(weights).is_file():
        state = read_image_weights(weights)
    else:
        fetch = f"a file (fetch MoCo v2's from {MOCO_V2} or DINO's from {DINO})" if network == "resnet50" else "a file"
        raise FileNotFoundError(
            f"found no file {weights}, expected weights for {network}: give {fetch}, one of torchvision's names "
            f"{', '.join((*names, 'DEFAULT'))}, pretrained, or none for random weights"
        )
    _check(state, trunk.state_dict(), network, weights)
    trunk.load_state_dict(state, strict=False)  # old files do not count batches, all else has been checked


def read_image_weights(path: str | Path) -> dict[str, Tensor]:
    """Weights of a file that `load_weights` knows, under torchvision's names of a ResNet without its classifier.

    So what SimIPU pre-trained goes into any torchvision ResNet: `resnet.load_state_dict(found, strict=False)`.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged or holds no ResNet.
    """
    return _encoder_alone(read_checkpoint(require_file(path)), str(path))


def _download(network: ResNetName, name: str) -> dict[str, Any]:
    entry = torchvision.models.get_model_weights(network)[name]
    try:
        content: dict[str, Any] = entry.get_state_dict(
            map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError) as error:
        place = Path(torch.hub.get_dir()) / "checkpoints" / entry.url.rsplit("/", 1)[1]
        raise FileNotFoundError(
            f"found no way to download {entry.url} ({' '.join(str(error).split())[:120]}), expected the weights "
            f"{name} of {network}: put that file at {place}"
        ) from error
    return content


def _encoder_alone(content: dict[str, Any], source: str) -> dict[str, Any]:
    """The encoder's weights under torchvision's names; other networks and the classifier are left out."""
    for container in ("state_dict", "teacher"):
        if isinstance(content.get(container), dict):
            content = content[container]
            break
    for prefix, others in LAYOUTS:
        if f"{prefix}conv1.weight" in content:
            kept = [key for key in content if key.startswith(prefix) or not key.startswith(others)]
            names = {key: key.removeprefix(prefix) for key in kept}
            return {name: content[key] for key, name in names.items() if not name.startswith(CLASSIFIER)}
    raise ValueError(
        f"found keys {[str(key) for key in list(content)[:4]]} … in {source}, expected a ResNet's as torchvision, "
        "MoCo or DINO names them: save its state_dict, or give a network of timm by image_encoder.network"
    )


def _check(found: dict[str, Any], own: dict[str, Tensor], network: str, source: str) -> None:
    """Raise ValueError unless names and shapes agree; how many batches a BatchNorm saw is left aside."""
    counters = {name for name in own if name.endswith("num_batches_tracked")}
    shapes = {name: tuple(w.shape) for name, w in own.items() if name not in counters}
    given = {name: tuple(getattr(w, "shape", ())) for name, w in found.items() if name not in counters}
    problems = {
        "without": sorted(shapes.keys() - given.keys()),
        "with unknown": sorted(given.keys() - shapes.keys()),
        "with other shapes of": [name for name, shape in shapes.items() if given.get(name, shape) != shape],
    }
    told = [f"{what} {names[0]} ({len(names)} in all)" for what, names in problems.items() if names]
    if told:
        raise ValueError(
            f"found {source} {', '.join(told)}, expected those of a {network}: choose the network it was saved from"
        )
