import pytest

from crosspoint.scene.viz.grid import image_grid


def areas(views, size, width, height):
    """Inches of an image's width in each number of columns, by making it smaller until all fit."""
    found = []
    for columns in range(1, min(views, 3) + 1):
        wide = width / columns
        while -(-views // columns) * (wide * size[0] / size[1] + 0.3) > height + 1e-9:
            wide -= 0.001
        found.append(wide)
    return found


@pytest.mark.parametrize(
    ("views", "size", "width", "expected"),
    [
        (1, (375, 1242), 15, 1),  # KITTI
        (2, (375, 1242), 15, 1),
        (3, (192, 640), 15, 2),  # one above the other they were 5 % larger, and half of the paper empty
        (6, (900, 1600), 15, 3),  # nuScenes
        (6, (900, 1600), 7.5, 2),
        (6, (192, 640), 15, 2),  # the embedded world: wide, and many
        (1, (1200, 1900), 7.5, 1),
    ],
)
def test_images_are_as_large_as_the_paper_allows(views, size, width, expected):
    columns, height = image_grid(views, size, width, 8)
    assert columns == expected
    large = areas(views, size, width, 8)
    assert large[columns - 1] >= 0.9 * max(large) - 0.002
    assert all(wide < 0.9 * max(large) for wide in large[columns:])
    assert height <= 8
    if height < 8:  # the width was the limit
        assert height == pytest.approx(-(-views // columns) * (width / columns * size[0] / size[1] + 0.3))
