from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from crosspoint import DGCNN, CrossPoint
from crosspoint.checkpoints import ENCODER_KEY
from crosspoint.encoders import encoder_config
from crosspoint.images import ImageEncoder


@pytest.fixture
def write_checkpoint() -> Callable[..., CrossPoint]:
    """Writes a checkpoint as `crosspoint pretrain` does, with statistics of BatchNorm that are not the initial ones."""

    def write(path: Path, seed: int = 0) -> CrossPoint:
        torch.manual_seed(seed)
        method = CrossPoint(DGCNN(k=4, channels=[8], embedding=8), ImageEncoder("resnet18"), projection=16)
        for module in method.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.running_var.uniform_(0.5, 2.0)
                module.running_mean.normal_()
        weights = {f"method.{name}": tensor for name, tensor in method.state_dict().items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save({"state_dict": weights, ENCODER_KEY: asdict(encoder_config(method.encoder))}, path)
        return method.eval()

    return write
