"""The base class of detection heads: from a map from above to boxes, and the loss of what is said."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.detection.found_boxes import FoundBoxes


class DetectionHead(nn.Module, ABC):
    """Last layers of a detector, which see a map from above."""

    @abstractmethod
    def forward(self, maps: Tensor) -> Any:
        """Maps (B, C, H, W) → what `loss` and `detect` read."""

    @abstractmethod
    def loss(self, said: Any, boxes: Sequence[Boxes]) -> dict[str, Tensor]:
        """Parts of the loss, by name; their sum is what is to fall.

        Args:
            said: by `forward`.
            boxes: of each of B frames, centers within the extent.
        """

    @abstractmethod
    def detect(self, said: Any) -> list[FoundBoxes]:
        """Boxes of each of B frames."""
