"""Figures on validation frames after every epoch, which choose the epoch where there are such frames."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class OnValidation:
    """Measurement of every epoch: figures "validation_<name>" of the validation frames, where there are any.

    Args:
        figure: name of the figure whose first maximum chooses the epoch.
        measure: the figures of a network on a device; None where there are no validation frames.
    """

    figure: str
    measure: Callable[[Any, torch.device], Mapping[str, float]] | None

    @property
    def chosen_by(self) -> str | None:
        """Figure whose first maximum chooses the epoch."""
        return None if self.measure is None else f"validation_{self.figure}"

    @property
    def shown(self) -> Sequence[str]:
        """What the log and the progress bar show."""
        return [] if self.measure is None else [f"validation_{self.figure}"]

    def __call__(self, network: Any, device: torch.device) -> tuple[dict[str, float], None]:
        """The figures of a network; nothing else is kept."""
        if self.measure is None:
            return {}, None
        return {f"validation_{name}": value for name, value in self.measure(network, device).items()}, None
