import math

import numpy as np
import pytest
from sklearn.decomposition import TruncatedSVD
from sklearn.metrics.pairwise import cosine_similarity

from crosspoint.scene.viz.similarity import cosines, reduced, reduction_error, unit_features


@pytest.fixture
def features():
    """(400, 20) of several lengths, in few directions and some noise; one is zeros."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 20)) + 0.3 * rng.normal(size=(400, 20)) + 1
    rows *= rng.uniform(0.1, 10, (400, 1))
    rows[17] = 0
    return rows.astype(np.float32)


def loop(first, second):
    dot = sum(a * b for a, b in zip(first, second, strict=True))
    lengths = math.sqrt(sum(a * a for a in first) * sum(b * b for b in second))
    return dot / lengths if lengths > 0 else 0.0


def test_cosines_are_those_of_a_loop(features):
    rows = features.astype(np.float64).tolist()
    for chosen in (0, 5, 399):
        expected = [loop(row, rows[chosen]) for row in rows]
        np.testing.assert_allclose(cosines(features, chosen), expected, atol=1e-6)
    assert cosines(features, 3)[17] == 0 and cosines(features, 3)[3] == pytest.approx(1)


def test_units_have_length_1_and_zeros_stay(features):
    lengths = np.linalg.norm(unit_features(features), axis=1)
    np.testing.assert_allclose(np.delete(lengths, 17), 1, atol=1e-6)
    assert lengths[17] == 0 and unit_features(features).dtype == np.float32


def test_all_dimensions_lose_only_what_a_byte_rounds(features):
    rows = reduced(unit_features(features))
    assert rows.shape == (400, 20) and rows.dtype == np.int8
    assert set(np.abs(np.delete(rows, 17, axis=0).astype(int)).max(axis=1)) == {127}
    assert not rows[17].any()
    np.testing.assert_allclose(cosine_similarity(rows), cosine_similarity(features), atol=0.02)


def test_few_dimensions_keep_what_a_truncated_svd_keeps(features):
    units = unit_features(features)
    kept = TruncatedSVD(5, algorithm="arpack").fit_transform(units.astype(np.float64))
    rows = reduced(units, 5)
    assert rows.shape == (400, 5)
    np.testing.assert_allclose(cosine_similarity(rows), cosine_similarity(kept), atol=0.02)


def test_more_dimensions_are_nearer_to_the_features(features):
    units = unit_features(features)
    errors = [reduction_error(units, reduced(units, dimensions)) for dimensions in (1, 3, 6, 20)]
    assert errors == sorted(errors, reverse=True) and errors[-1] < 0.003 < 0.05 < errors[0]


def test_the_error_is_the_mean_over_points_that_are_spread_evenly(features):
    units = unit_features(features)[:90]
    rows = reduced(units, 3)
    asked = sorted({(90 - 1) * place // 63 for place in range(64)})
    expected = np.abs(cosine_similarity(rows) - cosine_similarity(units))[asked].mean()
    assert reduction_error(units, rows) == pytest.approx(expected, abs=1e-6)
    assert reduction_error(units[:5], units[:5]) == pytest.approx(0, abs=1e-6)


def test_turning_the_feature_space_changes_no_cosine_of_reduced_features(features):
    units = unit_features(features)
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(20, 20)))[0]
    turned = reduced((units @ turn).astype(np.float32), 6)
    np.testing.assert_allclose(cosine_similarity(turned), cosine_similarity(reduced(units, 6)), atol=0.02)
