from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from crosspoint.eval.panoptic.birdseye_unet import BirdsEyeUNet, enlarge


def network(circular: bool = True, drop: float = 0.0, widths: tuple[int, ...] = (4, 6, 8)) -> BirdsEyeUNet:
    torch.manual_seed(0)
    return BirdsEyeUNet(3, widths, drop=drop, circular=circular)


def test_maps_have_the_size_of_the_cells_whatever_halving_rounds_off() -> None:
    for size in ((16, 24), (13, 9), (4, 5)):
        heat, offset = network().eval()(torch.randn(2, 3, *size))
        assert heat.shape == (2, *size) and offset.shape == (2, 2, *size)


def test_widths_of_the_default_are_those_of_the_publication() -> None:
    """In and out of every stage of the decoder, as the public code of Panoptic-PolarNet names them."""
    made = BirdsEyeUNet(64)
    firsts = [stage.get_submodule("convolutions.1") for part in (made.up, made.center, made.offset) for stage in part]
    shapes = [(layer.in_channels, layer.out_channels) for layer in firsts if isinstance(layer, nn.Conv2d)]
    assert shapes == [(1024, 256), (512, 128), (256, 64), (128, 32), (256, 64), (128, 32)]


def test_only_a_circular_network_turns_with_the_cells() -> None:
    cells = torch.randn(1, 3, 8, 16)
    for circular in (True, False):
        made = network(circular).eval()
        same = [
            torch.allclose(a.roll(4, dims=-1), b, atol=1e-5)
            for a, b in zip(made(cells), made(cells.roll(4, dims=-1)), strict=True)
        ]
        assert same == [circular, circular]


def test_inside_maps_are_enlarged_as_pytorch_enlarges_them() -> None:
    maps = torch.randn(1, 2, 5, 6)
    expected = F.interpolate(maps, (11, 13), mode="bilinear")
    assert torch.equal(enlarge(maps, (11, 13), circular=False), expected)
    found = enlarge(maps, (11, 13), circular=True)
    torch.testing.assert_close(found[..., 2:-2], expected[..., 2:-2])
    wide = F.interpolate(torch.cat([maps] * 3, dim=3), (11, 39), mode="bilinear")
    torch.testing.assert_close(found, wide[..., 13:26])


def test_blocks_are_dropped_in_training_alone() -> None:
    made = network(drop=0.5)
    cells = torch.randn(1, 3, 16, 16)
    made.eval()
    assert torch.equal(made(cells)[0], made(cells)[0])
    made.train()
    assert not torch.equal(made(cells)[0], made(cells)[0])


def test_the_two_maps_share_no_weight_of_the_last_stages() -> None:
    made = network(widths=(4, 6, 8, 8))
    made(torch.randn(1, 3, 16, 16))[0].sum().backward()
    assert all(weight.grad is None for weight in made.offset.parameters())
    assert all(weight.grad is not None for part in (made.up, made.center, made.down) for weight in part.parameters())


def test_widths_must_be_there() -> None:
    with pytest.raises(ValueError, match="found no widths"):
        BirdsEyeUNet(3, ())
