import numpy as np
import pytest

from crosspoint.eval.report.palette import CHROMA, LIGHTNESS, MARKERS, oklab, palette


def in_oklab(colors):
    return oklab(np.array([[int(color[start : start + 2], 16) for start in (1, 3, 5)] for color in colors]))


def test_oklab_of_known_colors():
    known = {
        (255, 255, 255): (1, 0, 0),
        (255, 0, 0): (0.62796, 0.22486, 0.12585),
        (0, 0, 255): (0.45201, -0.03246, -0.31153),
    }
    np.testing.assert_allclose(oklab(np.array(list(known))), list(known.values()), atol=1e-4)


@pytest.mark.parametrize("count", [1, 8, 40, 55])
def test_colors_are_legible_and_a_longer_palette_begins_with_the_shorter(count):
    colors = palette(count)
    assert len(colors) == len(set(colors)) == count
    assert colors == palette(55)[:count]
    lab = in_oklab(colors)
    chroma = np.hypot(lab[:, 1], lab[:, 2])
    assert (lab[:, 0] >= LIGHTNESS[0]).all() and (lab[:, 0] <= LIGHTNESS[1]).all()
    assert (chroma >= CHROMA[0]).all() and (chroma <= CHROMA[1]).all()


def test_forty_classes_are_told_apart():
    lab = in_oklab(palette(40))
    distance = np.linalg.norm(lab[:, None] - lab, axis=2) + np.eye(40)
    same_marker = np.arange(40)[:, None] % len(MARKERS) == np.arange(40) % len(MARKERS)
    assert distance.min() > 0.07  # a just noticeable difference is about 0.02
    assert distance[same_marker].min() > 0.14
