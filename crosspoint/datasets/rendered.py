"""Rendered sets, as `crosspoint render` writes them, for pre-training and for the protocols.

    <root>/set.json, sources.json, and shards with clouds, views and cameras

Nothing to download: `crosspoint render MESHES <root>` makes them of a folder of meshes.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from crosspoint.datasets.cloud_reading import with_fields
from crosspoint.datasets.clouds import Clouds, take_points
from crosspoint.datasets.field_columns import missing_fields
from crosspoint.datasets.labeled import LabeledDataset
from crosspoint.datasets.pairs import ObjectPair, PairDataset, draw_views
from crosspoint.fields import Fields
from crosspoint.renderers import RenderedSet
from crosspoint.renderers.ranges import PIXELS, VIEWS, in_range


class RenderedPairs(PairDataset):
    """Clouds and views of a rendered set: a `PairDataset`.

    Args:
        root: folder of the set.
        split: "train", "test", … ("all" where the source had none), or None for every split.
        views: images per access, drawn by the access's seed.
        image_size: side in pixels to which images are resized (antialiased), None for that of the set.
        cache: keep all points and all resized images in memory, once, when the set is opened: for small sets.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the set is not complete, has no object in this split, or a number is out of range.
    """

    def __init__(
        self,
        root: Path,
        split: str | None = None,
        views: int = 1,
        image_size: int | None = None,
        cache: bool = False,
    ):
        in_range("views", views, *VIEWS)
        in_range("image_size", image_size, *PIXELS)
        self.set = RenderedSet(root, split)
        self.classes, self.labels = self.set.classes, self.set.labels
        self.views, self.image_size = views, image_size
        self.fields: Fields = ()
        self._images: Tensor | None = None  # (n, all views, 3, H, W) uint8
        self._points: Tensor | None = None  # (n, N, 3) float32
        if cache:
            everything = range(self.set.views)
            self._points = torch.stack([torch.from_numpy(self.set.points(i)) for i in range(len(self))])
            self._images = torch.stack([self._resized(i, everything) for i in range(len(self))])

    def __len__(self) -> int:
        return len(self.set)

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        index, seed = item
        chosen = draw_views(self.set.views, self.views, seed)
        label = torch.tensor(self.labels[index])
        if self._points is None or self._images is None:
            return ObjectPair(torch.from_numpy(self.read_points(index)), self._resized(index, chosen), label)
        return ObjectPair(self._points[index], self._images[index, chosen], label)

    def read_points(self, index: int) -> np.ndarray:
        """The cloud alone, (N, 3 + 3 F) float32."""
        return rendered_cloud(self.set, index, self.fields)

    def with_fields(self, fields: Fields) -> RenderedPairs:
        """The same pairs with the normals and colors that the set stores of each point."""
        check_rendered_fields(self.set, fields)
        return self.reread(fields)

    def where(self, index: int) -> str:
        """Key and shard of an object."""
        return self.set.where(index)

    def _resized(self, index: int, views: range | list[int]) -> Tensor:
        images = self.set.images(index, views)
        return images if self.image_size is None else resized(images, self.image_size)


def rendered_cloud(objects: RenderedSet, index: int, fields: Fields = ()) -> np.ndarray:
    """The cloud of an object with fields behind x y z, (N, 3 + 3 F) float32.

    Raises:
        ValueError: if colors are wanted and its mesh has none, or a member is damaged.
    """
    if not fields:
        return objects.points(index)
    colors = objects.colors(index) if "colors" in fields else None
    return with_fields(objects.points(index), objects.normals(index), colors, fields, objects.where(index))


def check_rendered_fields(objects: RenderedSet, fields: Fields) -> None:
    """Refuse a set of which objects have no colors where they are wanted; nothing is read.

    Raises:
        ValueError: if one has none.
    """
    absent = len(objects) - objects.colored if "colors" in fields else 0
    if absent:
        raise missing_fields(["colors"], f"{absent} of {len(objects)} objects of {objects.root}")


def resized(images: Tensor, side: int) -> Tensor:
    """Images (V, 3, H, W) uint8 at another size (V, 3, side, side), antialiased; as they are where it is theirs."""
    if images.shape[-2:] == (side, side):
        return images
    return torch.nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True)


def rendered_clouds(root: str | Path, split: str, points: int, fields: Fields = ()) -> Clouds:
    """The clouds of one split of a rendered set, the first `points` points of each, with fields where they are wanted.

    Raises:
        FileNotFoundError: if there is no such folder.
        ValueError: if the set cannot be read, holds fewer points, or has no classes or no such fields.
    """
    objects = RenderedSet(root, split)
    if (objects.labels < 0).any():
        raise ValueError(f"found a rendered set without classes in {root}, expected one class a folder in its source")
    check_rendered_fields(objects, fields)
    clouds = np.stack([rendered_cloud(objects, index, fields) for index in range(len(objects))])
    taken = take_points(clouds, points, str(root))
    return Clouds(taken, objects.labels, objects.classes, "rendered", split, fields=fields)


class RenderedClouds(LabeledDataset):
    """Clouds and views of a set that `crosspoint render` wrote, y up."""

    has_views: ClassVar[bool] = True

    def clouds(self, split: str, points: int, seed: int) -> Clouds:
        """Read one split: the first points of each cloud."""
        return rendered_clouds(self.root, split, points)

    def clouds_with(self, split: str, points: int, seed: int, fields: Fields) -> Clouds:
        """The same with the normals and colors that the set stores."""
        return rendered_clouds(self.root, split, points, fields)

    def identities(self, split: str) -> list[str]:
        """Number of faces, place and size of each mesh: points are drawn by the path, so copies have other ones."""
        objects = RenderedSet(self.root, split)
        facts = [objects.meta(index) for index in range(len(objects))]
        return [f"{one['faces']} {one['transform']}" for one in facts]

    def views(self, split: str) -> RenderedSet:
        """The views of one split, in the order of its clouds."""
        return RenderedSet(self.root, split)
