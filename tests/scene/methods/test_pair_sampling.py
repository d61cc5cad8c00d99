import numpy as np
import pytest
import torch
from scipy.stats import gaussian_kde

from crosspoint.scene.methods import pair_sampling
from crosspoint.scene.methods.pair_sampling import balanced_sample, density


def test_densities_are_those_of_gaussian_kernels(monkeypatch):
    monkeypatch.setattr(pair_sampling, "ROWS", 50)  # blocks of one or two values
    ranges = (torch.rand(400, generator=torch.manual_seed(0)).double() ** 2 * 30).floor()
    found = density(ranges)
    bandwidth = 1.06 * ranges.std() * 400**-0.2
    slow = [
        torch.exp(-0.5 * ((r - ranges) / bandwidth) ** 2).sum() / (400 * bandwidth * (2 * torch.pi) ** 0.5)
        for r in ranges
    ]
    torch.testing.assert_close(found, torch.stack(slow))
    theirs = gaussian_kde(ranges.numpy(), bw_method=float(1.06 * 400**-0.2))
    np.testing.assert_allclose(found, theirs(ranges.numpy()), rtol=1e-9)
    assert density(torch.full((5,), 3.0)).eq(1).all()


def test_memory_grows_with_different_values_and_not_with_pairs():
    ranges = torch.arange(200.0).repeat(5000)  # a million pairs: a square matrix would take 4 TB
    assert density(ranges).shape == (1_000_000,)


def test_classes_that_overlap_in_range_come_equally_often():
    generator = torch.Generator().manual_seed(0)
    labels = torch.cat([torch.full((n,), k) for k, n in enumerate((9000, 900, 300))])
    ranges = (torch.rand(len(labels), generator=generator) * 40).floor()
    drawn = labels[balanced_sample(ranges, labels, 300, generator)]
    shares = torch.bincount(drawn) / 300
    assert (shares - 1 / 3).abs().max() < 0.12


def test_ranges_come_equally_often():
    generator = torch.Generator().manual_seed(0)
    ranges = (torch.rand(20000, generator=generator) ** 3 * 50).floor()
    drawn = ranges[balanced_sample(ranges, torch.zeros(20000, dtype=torch.int64), 1000, generator)]
    near, far = float((ranges < 10).float().mean()), float((drawn < 10).float().mean())
    assert near > 0.55 and far < 0.35


def test_chances_are_those_of_the_formula():
    ranges, labels = torch.tensor([0.0, 0, 0, 4, 9]), torch.tensor([0, 0, 1, 1, 1])
    odds = 1 / (density(ranges) * torch.bincount(labels)[labels])
    generator = torch.Generator().manual_seed(1)
    drawn = torch.cat([balanced_sample(ranges, labels, 1, generator) for _ in range(4000)])
    shares = torch.bincount(drawn, minlength=5) / 4000
    torch.testing.assert_close(shares, (odds / odds.sum()).float(), atol=0.03, rtol=0)


@pytest.mark.parametrize("count", [5, 50])
def test_no_pair_is_drawn_twice(count):
    ranges, labels = torch.arange(20.0), torch.arange(20) % 3
    drawn = balanced_sample(ranges, labels, count, torch.Generator().manual_seed(0))
    assert len(drawn) == len(drawn.unique()) == min(count, 20)
