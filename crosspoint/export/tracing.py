"""Graph of an encoder that takes any number of clouds and points, neighbors and sampling included."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from crosspoint.checkpoints.record import Inputs
from crosspoint.fields import channels_of
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.ops.plain import plain_operations
from crosspoint.transforms import unit_sphere

EXAMPLE = (2, 1024)  # clouds and points of the example that is traced, where the checkpoint names no number
WHY_NOT = {
    "voxels": "its convolutions look up which voxels are there, and other frames have others",
    "sweeps": "it samples thousands of points one after the other, and looks for those around them",
}


class Graph(NamedTuple):
    """An encoder as a graph.

    Attributes:
        program: takes clouds (B, N, 3 + 3 F); gives features (B, feature_dim), and (B, N, C) of points where they are
            asked.
        least: points that a cloud needs.
    """

    program: ExportedProgram
    least: int


class CloudNetwork(nn.Module):
    """An encoder with what is done before and beside it, as a graph has it.

    Args:
        encoder: of clouds.
        per_point: give features of points, too.
        unit: center clouds and scale them into the unit sphere first.
    """

    def __init__(self, encoder: PointEncoder, *, per_point: bool, unit: bool) -> None:
        super().__init__()
        self.encoder, self.per_point, self.unit = encoder, per_point, unit

    def forward(self, points: Tensor) -> tuple[Tensor, ...]:
        """points (B, N, 3) → features (B, feature_dim), and (B, N, C) where they are asked for."""
        if self.unit:
            points = unit_sphere(points)
        features = self.encoder.forward(points)
        return (features, self.encoder.forward_features(points)) if self.per_point else (features,)


def trace(network: CloudNetwork, inputs: Inputs) -> Graph:
    """The graph of a network of clouds, by plain operations alone.

    Args:
        network: in eval mode.
        inputs: what its encoder was trained on.

    Raises:
        ValueError: if its encoder takes no clouds, or does what a graph for any number of points cannot hold.
    """
    name = type(network.encoder).__name__
    if inputs.kind != "points":
        raise ValueError(
            f"found {name}, an encoder of {inputs.kind}, expected one of clouds: {WHY_NOT[inputs.kind]}, which no "
            "fixed graph can hold; take --format safetensors"
        )
    example = torch.zeros(EXAMPLE[0], inputs.points or EXAMPLE[1], channels_of(network.encoder.fields))
    open_sizes = ({0: Dim.DYNAMIC, 1: Dim.DYNAMIC},)
    try:
        with quiet(), torch.no_grad(), plain_operations():
            program = torch.export.export(network, (example,), dynamic_shapes=open_sizes, strict=False)
    except Exception as error:  # whatever a user's own network does, and torch.export has no common error
        why = " ".join(str(error).split())[:200]
        raise ValueError(
            f"found {name}, of which no graph can be made ({why}), expected plain operations for any number of clouds "
            "and points: take --format safetensors"
        ) from error
    return Graph(program, _least_points(program))


def _least_points(program: ExportedProgram) -> int:
    """Points that a cloud needs, as the network's own checks say while they are traced."""
    (points,) = (node for node in program.graph.nodes if node.name == "points")
    symbol = points.meta["val"].shape[1].node.expr
    found = program.range_constraints.get(symbol)
    return 1 if found is None else max(1, int(found.lower))


@contextmanager
def quiet() -> Iterator[None]:
    """A block in which torch and its exporters say nothing of their own parts."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
