import numpy as np
import pytest
from sklearn.decomposition import PCA, TruncatedSVD

from crosspoint.scene.viz.principal_axes import DARKEST, component_colors, principal_axes
from crosspoint.scene.viz.similarity import unit_features


@pytest.fixture
def features():
    """(600, 12), of length 1, whose components are skewed and hold different shares."""
    rng = np.random.default_rng(0)
    rows = rng.exponential(1 / np.arange(1, 13), (600, 12)) @ turn(12, seed=1) + 0.2
    return unit_features(rows.astype(np.float32))


def turn(size, seed=0):
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(size, size)))[0]


def test_components_are_those_of_scikit_learn_up_to_their_sign(features):
    expected = PCA(5, svd_solver="full").fit(features.astype(np.float64))
    centered = features - features.mean(axis=0, dtype=np.float64)
    axes, shares = principal_axes(centered, 5)
    scores, oracle = centered @ axes, expected.transform(features.astype(np.float64))
    np.testing.assert_allclose(scores * np.sign((scores * oracle).sum(axis=0)), oracle, atol=1e-9)
    np.testing.assert_allclose(shares, expected.explained_variance_ratio_, rtol=1e-9)
    np.testing.assert_allclose(axes.T @ axes, np.eye(5), atol=1e-12)


def test_without_the_mean_taken_off_they_are_singular_vectors(features):
    """scikit-learn's truncated SVD gives the same dot products of the rows."""
    axes, shares = principal_axes(features, 4)
    short = features.astype(np.float64) @ axes
    oracle = TruncatedSVD(4, algorithm="arpack").fit_transform(features.astype(np.float64))
    np.testing.assert_allclose(short @ short.T, oracle @ oracle.T, atol=1e-9)
    np.testing.assert_allclose(shares.sum(), (short**2).sum() / (features.astype(np.float64) ** 2).sum())


def test_fewer_columns_than_asked_for_and_zeros_have_axes_too():
    axes, shares = principal_axes(np.zeros((5, 2)), 3)
    assert axes.shape == (2, 2) and shares.tolist() == [0, 0]


def test_colors_are_the_components_between_percentiles(features):
    """Point by point from scikit-learn's components; the long tail of each is bright."""
    found, share = component_colors(features)
    oracle = PCA(3, svd_solver="full").fit(features.astype(np.float64))
    assert share == pytest.approx(oracle.explained_variance_ratio_.sum())
    for channel, scores in enumerate(oracle.transform(features.astype(np.float64)).T):
        scores = scores if (scores**3).sum() > 0 else -scores
        low, high = np.percentile(scores, [2, 98])
        for score, color in zip(scores, found[:, channel].tolist(), strict=True):
            place = min(max((score - low) / (high - low), 0), 1)
            assert color == pytest.approx(DARKEST + (255 - DARKEST) * place, abs=0.501)
        assert min((found[:, channel] == 255).sum(), (found[:, channel] == DARKEST).sum()) >= 12  # 2 % of 600


def test_turning_or_mirroring_the_feature_space_changes_no_color(features):
    expected, share = component_colors(features)
    for seed in range(4):
        turned, kept = component_colors((features.astype(np.float64) @ turn(12, seed)).astype(np.float32))
        assert np.abs(turned.astype(int) - expected).max() <= 1
        assert kept == pytest.approx(share, abs=1e-6)
    np.testing.assert_array_equal(component_colors(-features)[0], expected)


def test_constant_and_absent_components_are_halfway(features):
    half = round(DARKEST + (255 - DARKEST) / 2)
    alone, share = component_colors(np.ones((7, 1), dtype=np.float32))
    assert (np.abs(alone.astype(int) - half) <= 1).all() and share == 0
    angles = np.linspace(0, 2, 300)
    circle = np.zeros((300, 6), dtype=np.float32)
    circle[:, 0], circle[:, 1] = np.cos(angles), np.sin(angles)
    colors, share = component_colors(circle)
    assert np.ptp(colors[:, :2].astype(int), axis=0).tolist() == [255 - DARKEST] * 2
    assert (np.abs(colors[:, 2].astype(int) - half) <= 1).all() and share == pytest.approx(1)
