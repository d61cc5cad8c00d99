"""The base class of point encoders, built-in ones and a user's own."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn

from crosspoint.plugins import Recorded, plain

Encoder = TypeVar("Encoder", bound="PointEncoder")  # typing.Self is of Python 3.11


class PointEncoder(Recorded, nn.Module):
    """Network that users keep after pre-training.

    A subclass sets `feature_dim` in its constructor and defines `forward`. The arguments of the constructor must be
    plain values (numbers, strings, lists, dicts): checkpoints keep them, to build the network again.

    Shapes of `forward`, by `inputs`:
        "points": clouds (B, N, 3) → features (B, feature_dim), of objects.
        "voxels": a `SparseTensor` of M voxels → features (M, feature_dim), of scenes.

    Attributes:
        inputs: what `forward` takes.
        feature_dim: how many features it gives.
    """

    inputs: ClassVar[Literal["points", "voxels"]] = "points"
    feature_dim: int

    @property
    def config(self) -> dict[str, Any]:
        """The arguments that built it, as YAML and JSON hold them."""
        settings: dict[str, Any] = plain(self.arguments)
        return settings

    def fresh(self: Encoder) -> Encoder:
        """A network of the same class and arguments, with random weights from torch's global generator."""
        return type(self)(**self.config)

    def forward_features(self, points: Tensor) -> Tensor:
        """Features of every point: (B, N, 3) → (B, N, C).

        Raises:
            ValueError: if the network has none, as it does not define this method.
        """
        raise ValueError(
            f"found {type(self).__name__}, which has no features per point, expected a network with forward_features"
        )


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
