import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch

from crosspoint.scene.methods.von_mises_fisher import ClassDistributions, concentration, log_normalizer


def drawn(kappa, dimensions, count, seed=0):
    direction = np.eye(dimensions)[1]
    generator = np.random.default_rng(seed)
    return torch.from_numpy(scipy.stats.vonmises_fisher(direction, kappa).rvs(count, random_state=generator)).float()


@pytest.mark.parametrize("kappa", [20.0, 100.0, 300.0])
def test_moving_means_recover_the_concentration_of_samples(kappa):
    distributions = ClassDistributions(3, 64, decay=0.05)
    for step in range(20):  # far fewer than 1 / decay would need without the correction
        distributions.update(drawn(kappa, 64, 200, step), torch.full((200,), 1))
    directions, found = distributions.parameters_of_classes()
    assert float(found[1]) == pytest.approx(kappa, rel=0.1)
    assert float(directions[1, 1]) == pytest.approx(1.0, abs=0.01)
    assert found[0] == found[2] == 0


def test_the_published_form_without_correction_is_as_short_as_told():
    corrected, published = (ClassDistributions(1, 64, decay=1e-3, bias_correction=c) for c in (True, False))
    features = torch.nn.functional.normalize(torch.ones(1, 64) * 0.9, dim=1) * 0.9
    for _ in range(1000):
        for distributions in (corrected, published):
            distributions.update(features, torch.zeros(1, dtype=torch.int64))
    assert float(corrected.parameters_of_classes()[1]) == pytest.approx(299.3, abs=0.5)
    assert float(published.parameters_of_classes()[1]) == pytest.approx(53.6, abs=0.5)


def test_means_move_as_a_loop_says_and_absent_classes_stay():
    distributions = ClassDistributions(3, 4, decay=0.1, bias_correction=False)
    expected = torch.zeros(3, 4)
    for step in range(5):
        features = torch.nn.functional.normalize(torch.randn(9, 4, generator=torch.manual_seed(step)), dim=1)
        labels = torch.randint(2, (9,), generator=torch.manual_seed(step))
        distributions.update(features, labels)
        for k in labels.unique():
            expected[k] = 0.9 * expected[k] + 0.1 * features[labels == k].mean(dim=0)
    torch.testing.assert_close(distributions.mean, expected)
    assert distributions.mean[2].eq(0).all() and int(distributions.steps) == 5


@pytest.mark.parametrize("dimensions", [16, 64, 128])
def test_normalizers_are_those_of_scipy(dimensions):
    kappa = np.array([0.01, 1.0, 30.0, 300.0, 5000.0])
    order = dimensions / 2 - 1
    log_bessel = np.log(scipy.special.ive(order, kappa)) + kappa
    expected = order * np.log(kappa) - dimensions / 2 * np.log(2 * np.pi) - log_bessel
    np.testing.assert_allclose(log_normalizer(torch.from_numpy(kappa), dimensions), expected, rtol=2e-5)


def test_the_loss_is_the_likelihood_of_scipy_and_teaches_features_alone():
    distributions = ClassDistributions(3, 16, decay=1.0)
    known = [drawn(40.0, 16, 50, seed) for seed in (0, 1)]
    distributions.update(torch.cat(known), torch.tensor([0] * 50 + [1] * 50))
    features = drawn(10.0, 16, 30, 2).requires_grad_()
    labels = torch.tensor([0] * 10 + [1] * 15 + [2] * 5)  # class 2 has no mean yet, and is left out
    loss = distributions.negative_log_likelihood(features, labels)
    directions, kappa = distributions.parameters_of_classes()
    parts = [
        -scipy.stats.vonmises_fisher(directions[k].double().numpy(), float(kappa[k]))
        .logpdf(torch.nn.functional.normalize(features[labels == k].detach().double(), dim=1).numpy())
        .mean()
        for k in (0, 1)
    ]
    assert float(loss.detach()) == pytest.approx(np.mean(parts), rel=1e-4)
    (gradient,) = torch.autograd.grad(loss, features)
    torch.testing.assert_close(gradient[:10], (-kappa[0] * directions[0] / 10 / 2).expand(10, -1))
    assert gradient[25:].eq(0).all() and not list(distributions.parameters())


def test_concentrations_of_published_lengths():
    assert float(concentration(torch.tensor(0.632), 64)) == pytest.approx(67, abs=0.5)
    assert float(concentration(torch.tensor(0.9), 64)) == pytest.approx(299, abs=0.5)
