from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from crosspoint.scene.data.visible_points import find_visible, sample_bilinear


def batch(pair_point: list[int], points: int = 6) -> SimpleNamespace:
    count = len(pair_point)
    return SimpleNamespace(
        points=torch.zeros(points, 3),
        pair_point=torch.tensor(pair_point, dtype=torch.int64),
        pair_image=10 + torch.arange(count),
        pair_pixel=torch.arange(2.0 * count).view(count, 2),
    )


def test_a_point_counts_at_its_first_pair_and_not_at_all_without_one() -> None:
    seen = find_visible(batch([4, 1, 4, 0, 1]), torch.tensor([5, 1, 4, 4, 2, 0]))
    assert seen.samples.tolist() == [1, 2, 3, 5]
    assert seen.images.tolist() == [11, 10, 10, 13]
    assert seen.pixels.tolist() == [[2, 3], [0, 1], [0, 1], [6, 7]]


def test_without_pairs_nothing_is_seen() -> None:
    assert [len(part) for part in find_visible(batch([]), torch.tensor([0, 3]))] == [0, 0, 0]


@pytest.mark.parametrize("cells", [(3, 5), (1, 4), (1, 1)])
def test_equals_grid_sample_image_by_image(cells: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    size = (70, 150)
    maps = torch.randn(4, 6, *cells, generator=generator, dtype=torch.float64)
    images = torch.randint(4, (300,), generator=generator)
    pixels = torch.rand(300, 2, generator=generator, dtype=torch.float64) * torch.tensor([150.0, 70.0])
    found = sample_bilinear(maps, images, pixels, size)
    grid = pixels / torch.tensor([75.0, 35.0]) - 1
    for p in range(300):
        one = maps[images[p] : images[p] + 1]
        expected = F.grid_sample(one, grid[p].view(1, 1, 1, 2), align_corners=False, padding_mode="border")
        torch.testing.assert_close(found[p], expected.flatten())


def test_a_map_of_coordinates_gives_coordinates() -> None:
    x, y = torch.arange(5) * 32.0 + 16, torch.arange(3) * 32.0 + 16
    maps = torch.stack([x.expand(3, 5), y.unsqueeze(1).expand(3, 5)]).unsqueeze(0)
    pixels = torch.rand(100, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([128.0, 64.0]) + 16
    found = sample_bilinear(maps, torch.zeros(100, dtype=torch.int64), pixels, (96, 160))
    torch.testing.assert_close(found, pixels)


def test_gradients_are_those_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(0)
    maps = torch.randn(2, 3, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    pixels = 60 * torch.rand(7, 2, generator=generator, dtype=torch.float64)
    images = torch.tensor([0, 1, 1, 0, 1, 0, 0])
    assert torch.autograd.gradcheck(lambda m: sample_bilinear(m, images, pixels, (64, 96)), (maps,))
