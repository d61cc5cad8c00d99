"""The encoders with every edge block computed by its defining formula: what the fast paths are measured against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from torch import Tensor

from crosspoint.edge_mlp import EdgeMLP, edge_mlp
from crosspoint.edgeconv import EdgeConv, edge_conv
from crosspoint.neighbors import knn_formula


@contextmanager
def formula_path() -> Iterator[None]:
    """Inside, EdgeConv and EdgeMLP build their edge tensors, and neighbours come from all distances."""

    def by_edges(self: EdgeConv, x: Tensor) -> Tensor:
        return edge_conv(x, knn_formula(x.detach(), self.k), self.weight, self.norm, self.slope)

    def two_layers(self: EdgeMLP, x: Tensor, neighbors: Tensor) -> Tensor:
        return edge_mlp(x, neighbors, self.first, self.second)

    with (
        mock.patch.object(EdgeConv, "forward", by_edges),
        mock.patch.object(EdgeMLP, "forward", two_layers),
        mock.patch("crosspoint.partseg.knn", knn_formula),
    ):
        yield
