from __future__ import annotations

import math

import pytest
import torch

from crosspoint.scene.data.similarity_augmentation import SimilarityAugmentation

IDENTITY = SimilarityAugmentation(rotation=0, scale=(1, 1), flip=0)


def positions(batch: int = 200, size: int = 50) -> torch.Tensor:
    return (2 * torch.rand(batch, size, 3, generator=torch.Generator().manual_seed(0)) - 1) * 70


def test_the_way_back_restores_positions_to_a_hundredth_of_a_millimeter() -> None:
    there = SimilarityAugmentation(translation=2.0).draw(200, torch.Generator().manual_seed(1))
    moved = there.apply(positions())
    assert moved.dtype == torch.float32
    assert (moved - positions()).norm(dim=2).mean() > 10
    torch.testing.assert_close(there.restore(moved), positions(), rtol=0, atol=1e-5)


def test_nothing_drawn_changes_nothing() -> None:
    there = IDENTITY.draw(200, torch.Generator().manual_seed(1))
    assert torch.equal(there.apply(positions()), positions())


def test_draws_are_of_the_named_distributions_and_stay_upright() -> None:
    """Angle, factor and mirror are read off what happens to the unit vectors."""
    draw = SimilarityAugmentation(rotation=60, scale=(0.5, 2.0), translation=3.0, flip=0.25).draw
    there = draw(20000, torch.Generator().manual_seed(2))
    x, y, z = there.matrix.unbind(dim=2)
    scale = x.norm(dim=1)
    for axis in (y, z):
        torch.testing.assert_close(axis.norm(dim=1), scale)
    assert torch.equal(z[:, :2], torch.zeros(20000, 2, dtype=torch.float64)) and (z[:, 2] > 0).all()
    mirrored = torch.linalg.det(there.matrix) < 0
    angle = torch.rad2deg(torch.atan2(torch.where(mirrored, -1, 1) * x[:, 1], x[:, 0]))
    assert abs(mirrored.double().mean() - 0.25) < 0.01
    for values, low, high in ((angle, -60, 60), (scale, 0.5, 2.0)):
        assert low <= values.min() < low + 0.01 * (high - low) and high - 0.01 * (high - low) < values.max() <= high
        assert abs(values.mean() - (low + high) / 2) < 0.02 * (high - low)
        assert abs(values.std() - (high - low) / math.sqrt(12)) < 0.01 * (high - low)
    torch.testing.assert_close(there.shift.std(dim=0), torch.full((3,), 3.0, dtype=torch.float64), rtol=0, atol=0.05)


def test_the_defaults_are_the_published_ones() -> None:
    assert SimilarityAugmentation() == SimilarityAugmentation(rotation=90, scale=(0.75, 1.25), translation=0, flip=0.5)
    there = SimilarityAugmentation().draw(100, torch.Generator().manual_seed(0))
    assert (there.shift == 0).all()


def test_the_generator_decides() -> None:
    one, same = (SimilarityAugmentation().draw(3, torch.Generator().manual_seed(4)).matrix for _ in range(2))
    assert torch.equal(one, same) and not torch.equal(one[0], one[1])


@pytest.mark.parametrize(
    "numbers", [{"scale": (0.0, 1.0)}, {"scale": (2.0, 1.0)}, {"rotation": 181}, {"translation": -1}, {"flip": 1.1}]
)
def test_numbers_that_make_no_sense_are_named(numbers: dict) -> None:
    with pytest.raises(ValueError, match=r"found .*expected"):
        SimilarityAugmentation(**numbers)
