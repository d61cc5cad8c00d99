"""The base class of point encoders, built-in ones and a user's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from torch import Tensor, nn

from crosspoint.checkpoints.record import InputKind, Inputs
from crosspoint.fields import Fields, channels_of
from crosspoint.models.raw_cloud import as_clouds, drawn_points, read_cloud
from crosspoint.plugins import Recorded, plain
from crosspoint.renderers.json_object import JsonObject
from crosspoint.transforms import unit_sphere

Encoder = TypeVar("Encoder", bound="PointEncoder")  # typing.Self is of Python 3.11


class PointEncoder(Recorded, nn.Module):
    """Network that users keep after pre-training.

    A subclass sets `feature_dim` in its constructor and defines `forward`. The arguments of the constructor must be
    plain values (numbers, strings, lists, dicts): checkpoints keep them, to build the network again.

    Shapes of `forward`, by `inputs`:
        "points": clouds (B, N, 3 + 3 F) with F fields → features (B, feature_dim), of objects.
        "voxels": a `SparseTensor` of M voxels → features (M, feature_dim), of scenes.
        "sweeps": clouds (B, N, 4) with an intensity → samples of them with features, of scenes.

    Attributes:
        inputs: what `forward` takes.
        fields: what each point of an object has behind x y z, such as normals; none by default.
        feature_dim: how many features it gives.
        level_dim: how many features `forward_levels` gives of every point; None where it has none.
        neighborhood: the argument that says how many points a neighborhood has, if the constructor has it: denser
            clouds ask for more (`--k` of the evaluation).
    """

    inputs: ClassVar[InputKind] = "points"
    fields: Fields = ()
    feature_dim: int
    level_dim: int | None = None
    neighborhood: ClassVar[str] = "k"

    def __call__(self, *given: Any, **named: Any) -> Any:
        """`forward`; encoders of clouds also take NumPy arrays, one cloud (N, 3), and any type of number.

        Points are taken as they are: `prepare` brings clouds of any unit into the frame of training.

        Raises:
            ValueError: if clouds have another shape.
        """
        if self.inputs == "points" and given:
            given = (as_clouds(given[0], self, self.fields), *given[1:])
        return super().__call__(*given, **named)

    @property
    def config(self) -> JsonObject:
        """The arguments that built it, as YAML and JSON hold them."""
        settings: JsonObject = plain(self.arguments)
        return settings

    @property
    def neighbors(self) -> int | None:
        """Points of a neighborhood, such as a point's in a graph or those of a patch; None where there are none."""
        return self.config.get(self.neighborhood)

    def fresh(self: Encoder) -> Encoder:
        """A network of the same class and arguments, with random weights from torch's global generator."""
        return type(self)(**self.config)

    def prepare(self, cloud: np.ndarray | Tensor, inputs: Inputs, *, up_axis: str | None = None) -> Any:
        """A raw cloud → what `forward` takes, on the device of the weights; voxel encoders define their own.

        Clouds are turned to the up axis of training and brought into the unit sphere where training had them there; of
        a cloud with more points than training saw, as many are drawn, always the same ones.

        Args:
            cloud: (N, 3) or (B, N, 3), in any unit; with fields, normals of length 1 and colors from 0 to 1 behind.
            inputs: what the encoder was trained on.
            up_axis: of the cloud, "x", "y" or "z"; None where it is that of training.

        Returns:
            (B, N, 3 + 3 F) float32.

        Raises:
            ValueError: if the cloud has another shape, or a number that is not finite.
        """
        columns = channels_of(self.fields)
        points = read_cloud(cloud, self, inputs, columns=columns, up_axis=up_axis, exact=True, fields=self.fields)
        if inputs.points is not None and points.shape[1] > inputs.points:
            points = points[:, drawn_points(points.shape[1], inputs.points).to(points.device)]
        return (unit_sphere(points) if inputs.unit_sphere else points).float()

    def weights_by_depth(self) -> list[list[nn.Parameter]]:
        """Weights of each layer, from the input to the output: what layer-wise decay of a rate counts by.

        Every weight stands once. This one takes the modules in the order in which the constructor sets them, each as a
        layer; weights of the network's own stand with the first.
        """
        return weights_of(list(self.parameters(recurse=False)), *self.children())

    def forward_features(self, points: Tensor) -> Tensor:
        """Features of every point: (B, N, 3) → (B, N, C).

        Raises:
            ValueError: if the network has none, as it does not define this method.
        """
        raise ValueError(
            f"found {type(self).__name__}, which has no features per point, expected a network with forward_features"
        )

    def forward_levels(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Points (B, N, 3) → features of the cloud (B, feature_dim), and of every point (B, N, level_dim).

        What a decoder of parts reads: features of several depths side by side.

        Raises:
            ValueError: if the network has none, as it does not define this method.
        """
        raise ValueError(
            f"found {type(self).__name__}, which keeps no levels of features, expected a network with forward_levels"
        )


def weights_of(first: Sequence[nn.Parameter], *layers: nn.Module | Sequence[nn.Module]) -> list[list[nn.Parameter]]:
    """The weights of each layer; a layer is a module or several.

    Args:
        first: further weights of the first layer.
        layers: from the input to the output.
    """
    parts = [[layer] if isinstance(layer, nn.Module) else layer for layer in layers]
    found = [[weight for module in modules for weight in module.parameters()] for modules in parts]
    return [[*first, *found[0]], *found[1:]] if found else [list(first)]


def level_dim(network: PointEncoder) -> int:
    """How many features a network keeps of every point.

    Raises:
        ValueError: if it keeps none.
    """
    if network.level_dim is None:
        raise ValueError(
            f"found no level_dim on {type(network).__name__}, expected the number of features that forward_levels "
            "gives of a point: define both"
        )
    return network.level_dim


def feature_dim(network: nn.Module) -> int:
    """How many features a network gives.

    Raises:
        ValueError: if it does not say.
    """
    dimensions = getattr(network, "feature_dim", None)
    if not isinstance(dimensions, int):
        raise ValueError(
            f"found no feature_dim on {type(network).__name__}, expected the number of its features: "
            "set self.feature_dim in its constructor"
        )
    return dimensions
