"""Retrieval between the modalities of a rendered set: views seek shapes, and shapes seek views.

Both branches of CrossPoint (CVPR 2022, https://arxiv.org/abs/2203.00680) project into the space where its cross-modal
loss compared them. In training the views of an object are averaged; here every view asks for itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import track
from torch import nn

from crosspoint.checkpoints.dual_encoder import DualEncoder
from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import labeled_dataset
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.features import extract_features, frozen
from crosspoint.eval.protocols.benchmarks import clouds_label
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol, on_dataset
from crosspoint.eval.protocols.retrieval import check_ranks, nearest_items, retrieve_across
from crosspoint.eval.report.pictures import cloud_picture, view_picture
from crosspoint.eval.report.query_selection import NEAREST, choose_queries
from crosspoint.eval.report.report_model import Contribution, Retrieved
from crosspoint.eval.results import Result
from crosspoint.ops.device import chosen_device
from crosspoint.renderers import RenderedSet
from crosspoint.transforms import normalize_images


@dataclass(frozen=True)
class Crossmodal(Protocol):
    """Retrieval between views and clouds of a rendered set (--dataset rendered), by both branches of a checkpoint.

    Args:
        rendered: folder of the rendered set, if it is not the dataset itself
        split: name of the split in which views seek shapes, and shapes views
        views: how many views of each object are used; by default all
        image_size: side in pixels of what the image branch sees; by default that of training
    """

    name = "crossmodal"
    unread = frozenset({"cache", "jobs", "allow_overlap"})
    study_flags: ClassVar[Mapping[str, str]] = {"rendered": "rendered"}

    rendered: Path | None = None
    split: str = "test"
    views: int | None = None
    image_size: int | None = None

    def check_settings(self, data: EvaluationData) -> None:
        """Refuse a dataset without views where no other set is given."""
        if self.rendered is None and not labeled_dataset(str(data.dataset)).has_views:
            raise ValueError(
                f"found no --rendered and the dataset {data.dataset}, expected the folder of a rendered set: give it"
            )

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        """Checkpoints without an image branch."""
        return super().unsupported(checkpoint) or (
            None if checkpoint.has_images else "no image branch in the checkpoint"
        )

    def check(self, data: EvaluationData) -> None:
        """Refuse sets with fewer shapes than the last rank."""
        check_ranks(len(self._set(data)[0]), "rendered shapes")

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `retrieve_modalities`, and what the first views of some shapes find."""
        clouds, rendered = self._set(run.data)
        result, projected = retrieve_modalities(
            run.checkpoint.dual_encoder(run.weights_seed),
            clouds,
            rendered,
            views=self.views,
            image_size=self.image_size or run.checkpoint.image_size,
            device=chosen_device(run.device),
            progress=True,
        )
        queries = choose_queries(clouds.labels, run.data.seed)
        asked = projected.images[queries * result.constants["views"]]  # the first view of each
        found = nearest_items(asked, projected.shapes, min(NEAREST, len(clouds)))
        return on_dataset(result, f"{clouds.name} ({self.split})"), {"queries": queries, "found": found}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Mean average precision both ways, and how often a view finds its own shape first."""
        clouds, rendered = self._set(data)
        label = clouds_label(clouds, rendered.root)
        return [
            Column(f"image → shape mAP, {label}", self.name, "image_to_shape_class_mAP"),
            Column(f"shape → image mAP, {label}", self.name, "shape_to_image_class_mAP"),
            Column(f"image → its shape R@1, {label}", self.name, "image_to_shape_object_recall@1"),
        ]

    def show(self, run: EvaluationRun, result: Result, arrays: Mapping[str, np.ndarray]) -> Contribution:
        """Views with the nearest clouds."""
        clouds, rendered = self._set(run.data)
        named = [clouds.classes[label] for label in clouds.labels]
        return Contribution(
            retrieved=[
                Retrieved(
                    view_picture(rendered, int(query)),
                    named[query],
                    [(cloud_picture(clouds.points[item]), named[item]) for item in found],
                )
                for query, found in zip(arrays["queries"], arrays["found"], strict=True)
            ]
        )

    def _set(self, data: EvaluationData) -> tuple[Clouds, RenderedSet]:
        """Clouds and views of the split."""
        if self.rendered is not None:
            clouds = data.other_clouds("rendered", self.rendered, self.split, data.points)
            return clouds, RenderedSet(self.rendered, self.split)
        views = data.views(self.split)
        assert views is not None  # as `check_settings` found
        return data.clouds(self.split), views


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
    """mAP, recall@k and precision@k in percent of `retrieve_across`, and what was compared.

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
    if clouds.split != rendered.split or not np.array_equal(clouds.labels, rendered.labels):
        raise ValueError(
            f"found {len(clouds)} clouds of {clouds.name} ({clouds.split}), expected the {len(rendered)} of "
            f"{rendered.root} ({rendered.split})"
        )
    count = rendered.views if views is None else views
    size = rendered.size if image_size is None else image_size
    if not 1 <= count <= rendered.views:
        raise ValueError(f"found {count} views, expected 1 to {rendered.views}, as the set has")
    if size < 1:
        raise ValueError(f"found an image size of {size}, expected at least one pixel")
    images = project_views(branches.images, rendered, views=count, size=size, device=device, progress=progress)
    shapes = extract_features(branches.clouds, clouds.points, batch_size=1, device=device, progress=progress)
    projected = Projected(images.reshape(-1, images.shape[2]), np.repeat(np.arange(len(images)), count), shapes)
    result = retrieve_across(projected.images, projected.owners, shapes, np.arange(len(shapes)), clouds.labels)
    constants = {"views": count, "image_size": size, **result.constants}
    return replace(result, constants=constants), projected


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
