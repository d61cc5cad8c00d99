"""Layer-wise decay of the learning rate: the nearer a layer is to the input, the less fine-tuning changes it.

As BEiT fine-tunes (Bao et al., 2022, https://arxiv.org/abs/2106.08254), and of networks for LiDAR ScaLR (Puy et al.,
2024, https://arxiv.org/abs/2310.17504), with 0.95 on 1 and 10 % of the labels and 0.99 on all of them.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from torch import nn

from crosspoint.models.point_encoder import PointEncoder

DECAYS = (0.01, 1.0)  # range of the setting


def decayed_groups(encoder: nn.Module, rate: float, decay: float) -> list[dict[str, Any]]:
    """Groups of an encoder's weights for an optimizer, each with its rate; the last layer's come first.

    Of L layers, `PointEncoder.weights_by_depth`, the layer l, counted from 0 at the input, has rate · decay^(L − l):
    the head would be the layer L, and the encoder's last one has one factor of the decay.

    Args:
        encoder: whose weights they are; any module with a decay of 1.
        rate: of the head, before any decay.
        decay: from 0 to 1; 1 gives one group of all weights.

    Raises:
        ValueError: if the encoder does not extend `PointEncoder`, or its layers do not hold each weight once.
    """
    if decay == 1:
        return [{"params": list(encoder.parameters()), "lr": rate}]
    if not isinstance(encoder, PointEncoder):
        raise ValueError(
            f"found an encoder of type {type(encoder).__name__} with a layer_decay of {decay}, expected one that "
            "extends crosspoint.PointEncoder, which says what its layers are: leave layer_decay at 1"
        )
    layers = [layer for layer in encoder.weights_by_depth() if layer]
    held = Counter(id(weight) for layer in layers for weight in layer)
    if held != Counter(id(weight) for weight in encoder.parameters()):
        raise ValueError(
            f"found {sum(held.values())} weights in weights_by_depth of {type(encoder).__name__}, expected each of "
            f"its {len(list(encoder.parameters()))} once: mend that method"
        )
    depth = len(layers)
    groups = [{"params": layer, "lr": rate * decay ** (depth - number)} for number, layer in enumerate(layers)]
    return groups[::-1]
