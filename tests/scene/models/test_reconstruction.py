from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from crosspoint.scene.models.masked_images import MaskConfig, black_out, draw_masks
from crosspoint.scene.models.orthogonality import orthogonality
from crosspoint.scene.models.reconstruction import Reconstruction, check_stride, replace_masked


def test_masks_are_whole_patches_of_some_images() -> None:
    images = torch.randint(1, 256, (400, 3, 40, 56), dtype=torch.uint8)
    everywhere = torch.get_rng_state()
    masks = draw_masks(images, MaskConfig(probability=0.6, share=0.3, patch=16), torch.Generator().manual_seed(0))
    assert torch.equal(torch.get_rng_state(), everywhere)
    assert masks.shape == (400, 40, 56) and masks.dtype == torch.bool
    assert torch.equal(masks, masks[:, ::16, ::16].repeat_interleave(16, 1).repeat_interleave(16, 2)[:, :40, :56])
    changed = masks.flatten(1).any(dim=1)  # 12 patches: 1.4 % of masked images have none
    assert abs(int(changed.sum()) - 240) < 5 * math.sqrt(400 * 0.24)
    patches = masks[changed][:, ::16, ::16].float()
    assert abs(patches.mean().item() - 0.3) < 5 * math.sqrt(0.21 / patches.numel()) + 0.01
    dark = black_out(images, masks)
    assert torch.equal(dark.amax(dim=1) == 0, masks)
    assert torch.equal(dark[~masks[:, None].expand_as(dark)], images[~masks[:, None].expand_as(dark)])
    assert not draw_masks(images, MaskConfig(probability=0.0), torch.Generator()).any()
    assert draw_masks(images, MaskConfig(probability=1.0, share=1.0), torch.Generator()).all()


def test_masked_cells_take_the_mean_of_their_points() -> None:
    torch.manual_seed(0)
    pixels = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    points = torch.randn(6, 3, dtype=torch.float64, requires_grad=True)
    masked = torch.tensor([True, False, True, True, False, False, True, False, False])
    row, cell = torch.tensor([0, 1, 1, 2, 3, 4, 5, 5]), torch.tensor([0, 0, 2, 4, 4, 6, 6, 8])
    rows = []
    for c in range(9):
        seen = [points[int(p)] for p, at in zip(row, cell, strict=True) if int(at) == c]
        rows.append(torch.stack(seen).mean(dim=0) if masked[c] and seen else pixels[c])
    expected, found = torch.stack(rows), replace_masked(pixels, masked, points, row, cell)
    torch.testing.assert_close(found, expected)
    grad = torch.randn(9, 3, dtype=torch.float64)
    ours, theirs = (torch.autograd.grad(x, [pixels, points], grad) for x in (found, expected))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other)
    assert not ours[1][2:4].any()  # points that no masked cell shows


def test_without_masked_points_all_networks_still_take_part() -> None:
    pixels, points = torch.randn(4, 3, requires_grad=True), torch.randn(2, 3, requires_grad=True)
    found = replace_masked(pixels, torch.zeros(4).bool(), points, torch.tensor([1]), torch.tensor([2]))
    found.sum().backward()
    assert torch.equal(found, pixels) and points.grad is not None and not points.grad.any()


def test_the_decoder_is_the_published_one_and_compares_with_whole_images() -> None:
    head = Reconstruction(64)
    sizes = [tuple(layer.weight.shape) for layer in head.layers if hasattr(layer, "weight")]
    assert sizes == [(32, 64, 3, 3), (16, 32, 3, 3), (3, 16, 3, 3)]
    images = torch.randint(0, 256, (2, 3, 8, 12), dtype=torch.uint8)
    for stride in (1, 2, 4):
        features = torch.randn(2, 64, 8 // stride, 12 // stride)
        guess, slow = head(features), torch.zeros(())
        assert guess.min() > 0 and guess.max() < 1
        for y in range(8 // stride):
            for x in range(12 // stride):
                part = images[:, :, y * stride : (y + 1) * stride, x * stride : (x + 1) * stride]
                slow = slow + (guess[:, :, y, x] - part.float().mean(dim=(2, 3)) / 255).square().sum()
        torch.testing.assert_close(head.loss(features, images), slow / guess.numel())


def test_orthogonality_is_its_formula() -> None:
    torch.manual_seed(0)
    shared = F.normalize(torch.randn(20, 4, dtype=torch.float64), dim=1).requires_grad_()
    specific = (3 * torch.randn(20, 4, dtype=torch.float64)).requires_grad_()
    slow = torch.zeros((), dtype=torch.float64)
    for i in range(4):
        for j in range(4):
            slow = slow + sum(f[i] * g[j] / g.norm() for f, g in zip(shared, specific, strict=True)) ** 2
    expected, found = slow.sqrt() / 16, orthogonality(shared, specific)
    torch.testing.assert_close(found, expected)
    for one, other in zip(*(torch.autograd.grad(x, [shared, specific]) for x in (found, expected)), strict=True):
        torch.testing.assert_close(one, other)
    rows = torch.eye(4)
    assert orthogonality(rows[:2], rows[2:]).item() == pytest.approx(math.sqrt(2) / 16)
    assert orthogonality(torch.cat([rows, rows]), torch.cat([rows, -rows])).item() == 0


@pytest.mark.parametrize("wrong", [{"probability": 1.5}, {"share": -0.1}, {"patch": 0}])
def test_masks_out_of_range_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"found .* expected"):
        MaskConfig(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("stride", "size", "patch"), [(0, (8, 8), 16), (3, (9, 9), 16), (4, (6, 8), 16), (4, (8, 8), 2)]
)
def test_strides_that_do_not_divide_are_refused(stride: int, size: tuple[int, int], patch: int) -> None:
    with pytest.raises(ValueError, match=f"found reconstruction_stride {stride} with images of"):
        check_stride(stride, size, patch)
