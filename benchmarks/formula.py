"""The encoders by their defining formulas: what the fast paths are measured against."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from torch import Tensor

from crosspoint.ops.edge_mlp import EdgeMLP, edge_mlp
from crosspoint.ops.edgeconv import EdgeConv, edge_conv
from crosspoint.ops.fused_max_mean_pool import layer_max_and_mean_formula
from crosspoint.ops.fused_max_pool import layer_max_formula
from crosspoint.ops.knn import knn_formula


@contextmanager
def formula_path() -> Iterator[None]:
    """Inside, edge tensors and values at every point are built, and neighbors come from all distances."""

    def by_edges(self: EdgeConv, x: Tensor) -> Tensor:
        return edge_conv(x, knn_formula(x.detach(), self.k), self.weight, self.norm, self.slope)

    def two_layers(self: EdgeMLP, x: Tensor, neighbors: Tensor) -> Tensor:
        return edge_mlp(x, neighbors, self.first, self.second)

    with (
        mock.patch.object(EdgeConv, "forward", by_edges),
        mock.patch.object(EdgeMLP, "forward", two_layers),
        mock.patch("crosspoint.models.dgcnn_partseg.knn", knn_formula),
        mock.patch("crosspoint.models.dgcnn.layer_max_and_mean", layer_max_and_mean_formula),
        mock.patch("crosspoint.models.dgcnn_partseg.layer_max", layer_max_formula),
        mock.patch("crosspoint.models.pointnet.layer_max", layer_max_formula),
    ):
        yield
