from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint import CrossPoint
from crosspoint.checkpoints.dual_encoder import load_dual_encoder
from crosspoint.datasets.labeled import labeled_clouds
from crosspoint.eval.protocols.crossmodal import retrieve_modalities
from crosspoint.renderers import RenderedSet

POINTS = 40  # of every shape of `views`


def test_views_and_shapes_seek_each_other(
    tmp_path: Path, views: Path, write_checkpoint: Callable[..., CrossPoint]
) -> None:
    method = write_checkpoint(tmp_path / "last.ckpt")
    clouds, rendered = labeled_clouds("rendered", views, "test", points=POINTS), RenderedSet(views, "test")
    result, projected = retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, rendered)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    assert method.image_encoder is not None and method.image_head is not None
    branch = torch.nn.Sequential(method.image_encoder, method.image_head)
    ranks = []
    with torch.inference_mode():
        shapes = torch.nn.functional.normalize(method.head(method.encoder(torch.from_numpy(clouds.points))))
        for index in range(len(clouds)):
            for view in range(2):
                image = (rendered.images(index, [view]).float() / 255).permute(0, 2, 3, 1)
                image = ((image - mean) / deviation).permute(0, 3, 1, 2)
                projection = branch(image)[0]
                np.testing.assert_allclose(projected.images[2 * index + view], projection, rtol=1e-3, atol=1e-4)
                asked = torch.nn.functional.normalize(projection, dim=0)
                cosines = shapes @ asked
                ranks.append(1 + int((cosines > cosines[index]).sum()))
    assert result.metrics["image_to_shape_object_mAP"] == pytest.approx(100 * np.mean([1 / rank for rank in ranks]))
    assert (result.constants["views"], result.constants["image_size"], result.constants["images"]) == (2, 24, 24)
    one, _ = retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, rendered, views=1, image_size=16)
    assert (one.constants["images"], one.constants["image_size"]) == (12, 16)
    with pytest.raises(ValueError, match="found 3 views, expected 1 to 2"):
        retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, rendered, views=3)
    with pytest.raises(ValueError, match=r"found 12 clouds of rendered \(test\), expected the 12 of .* \(train\)"):
        retrieve_modalities(load_dual_encoder(tmp_path / "last.ckpt"), clouds, RenderedSet(views, "train"))


def test_views_are_projected_on_one_thread_whatever_there_are(
    tmp_path: Path, views: Path, write_checkpoint: Callable[..., CrossPoint]
) -> None:
    write_checkpoint(tmp_path / "last.ckpt")
    branches, seen = load_dual_encoder(tmp_path / "last.ckpt"), []
    branches.images.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
    clouds, rendered = labeled_clouds("rendered", views, "test", points=POINTS), RenderedSet(views, "test")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        retrieve_modalities(branches, clouds, rendered)
        assert (seen, torch.get_num_threads()) == ([1] * len(rendered), 2)
    finally:
        torch.set_num_threads(threads)
