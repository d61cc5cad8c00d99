from __future__ import annotations

import io

import numpy as np
from PIL import Image

from crosspoint.eval.report.pictures import FAR, NEAR, cloud_picture
from crosspoint.eval.report.query_selection import choose_mapped, choose_queries


def pixels(points: np.ndarray, size: int = 64) -> np.ndarray:
    with Image.open(io.BytesIO(cloud_picture(points, size))) as file:
        assert (file.format, file.mode) == ("PNG", "RGB")
        return np.asarray(file).astype(int)


def test_up_is_up_and_right_is_right() -> None:
    grid = np.zeros((30, 3))
    grid[:, 1] = np.linspace(0, 1, 30)  # a pole
    rows, columns = np.nonzero((pixels(grid) < 255).any(axis=2))
    assert rows.min() <= 2 and rows.max() >= 61  # as large as the picture takes
    assert np.ptp(columns) <= 4
    wall = np.concatenate([grid, grid + np.array([0.5, 0, 0])])
    rows, columns = np.nonzero((pixels(wall) < 255).any(axis=2))
    assert rows[columns > 40].mean() > rows[columns < 24].mean()  # to the right is nearer, so lower from above


def test_near_points_are_dark_and_cover_far_ones() -> None:
    towards = np.array([np.sin(np.deg2rad(35)), np.tan(np.deg2rad(25)), np.cos(np.deg2rad(35))])
    for order in (1, -1):
        image = pixels(np.array([-towards, towards, [-2, 2, 0], [2, -2, 0]])[::order])
        np.testing.assert_array_equal(image[32, 32], NEAR)
        assert not (image == FAR).all(axis=2).any()  # the farthest point is right behind


def test_size_and_place_do_not_matter() -> None:
    points = np.random.default_rng(0).normal(size=(200, 3))
    np.testing.assert_array_equal(pixels(points), pixels(8 * points + 4))
    assert (pixels(np.ones((5, 3))) < 255).any()  # all in one place
    assert pixels(points, 33).shape == (33, 33, 3)


def test_queries_are_of_as_many_classes_as_there_can_be() -> None:
    labels = np.repeat(np.arange(5), [1, 9, 2, 30, 4])
    for seed in range(5):
        chosen = choose_queries(labels, seed)
        assert len({*chosen.tolist()}) == 12
        members = np.bincount(labels[chosen], minlength=5)
        assert members[[0, 2]].tolist() == [1, 2] and members[[1, 3, 4]].tolist() == [3, 3, 3]
        assert len(choose_queries(labels, seed, count=3)) == 3
    assert len({*labels[choose_queries(labels, 0, count=5)].tolist()}) == 5
    assert choose_queries(np.zeros(3, np.int64), 0).tolist() == [0, 1, 2]


def test_maps_take_all_until_there_are_too_many() -> None:
    assert choose_mapped(10, 0).tolist() == list(range(10))
    chosen = choose_mapped(100, 0, most=20)
    assert len({*chosen.tolist()}) == 20 and (np.diff(chosen) > 0).all()
    assert chosen.tolist() != choose_mapped(100, 1, most=20).tolist()
