"""Clouds of a rendered set with embeddings of their views: pairs without an image.

    <root>/set.json, sources.json, and shards as of a rendered set
    <root>/embeddings/<name>

Nothing to download: `crosspoint embed-views` writes embeddings beside a set of `crosspoint render`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crosspoint.datasets.embedded.view_embeddings import ViewEmbeddings
from crosspoint.datasets.embedded.view_facts import camera_facts
from crosspoint.datasets.pairs import PairDataset, draw_views
from crosspoint.datasets.rendered import check_rendered_fields, rendered_cloud
from crosspoint.fields import Fields
from crosspoint.renderers import RenderedSet
from crosspoint.renderers.ranges import VIEWS, in_range


class EmbeddedPair(NamedTuple):
    """One object and embeddings of its views; a batch of pairs stacks every field along a new first axis."""

    points: Tensor  # (N, 3) float32, y up; with fields behind x y z where the encoder takes some
    embeddings: Tensor  # (V, D) float32, of a frozen network
    cameras: Tensor  # (V, 16) float32, see `camera_facts`
    colors: Tensor  # (V, 64) float32, see `color_shares`
    label: Tensor  # () int64, -1 where the class is unknown


class EmbeddedPairs(PairDataset):
    """Clouds of a rendered set and embeddings of its views, as `crosspoint embed-views` wrote them.

    Args:
        root: folder of the set.
        split: "train", "test", … ("all" where the source had none), or None for every split.
        views: embeddings per access, drawn by the access's seed.
        embeddings: name of the folder below SET/embeddings; None where there is one alone.
        cache: keep all points in memory, once, when the set is opened.

    Attributes:
        stored: the embeddings.

    Raises:
        FileNotFoundError: if there is no such folder, or there are no embeddings.
        ValueError: if set or embeddings are not complete or do not belong to each other, or views is below 1.
    """

    def __init__(
        self,
        root: Path,
        split: str | None = None,
        views: int = 1,
        embeddings: str | None = None,
        cache: bool = False,
    ) -> None:
        in_range("views", views, *VIEWS)
        self.set = RenderedSet(root, split)
        self.stored = ViewEmbeddings(self.set, embeddings)
        self.classes, self.labels = self.set.classes, self.set.labels
        self.views = views
        self.fields: Fields = ()
        self._points: Tensor | None = None  # (n, N, 3) float32
        self._cameras: Tensor | None = None  # (n, all views, 16) float32
        if cache:
            everything = range(len(self))
            self._points = torch.stack([torch.from_numpy(self.set.points(i)) for i in everything])
            self._cameras = torch.stack([camera_facts(self.set.cameras(i)) for i in everything])

    def __getitem__(self, item: tuple[int, int]) -> EmbeddedPair:  # type: ignore[override] # no images
        """The pair at (index, seed); the seed draws its views."""
        index, seed = item
        views = draw_views(self.set.views, self.views, seed)
        cameras = camera_facts(self.set.cameras(index)) if self._cameras is None else self._cameras[index]
        return EmbeddedPair(
            torch.from_numpy(self.read_points(index)) if self._points is None else self._points[index],
            self.stored.embeddings(index, views),
            cameras[views],
            self.stored.colors(index, views),
            torch.tensor(self.labels[index]),
        )

    def where(self, index: int) -> str:
        """Key and shard of an object."""
        return self.set.where(index)

    def read_points(self, index: int) -> np.ndarray:
        """The cloud alone, (N, 3 + 3 F) float32."""
        return rendered_cloud(self.set, index, self.fields)

    def with_fields(self, fields: Fields) -> EmbeddedPairs:
        """The same pairs with the normals and colors that the set stores of each point."""
        check_rendered_fields(self.set, fields)
        return self.reread(fields)


def stack_embedded(pairs: Sequence[EmbeddedPair]) -> EmbeddedPair:
    """Collate pairs into one batch: points (B, N, 3), embeddings (B, V, D), cameras (B, V, 16), colors (B, V, 64)."""
    return EmbeddedPair(*(torch.stack(field) for field in zip(*pairs, strict=True)))


def check_embeddings(dataset: EmbeddedPairs, wanted: int, setting: str) -> None:
    """Raise ValueError if embeddings have another length than `setting` says."""
    found = dataset.stored.teacher.feature_dim
    if found != wanted:
        raise ValueError(
            f"found embeddings of {found} numbers in {dataset.stored.folder}, expected {wanted}: set {setting} to "
            f"{found}"
        )
