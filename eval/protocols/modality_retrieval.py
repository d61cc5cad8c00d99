"""Figures of retrieval between views and clouds: both are brought into one space, where each kind seeks the other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import nn

from crosspoint.checkpoints.dual_encoder import DualEncoder
from crosspoint.datasets.clouds import Clouds
from crosspoint.eval.features import extract_features, frozen
from crosspoint.eval.protocols.retrieval import has_classmates, retrieve_across, retrieve_within
from crosspoint.eval.protocols.view_prediction import place_in_teacher_space
from crosspoint.eval.results import Result
from crosspoint.methods.crossjepa import CrossJEPA
from crosspoint.renderers import RenderedSet
from crosspoint.transforms import normalize_images


@dataclass(frozen=True)
class Projected:
    """Views and shapes of a rendered set in one space."""

    images: np.ndarray  # (v, C) float32
    owners: np.ndarray  # (v,) the shape that each view shows
    shapes: np.ndarray  # (n, C) float32


def retrieve_modalities(
    branches: DualEncoder,
    clouds: Clouds,
    rendered: RenderedSet,
    *,
    views: int | None = None,
    image_size: int | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> tuple[Result, Projected]:
    """mAP, recall@k and precision@k in percent of `retrieve_across`, those among shapes, and what was compared.

    Args:
        branches: of both modalities.
        clouds: of one split of the set, in its order.
        rendered: the same split.
        views: of each object, the first ones; None for all.
        image_size: side in pixels to which views are resized, as in training; None for the set's own.
        device: where the networks run.
        progress: show a bar, where the output is a terminal.

    Raises:
        ValueError: if the clouds are not those of the set, a number is out of range, or there are fewer than 10 shapes.
    """
    count = _checked_views(clouds, rendered, views)
    size = rendered.size if image_size is None else image_size
    if size < 1:
        raise ValueError(f"found an image size of {size}, expected at least one pixel")
    images = project_views(branches.images, rendered, views=count, size=size, device=device, progress=progress)
    shapes = extract_features(branches.clouds, clouds.points, batch_size=1, device=device, progress=progress)
    return _retrieve(images, shapes, clouds, {"views": count, "image_size": size})


def retrieve_predictions(
    method: CrossJEPA,
    clouds: Clouds,
    rendered: RenderedSet,
    *,
    views: int | None = None,
    embeddings: str | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> tuple[Result, Projected]:
    """The same figures by a method that predicts embeddings of views; see `place_in_teacher_space`.

    Raises:
        FileNotFoundError: if the set has no embeddings.
        ValueError: as `retrieve_modalities`, or if the embeddings are not those of training.
    """
    count = _checked_views(clouds, rendered, views)
    images, shapes = place_in_teacher_space(
        method, clouds.points, rendered, views=count, embeddings=embeddings, device=device, progress=progress
    )
    return _retrieve(images, shapes, clouds, {"views": count})


def _checked_views(clouds: Clouds, rendered: RenderedSet, views: int | None) -> int:
    """How many views of each object are used; raises ValueError where the clouds are not those of the set."""
    if clouds.split != rendered.split or not np.array_equal(clouds.labels, rendered.labels):
        raise ValueError(
            f"found {len(clouds)} clouds of {clouds.name} ({clouds.split}), expected the {len(rendered)} of "
            f"{rendered.root} ({rendered.split})"
        )
    count = rendered.views if views is None else views
    if not 1 <= count <= rendered.views:
        raise ValueError(f"found {count} views, expected 1 to {rendered.views}, as the set has")
    return count


def _retrieve(
    images: np.ndarray, shapes: np.ndarray, clouds: Clouds, constants: dict[str, int]
) -> tuple[Result, Projected]:
    """images (n, views, C) and shapes (n, C) → figures, and what was compared."""
    owners = np.repeat(np.arange(len(images)), images.shape[1])
    projected = Projected(images.reshape(-1, images.shape[2]), owners, shapes)
    result = retrieve_across(projected.images, owners, shapes, np.arange(len(shapes)), clouds.labels)
    within = retrieve_within(shapes, clouds.labels).metrics if has_classmates(clouds.labels) else {}
    metrics = result.metrics | {f"shape_to_shape_class_{name}": value for name, value in within.items()}
    return replace(result, metrics=metrics, constants={**constants, **result.constants}), projected


def project_views(
    branch: nn.Module, rendered: RenderedSet, *, views: int, size: int, device: torch.device | str, progress: bool
) -> np.ndarray:
    """Projections (n, views, C) float32 of the first views of each object.

    One object a pass, on one thread: convolutions round differently with the size of a batch and the number of threads.
    """
    console = Console(stderr=True)
    hidden = not (progress and console.is_terminal)
    device = torch.device(device)
    projections = []
    with frozen(branch, device), torch.inference_mode(), _one_thread():
        for index in track(range(len(rendered)), "views", console=console, disable=hidden):
            images = rendered.images(index, range(views)).to(device).float() / 255
            if images.shape[2:] != (size, size):
                images = F.interpolate(images, size=(size, size), mode="bilinear", antialias=True).clamp(0, 1)
            projections.append(branch(normalize_images(images)).float().cpu().numpy())
    return np.stack(projections)


@contextmanager
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
