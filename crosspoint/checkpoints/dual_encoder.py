"""Both branches of a pre-trained method: what maps clouds and images into the space in which they were compared."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from msgspec import Struct
from torch import nn

from crosspoint.checkpoints.adapters import read_weights
from crosspoint.checkpoints.files import require_file
from crosspoint.checkpoints.pretrained import load_pretrained
from crosspoint.checkpoints.record import REMEDY
from crosspoint.renderers.records import Count, checked


class _Images(Struct, frozen=True):
    size: Count | None = None


class _Arguments(Struct, frozen=True):
    images: _Images = _Images()


class _Method(Struct, frozen=True):
    init_args: _Arguments = _Arguments()


class _Config(Struct, frozen=True):
    """What is read of a run's configuration here."""

    method: _Method = _Method()


class DualEncoder(NamedTuple):
    """Encoder and projection head of each modality, in eval mode."""

    clouds: nn.Sequential  # (B, N, 3) → (B, projection)
    images: nn.Sequential  # (B, 3, H, W), normalized → (B, projection)


def load_dual_encoder(path: str | Path, *, k: int | None = None, seed: int | None = None) -> DualEncoder:
    """The branches of a checkpoint of `crosspoint pretrain`.

    Args:
        path: the .ckpt; exports hold the point encoder alone.
        k: neighbors per point, or points of a patch, where it should differ from the file's.
        seed: random weights in place of the file's.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it has no image branch, or cannot be read.
    """
    if not has_image_branch(path):
        raise ValueError(
            f"found no image branch in {path}, expected one beside the point encoder: give a checkpoint (.ckpt) of "
            "crosspoint pretrain with method.cross_weight above 0"
        )
    found = load_pretrained(path)
    method = (found if k is None else found.with_neighbors(k)).load_method(seed=seed)
    head, image_head, images = (method.get_submodule(name) for name in ("head", "image_head", "image_encoder"))
    encoder = method.get_submodule("encoder")
    return DualEncoder(nn.Sequential(encoder, head).eval(), nn.Sequential(images, image_head).eval())


def has_image_branch(path: str | Path) -> bool:
    """Whether `load_dual_encoder` finds both branches in a file that `load_pretrained` reads."""
    return any(name.startswith("image_head.") for name in read_weights(require_file(path)).state)


def predicts_views(path: str | Path) -> bool:
    """Whether a file that `load_pretrained` reads holds a predictor of views in place of an image branch."""
    return any(name.startswith("predictor.") for name in read_weights(require_file(path)).state)


def trained_image_size(path: str | Path) -> int | None:
    """Side in pixels of the images that the branch was trained on; None where the file does not say."""
    config = read_weights(require_file(path)).record.config
    return checked(
        config, _Config, f"the config in {path}", "the configuration of a run", REMEDY
    ).method.init_args.images.size
