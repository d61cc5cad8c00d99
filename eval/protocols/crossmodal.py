"""Retrieval between the modalities of a rendered set: views seek shapes, and shapes seek views.

Both branches of CrossPoint (CVPR 2022, https://arxiv.org/abs/2203.00680) project into the space where its cross-modal
loss compared them. In training the views of an object are averaged; here every view asks for itself. CrossJEPA
predicts what its teacher makes of a view: clouds and views meet in the teacher's space. In the same space shapes seek
shapes too; `retrieval` asks the encoder's own features for that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from crosspoint.datasets.clouds import Clouds
from crosspoint.datasets.labeled import labeled_dataset
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.evaluation_data import EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.benchmarks import clouds_label
from crosspoint.eval.protocols.modality_retrieval import retrieve_modalities, retrieve_predictions
from crosspoint.eval.protocols.protocol import Column, Measured, Protocol, on_dataset
from crosspoint.eval.protocols.retrieval import check_ranks, has_classmates, nearest_items
from crosspoint.eval.report.pictures import cloud_picture, view_picture
from crosspoint.eval.report.query_selection import NEAREST, choose_queries
from crosspoint.eval.report.report_model import Contribution, Retrieved
from crosspoint.eval.results import Result
from crosspoint.methods.crossjepa import CrossJEPA
from crosspoint.ops.device import chosen_device
from crosspoint.renderers import RenderedSet


@dataclass(frozen=True)
class Crossmodal(Protocol):
    """Retrieval between views and clouds of a rendered set (--dataset rendered), by both branches of a checkpoint.

    Args:
        rendered: folder of the rendered set, if it is not the dataset itself
        split: name of the split in which views seek shapes, and shapes views
        views: how many views of each object are used; by default all
        image_size: side in pixels of what the image branch sees; by default that of training
        embeddings: name of the embeddings that a method without an image branch compares with, if there are several
    """

    name = "crossmodal"
    unread = frozenset({"cache", "jobs", "allow_overlap"})
    study_flags: ClassVar[Mapping[str, str]] = {"rendered": "rendered"}

    rendered: Path | None = None
    split: str = "test"
    views: int | None = None
    image_size: int | None = None
    embeddings: str | None = None

    def check_settings(self, data: EvaluationData) -> None:
        """Refuse a dataset without views where no other set is given."""
        if self.rendered is None and not labeled_dataset(str(data.dataset)).has_views:
            raise ValueError(
                f"found no --rendered and the dataset {data.dataset}, expected the folder of a rendered set: give it"
            )

    def unsupported(self, checkpoint: Checkpoint) -> str | None:
        """Checkpoints with neither an image branch nor a predictor, and flags that are of the other kind."""
        why = super().unsupported(checkpoint)
        if why is not None:
            return why
        if checkpoint.predicts_views and self.image_size is not None:
            return "an image size, and a checkpoint that has no image branch: leave out --image_size"
        if checkpoint.has_images and self.embeddings is not None:
            return "embeddings, and a checkpoint that has an image branch: leave out --embeddings"
        return None if checkpoint.has_images or checkpoint.predicts_views else "no image branch in the checkpoint"

    def check(self, data: EvaluationData) -> None:
        """Refuse sets with fewer shapes than the last rank."""
        check_ranks(len(self._set(data)[0]), "rendered shapes")

    def run(self, run: EvaluationRun) -> Measured:
        """The figures of `retrieve_modalities`, and what the first views of some shapes find."""
        clouds, rendered = self._set(run.data)
        device = chosen_device(run.device)
        if run.checkpoint.predicts_views:
            method = run.checkpoint.method(run.weights_seed)
            assert isinstance(method, CrossJEPA)
            result, projected = retrieve_predictions(
                method, clouds, rendered, views=self.views, embeddings=self.embeddings, device=device, progress=True
            )
        else:
            result, projected = retrieve_modalities(
                run.checkpoint.dual_encoder(run.weights_seed),
                clouds,
                rendered,
                views=self.views,
                image_size=self.image_size or run.checkpoint.image_size,
                device=device,
                progress=True,
            )
        queries = choose_queries(clouds.labels, run.data.seed)
        asked = projected.images[queries * result.constants["views"]]  # the first view of each
        found = nearest_items(asked, projected.shapes, min(NEAREST, len(clouds)))
        return on_dataset(result, f"{clouds.name} ({self.split})"), {"queries": queries, "found": found}

    def columns(self, data: EvaluationData) -> list[Column]:
        """Mean average precision both ways and among shapes, and how often a view finds its own shape first."""
        clouds, rendered = self._set(data)
        label = clouds_label(clouds, rendered.root)
        columns = [
            Column(f"image → shape mAP, {label}", self.name, "image_to_shape_class_mAP"),
            Column(f"shape → image mAP, {label}", self.name, "shape_to_image_class_mAP"),
            Column(f"image → its shape R@1, {label}", self.name, "image_to_shape_object_recall@1"),
        ]
        if has_classmates(clouds.labels):
            columns.append(Column(f"shape → shape mAP in that space, {label}", self.name, "shape_to_shape_class_mAP"))
        return columns

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
