"""Labels on a GPU: the CPU's maps, but for rounding; skipped where there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from crosspoint.scene.labels.labeler import Labeler
from crosspoint.scene.labels.open_vocabulary import OpenLabeler
from crosspoint.scene.labels.regions import RegionLabeler
from crosspoint.scene.labels.semantic import SemanticLabeler

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, torch sees none"),
]

LABELERS: dict[str, Callable[[Callable[[str], str]], Labeler]] = {
    **{
        name: lambda network, name=name: SemanticLabeler(network(name), confidence=0.1)
        for name in ("eomt", "mask2former", "oneformer", "segformer")
    },
    **{name: lambda network, name=name: RegionLabeler(network(name), None, 4, 0.0, 0.0) for name in ("sam", "sam2")},
    "open": lambda network: OpenLabeler(
        network("sam2"), detector=network("grounding_dino"), prompts={"car": ["car"], "bus": ["bus"]}
    ),
}


@pytest.mark.parametrize("name", LABELERS)
def test_maps_are_those_of_the_cpu(network: Callable[[str], str], image: np.ndarray, name: str) -> None:
    labeler = LABELERS[name](network)
    on_cpu, on_gpu = (labeler.load(device)([image, image[:, ::-1].copy()]) for device in ("cpu", "cuda"))
    for ours, theirs in zip(on_gpu, on_cpu, strict=True):
        assert isinstance(ours, np.ndarray)
        assert (ours == theirs).mean() > 0.95
