"""Base class of what labels images: settings that can be written down, and a network that is loaded from them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import numpy as np

from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.labels.manifest import Kind

Painter = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Images (H, W, 3) uint8 of one size → their maps (H, W) of whole numbers, 0 where nothing is said."""


class Labeler(ABC):
    """What makes maps of images: small enough to be sent to other processes, each of which loads the network itself."""

    kind: ClassVar[Kind]

    @property
    @abstractmethod
    def names(self) -> list[str]:
        """Names of the classes, that of number 1 first; none for regions."""

    @abstractmethod
    def recipe(self) -> JsonObject:
        """All that decides the maps, as plain values: models by their revision, thresholds, tables.

        Raises:
            FileNotFoundError: if a model is not there.
            ValueError: if settings and model do not fit each other.
        """

    @abstractmethod
    def load(self, device: str) -> Painter:
        """The networks, ready to paint.

        Args:
            device: "cpu" or "cuda".

        Raises:
            FileNotFoundError: if a model is not there.
            ValueError: if settings and model do not fit each other.
        """
