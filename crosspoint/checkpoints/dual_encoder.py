"""Both branches of a pre-trained CrossPoint: what maps clouds and images into the space in which they were compared."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import yaml
from torch import Tensor, nn

from crosspoint.checkpoints.load import ENCODER_KEY, load_encoder, load_weights_strict, read_checkpoint, strip_prefix
from crosspoint.models.build import build_encoder, encoder_config
from crosspoint.models.image_encoder import ImageEncoder
from crosspoint.models.projection_heads import cloud_head, image_head
from crosspoint.training.config import ImageNetwork

PREFIX = "method."  # of the method's weights in a training checkpoint
BOTTLENECK = "resnet.layer1.0.conv3.weight"  # a ResNet-50 has it, a ResNet-18 has not


class DualEncoder(NamedTuple):
    """Encoder and projection head of each modality, in eval mode."""

    clouds: nn.Sequential  # (B, N, 3) → (B, projection)
    images: nn.Sequential  # (B, 3, H, W), normalized → (B, projection)


def load_dual_encoder(path: str | Path, *, k: int | None = None, seed: int | None = None) -> DualEncoder:
    """The branches of a checkpoint of `crosspoint pretrain`.

    Args:
        path: the .ckpt; exports hold the point encoder alone.
        k: neighbors per point, where it should differ from the file's.
        seed: random weights in place of the file's.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has no image branch, or cannot be read.
    """
    path = Path(path)
    encoder = load_encoder(path, k=k)
    weights = _method_weights(path)
    if not _has_images(weights):
        raise ValueError(
            f"found no image branch in {path}, expected one beside the point encoder: give a checkpoint (.ckpt) of "
            "crosspoint pretrain with method.cross_weight above 0"
        )
    parts = {name: strip_prefix(weights, f"{name}.") for name in ("head", "image_encoder", "image_head")}
    network: ImageNetwork = "resnet50" if BOTTLENECK in parts["image_encoder"] else "resnet18"
    projection = len(parts["head"]["3.weight"])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed or 0)
        if seed is not None:
            encoder = build_encoder(encoder_config(encoder))
        images = ImageEncoder(network)
        networks: dict[str, nn.Module] = {
            "head": cloud_head(int(encoder.feature_dim), projection),  # type: ignore[arg-type]
            "image_encoder": images,
            "image_head": image_head(images.feature_dim, projection),
        }
    if seed is None:
        for name, module in networks.items():
            load_weights_strict(module, parts[name], path, name)
    branches = DualEncoder(nn.Sequential(encoder, networks["head"]), nn.Sequential(images, networks["image_head"]))
    return DualEncoder(branches.clouds.eval(), branches.images.eval())


def has_image_branch(path: str | Path) -> bool:
    """Whether `load_dual_encoder` finds both branches in a file that `load_encoder` reads."""
    return _has_images(_method_weights(Path(path)))


def trained_image_size(path: str | Path) -> int | None:
    """Side in pixels of the images that the branch was trained on, if the run's config.yaml lies beside its checkpoint.

    Raises:
        ValueError: if that file is no configuration of a run.
    """
    saved = Path(path).with_name("config.yaml")
    if not saved.is_file():
        return None
    try:
        return int(yaml.safe_load(saved.read_text())["method"]["images"]["size"])
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"found no method.images.size in {saved}, expected the configuration of a run: name the size of the images"
        ) from error


def _method_weights(path: Path) -> dict[str, Tensor]:
    """All weights of the method, those of the point encoder among them; none where it is another kind of file."""
    if path.suffix == ".safetensors":
        return {}
    content = read_checkpoint(path)
    if ENCODER_KEY not in content:
        return {}
    return strip_prefix(content["state_dict"], PREFIX)


def _has_images(weights: dict[str, Tensor]) -> bool:
    return any(name.startswith("image_head.") for name in weights)
