from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from crosspoint import DGCNN, CrossPoint, save_encoder
from crosspoint.checkpoints.dual_encoder import load_dual_encoder, trained_image_size


def test_branches_are_those_of_the_checkpoint(tmp_path: Path, write_checkpoint: Callable[..., CrossPoint]) -> None:
    method = write_checkpoint(tmp_path / "last.ckpt")
    branches = load_dual_encoder(tmp_path / "last.ckpt")
    points, images = torch.rand(3, 20, 3), torch.rand(3, 3, 24, 24)
    with torch.inference_mode():
        assert torch.equal(branches.clouds(points), method.head(method.encoder(points)))
        expected = method.image_head(method.image_encoder(images))  # type: ignore[misc]
        torch.testing.assert_close(branches.images(images), expected)
        random = load_dual_encoder(tmp_path / "last.ckpt", seed=1)
        assert not torch.allclose(random.images(images), expected)
        assert torch.equal(random.images(images), load_dual_encoder(tmp_path / "last.ckpt", seed=1).images(images))
    save_encoder(DGCNN(k=4, channels=[8, 8], embedding=8), tmp_path / "export.safetensors")
    with pytest.raises(ValueError, match=r"found no image branch in .* give a checkpoint"):
        load_dual_encoder(tmp_path / "export.safetensors")
    assert trained_image_size(tmp_path / "export.safetensors") is None
    assert trained_image_size(tmp_path / "last.ckpt") == 224
