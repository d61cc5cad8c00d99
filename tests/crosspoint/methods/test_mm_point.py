"""MM-Point against its formula, view by view and row by row."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor, nn

from crosspoint import CloudAugmentation, ImageAugmentation, PointNet, load_pretrained
from crosspoint.datasets.pairs import ObjectPair, stack_pairs
from crosspoint.methods.mm_point import MMPoint, level
from crosspoint.models.image_backbone import ImageBackbone
from tests.crosspoint.test_losses import slow_nt_xent
from tests.crosspoint.toys import ToyPairs, toy_run


class Tiles(ImageBackbone):
    """Mean colors of four tiles of an image through one layer, in any precision."""

    def __init__(self) -> None:
        super().__init__()
        self.feature_dim = 6
        self.layer = nn.Linear(12, 6)

    def forward(self, images: Tensor) -> Tensor:
        tiles = nn.functional.adaptive_avg_pool2d(images.to(self.layer.weight.dtype), 2)
        return self.layer(tiles.flatten(1))


def made(views: int = 3, **settings: object) -> MMPoint:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return MMPoint(
            PointNet(embedding=16),
            Tiles(),
            views=views,
            projection=8,
            clouds=CloudAugmentation(points=32),
            images=ImageAugmentation(size=24, crop=(0.5, 1.0)),
            **settings,
        )


def batch(views: int = 3) -> ObjectPair:
    pairs = ToyPairs(views=views)
    return stack_pairs([pairs[index, 7 + index] for index in range(0, 24, 5)])


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, 2.0), (0.0, 1.0)])
def test_equals_the_slow_formula_in_value_and_gradient(weights: tuple[float, float]) -> None:
    method, given = made(temperature=0.2, intra_weight=weights[0], cross_weight=weights[1]).double(), batch()
    given = given._replace(points=given.points.double())
    fast = method.training_step(given, Generator().manual_seed(3))

    draws = Generator().manual_seed(3)
    clouds = torch.cat([method.clouds(given.points, draws), method.clouds(given.points, draws)])
    seen = []
    for view in range(3):
        share = (view + 1) / 3
        weaker = ImageAugmentation(size=24, crop=(1 - 0.5 * share, 1.0), jitter=0.4 * share)
        seen.append(weaker(given.images[:, view], draws))
    features, images = method.encoder(clouds), method.image_encoder(torch.cat(seen)).view(3, 5, -1)
    z = method.head(features)
    intra = slow_nt_xent(z[:5], z[5:], 0.2)
    cross = 0.0
    for view in range(3):
        z = method.view_heads[view](features)
        cross = cross + slow_nt_xent((z[:5] + z[5:]) / 2, method.image_heads[view](images[view]), 0.2) / 3
    slow = weights[0] * intra + weights[1] * cross
    assert torch.allclose(fast["intra"], intra, rtol=1e-9) and torch.allclose(fast["cross"], cross, rtol=1e-9)
    weights_of = [w for w in method.parameters() if w.requires_grad]
    pairs = [torch.autograd.grad(each, weights_of, allow_unused=True) for each in (fast["loss"], slow)]
    for found, expected in zip(*pairs, strict=True):
        if expected is None or found is None:
            assert weights[0] == 0 and (found is None or not found.any())
        else:
            assert torch.allclose(found, expected, rtol=1e-6, atol=1e-10)


def test_levels_grow_to_the_whole_augmentation() -> None:
    whole = ImageAugmentation(size=24, crop=(0.4, 0.8), jitter=0.4, flip=0.3)
    assert level(whole, 1.0).crop == pytest.approx((0.4, 0.8)) and level(whole, 1.0).jitter == 0.4
    half = level(whole, 0.5)
    assert half.crop == pytest.approx((0.7, 0.9)) and half.jitter == 0.2 and half.flip == 0.3
    assert level(ImageAugmentation(), 0.5).crop is None
    method = made(4)
    assert [each.jitter for each in method.levels] == pytest.approx([0.1, 0.2, 0.3, 0.4])


def test_each_view_has_heads_of_its_own() -> None:
    method, given = made(), batch()
    step = method.training_step(given, Generator().manual_seed(0))
    step["loss"].backward()
    for heads in (method.view_heads, method.image_heads):
        assert len(heads) == 3 and all(head[0].weight.grad.any() for head in heads)


def test_a_run_trains_and_leaves_an_encoder(tmp_path: Path) -> None:
    last = toy_run(tmp_path / "run", method=made(2), dataset=ToyPairs(views=2))
    assert load_pretrained(last).config["method"]["class_path"].endswith("MMPoint")
    assert load_pretrained(last).encoder(ToyPairs().points).shape == (24, 16)


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found 1 views of each object in ToyPairs, expected 3, as method\.views"):
        toy_run(tmp_path, method=made(), dataset=ToyPairs())
    with pytest.raises(ValueError, match=r"found 2 views, expected 3: set data\.dataset\.views"):
        made().training_step(batch(2), Generator())
    with pytest.raises(ValueError, match="found no image encoder for MM-Point"):
        MMPoint(PointNet(embedding=16), None)
    with pytest.raises(ValueError, match="found views 0"):
        made(0)
