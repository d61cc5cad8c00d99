import pytest
import torch
import torch.nn.functional as F

from crosspoint.scene.ops.upsampling import upsample, upsampled_at, upsampled_means

SHAPES = [((7, 13), (224, 416)), ((14, 26), (56, 104)), ((3, 5), (31, 40)), ((1, 4), (1, 9)), ((5, 5), (5, 5))]


def drawn_maps(shape, generator):
    return torch.randn(3, 6, *shape, generator=generator, dtype=torch.float64, requires_grad=True)


def test_corner_pixels_see_corner_nodes():
    maps = torch.randn(2, 4, 3, 5, generator=torch.manual_seed(0))
    pixels = upsample(maps, (30, 50))
    for y, x in [(0, 0), (0, -1), (-1, 0), (-1, -1)]:
        torch.testing.assert_close(pixels[:, :, y, x], F.normalize(maps[:, :, y, x], dim=1))


@pytest.mark.parametrize(("nodes", "size"), SHAPES)
def test_features_at_positions_are_those_of_the_upsampled_map(nodes, size):
    generator = torch.manual_seed(1)
    maps = drawn_maps(nodes, generator)
    image = torch.randint(3, (200,), generator=generator)
    pixel = torch.rand(200, 2, generator=generator) * torch.tensor([size[1], size[0]])
    pixel[:2] = torch.tensor([[0.0, 0.0], [size[1] - 1e-3, size[0] - 1e-3]])
    fast = upsampled_at(maps, size, image, pixel)
    x, y = pixel.floor().long().unbind(dim=1)
    slow = upsample(maps, size)[image, :, y, x]
    torch.testing.assert_close(fast, slow)
    weights = torch.randn(fast.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(*(torch.autograd.grad((f * weights).sum(), maps) for f in (fast, slow)), strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("nowhere", [0.0, 0.4, 1.0])
@pytest.mark.parametrize(("nodes", "size"), SHAPES)
def test_means_over_regions_are_those_of_the_upsampled_map(nodes, size, nowhere):
    generator = torch.manual_seed(2)
    maps = drawn_maps(nodes, generator)
    regions = torch.randint(4, (3, *size), generator=generator) * 2  # the odd ones are empty
    regions[torch.rand(regions.shape, generator=generator) < nowhere] = -1
    fast = upsampled_means(maps, regions, 9)
    pixels = upsample(maps, size).permute(0, 2, 3, 1)
    slow = torch.stack(
        [
            torch.stack([p[r == s].mean(dim=0) if (r == s).any() else 0 * p.sum((0, 1)) for s in range(9)])
            for p, r in zip(pixels, regions, strict=True)
        ]
    )
    torch.testing.assert_close(fast, slow, rtol=1e-9, atol=1e-9)
    weights = torch.randn(fast.shape, generator=generator, dtype=torch.float64)
    for ours, theirs in zip(*(torch.autograd.grad((f * weights).sum(), maps) for f in (fast, slow)), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-7, atol=1e-9)


def test_means_hold_in_single_precision():
    generator = torch.manual_seed(3)
    maps = 30 * torch.randn(1, 64, 7, 13, generator=generator)
    regions = torch.randint(50, (1, 224, 416), generator=generator)
    torch.testing.assert_close(
        upsampled_means(maps, regions, 50), upsampled_means(maps.double(), regions, 50).float(), rtol=0, atol=1e-5
    )
