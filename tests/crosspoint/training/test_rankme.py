import math

import numpy as np
import pytest
import torch

from crosspoint.methods.method import Method
from crosspoint.training.rankme import RankMe, rankme


def test_directions_of_one_length_have_the_rank_of_their_number():
    assert rankme(torch.eye(12)) == pytest.approx(12, rel=1e-4)
    assert rankme(torch.eye(12)[:5]) == pytest.approx(5, rel=1e-3)
    assert rankme(torch.ones(50, 12)) == pytest.approx(1, rel=1e-3)


def test_is_the_exponential_of_the_entropy_of_singular_values():
    features = torch.randn(40, 6, generator=torch.manual_seed(0)) * torch.tensor([1.0, 2, 3, 0.1, 0.01, 5])
    values = np.linalg.svd(features.double().numpy(), compute_uv=False)
    shares = values / values.sum() + 1e-7
    assert rankme(features) == pytest.approx(math.exp(-(shares * np.log(shares)).sum()), rel=1e-4)
    turned = features @ torch.linalg.qr(torch.randn(6, 6, generator=torch.manual_seed(1))).Q
    assert rankme(turned) == pytest.approx(rankme(features), rel=1e-4)


def test_nothing_cannot_be_measured():
    with pytest.raises(ValueError, match=r"found features of shape \(0, 3\), expected \(n, C\)"):
        rankme(torch.zeros(0, 3))


class Doubling(Method):
    """A method that describes numbers by a layer with a dropout, which evaluation turns off."""

    health_samples = 6

    def __init__(self):
        super().__init__()
        self.encoder = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Dropout(0.5))

    def collate(self, samples):
        return torch.stack(samples)

    def describe(self, batch):
        return self.encoder(batch)


class Draws:
    def __getitem__(self, item):
        index, seed = item
        return torch.randn(3, generator=torch.Generator().manual_seed(seed)) + index


def test_a_fixed_batch_is_described_in_evaluation_and_the_mode_is_given_back():
    method, watch = Doubling().train(), RankMe(Draws(), np.arange(5, 30), Doubling(), batch_size=4, seed=1)
    method.encoder[0].eval()
    everywhere = torch.get_rng_state()
    first, second = (watch.measure(method, torch.device("cpu")) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), everywhere)
    assert first == second
    samples = torch.stack([Draws()[item] for item in watch.items])
    assert first == pytest.approx(rankme(method.encoder[0](samples).detach()), rel=1e-5)
    assert len(watch.items) == 6 and all(5 <= index < 30 for index, _ in watch.items)
    assert method.training and method.encoder[1].training and not method.encoder[0].training
    other = RankMe(Draws(), np.arange(5, 30), Doubling(), batch_size=4, seed=2)
    assert other.items != watch.items


def test_methods_that_describe_nothing_are_left_alone():
    class Silent(Doubling):
        def describe(self, batch):
            return None

    assert RankMe(Draws(), np.arange(9), Silent(), batch_size=4, seed=0).measure(Silent(), torch.device("cpu")) is None
