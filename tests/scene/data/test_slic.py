import math

import numpy as np
import pytest
import torch
from scipy.ndimage import label

from benchmarks.superpixels import achievable_accuracy, borders, boundary_recall, renumbered, undersegmentation
from crosspoint.scene.data.slic import join_fragments, reduced_slic, reduction, scikit_image_slic
from crosspoint.scene.data.superpixels import SuperpixelConfig, superpixels

segmentation = pytest.importorskip("skimage.segmentation")


def neighbors(y, x, shape):
    for v, u in ((y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)):
        if 0 <= v < shape[0] and 0 <= u < shape[1]:
            yield v, u


def pieces_of(clusters):
    """Sets of pixels that are connected by their sides, in the order of their first pixels."""
    left, found = {*np.ndindex(clusters.shape)}, []
    for start in np.ndindex(clusters.shape):
        if start not in left:
            continue
        piece, front = {start}, [start]
        left.remove(start)
        while front:
            pixel = front.pop()
            for other in neighbors(*pixel, clusters.shape):
                if other in left and clusters[other] == clusters[pixel]:
                    left.remove(other)
                    piece.add(other)
                    front.append(other)
        found.append(piece)
    return found


def slow_join(clusters, least):
    """Round by round, pixel by pixel."""
    regions = pieces_of(clusters)
    while len(regions) > 1:
        owner = {pixel: number for number, region in enumerate(regions) for pixel in region}
        links = {}
        for number, region in enumerate(regions):
            if len(region) < least:
                shared = {}
                for pixel in region:
                    for other in neighbors(*pixel, clusters.shape):
                        if owner[other] != number:
                            shared[owner[other]] = shared.get(owner[other], 0) + 1
                links[number] = min(shared, key=lambda n: (-shared[n], n))
        if not links:
            break
        group = list(range(len(regions)))
        for one, other in links.items():
            low, high = sorted((group[one], group[other]))
            group = [low if number == high else number for number in group]
        regions = [
            set().union(*(region for region, g in zip(regions, group, strict=True) if g == number))
            for number in sorted({*group})
        ]
    joined = np.empty(clusters.shape, int)
    for number, region in enumerate(regions):
        joined[tuple(zip(*region, strict=True))] = number
    return joined


@pytest.mark.parametrize("least", [1, 2, 4, 9, 40, 1000])
@pytest.mark.parametrize("clusters", [2, 4])
def test_fragments_join_as_in_a_loop_over_pixels(clusters, least):
    rng = np.random.default_rng([clusters, least])
    for _ in range(5):
        drawn = rng.integers(clusters, size=(13, 17))
        joined = join_fragments(drawn, least)
        np.testing.assert_array_equal(joined, slow_join(drawn, least))


def test_a_fragment_joins_the_longest_border_and_large_pieces_stay():
    clusters = np.array([list("aaaabbbb"), list("aaccbbbb"), list("aaccbbbb"), list("aaaabaab")])
    numbers = renumbered(clusters.view(np.int32).reshape(4, 8))  # c: 4 pixels, 2 + 2 + 1 sides with a, 2 with b
    told = ["00001111", "00001111", "00001111", "00001111"]
    assert ["".join(map(str, row)) for row in join_fragments(numbers, 5)] == told
    assert join_fragments(numbers, 1).max() == 3  # the second a lies apart
    assert join_fragments(numbers, 100).max() == 0


def borders_shown(size, seed, count=24):
    """An image of polygons of one color each, with noise, and the polygon of each pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]]
    seeds = rng.random((count, 2)) * size
    truth = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(axis=2)
    image = rng.integers(40, 216, (count, 3))[truth] + rng.normal(0, 6, (*size, 3))
    return image.clip(0, 255).astype(np.uint8), renumbered(truth)


@pytest.mark.parametrize(
    ("size", "settings"),
    [
        ((181, 301), (40, 6.0, 3.0)),
        ((240, 320), (12, 20.0, 5.0)),  # reduced to a third
        ((100, 150), (40, 6.0, 3.0)),  # as it is: seeds are near
        ((100, 151), (20, 6.0, 0.0)),
    ],
)
def test_regions_are_connected_without_gaps_about_as_many_as_asked_for_and_the_same_again(size, settings):
    image, _ = borders_shown(size, seed=1)
    regions = reduced_slic(image, *settings)
    assert regions.shape == size
    assert sorted(set(regions.flat)) == list(range(regions.max() + 1))
    assert all(label(regions == number)[1] == 1 for number in range(regions.max() + 1))
    assert 0.6 * settings[0] <= regions.max() + 1 <= 1.3 * settings[0]
    smallest = np.bincount(regions.ravel()).min()
    assert smallest >= 0.2 * regions.size / settings[0]
    np.testing.assert_array_equal(reduced_slic(image.copy(), *settings), regions)


def test_regions_keep_to_known_borders_better_than_scikit_images():
    scores = {}
    for seed in range(2):
        image, truth = borders_shown((240, 400), seed)
        for divide in (reduced_slic, scikit_image_slic):
            regions = divide(image, 60, 6.0, 3.0)
            scores.setdefault(divide, []).append(
                [
                    boundary_recall(regions, truth),
                    achievable_accuracy(regions, truth),
                    1 - undersegmentation(regions, truth),
                ]
            )
    ours, theirs = (np.mean(scores[divide], axis=0) for divide in (reduced_slic, scikit_image_slic))
    assert (ours > [0.93, 0.94, 0.9]).all()
    assert (ours > theirs).all()


def test_without_reduction_the_clusters_are_scikit_images():
    image, _ = borders_shown((120, 160), seed=2)
    clusters = segmentation.slic(
        image.astype(np.float32) / np.float32(255),
        n_segments=30,
        compactness=4.0,
        sigma=(1.0, 1.0),
        start_label=0,
        enforce_connectivity=False,
    )
    np.testing.assert_array_equal(reduced_slic(image, 30, 4.0, 1.0), join_fragments(clusters, 0.25 * 120 * 160 / 30))


def test_a_reduced_image_is_clustered_with_the_blur_and_scale_of_the_whole():
    """An image of squares of 2 × 2 pixels is divided as the one of half the size, with the blur that is left for it."""
    small, _ = borders_shown((90, 120), seed=3)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    assert reduction((180, 240), 12, 3.1) == 2 and reduction((90, 120), 12, math.sqrt(3.1**2 - 0.25) / 2) == 1
    regions = reduced_slic(large, 12, 6.0, 3.1)
    halved = reduced_slic(small, 12, 6.0, math.sqrt(3.1**2 - 0.25) / 2)
    np.testing.assert_array_equal(regions, halved.repeat(2, axis=0).repeat(2, axis=1))


def test_an_image_shrinks_by_its_blur_while_seeds_stay_apart():
    assert [reduction((900, 1600), 150, sigma) for sigma in (0.0, 1.0, 2.9, 3.0, 4.5, 30.0)] == [1, 1, 1, 2, 3, 6]
    assert [reduction((900, 1600), segments, 3.0) for segments in (1406, 1407, 32768)] == [2, 1, 1]


@pytest.mark.parametrize("method", ["reduced", "scikit_image"])
def test_an_image_of_one_color_is_divided_into_tiles(method):
    regions = superpixels(torch.full((3, 100, 150), 77, dtype=torch.uint8), SuperpixelConfig(24, method=method))
    sizes = torch.bincount(regions.flatten())
    assert len(sizes) == 24 and sizes.max() < 2 * sizes.min()


def test_measures_have_their_closed_forms():
    """Two regions, whose border lies one to four columns beside the truth's."""
    truth = np.repeat([0, 1], 10)[None].repeat(4, axis=0)
    assert borders(truth).sum() == 8
    assert (
        undersegmentation(truth, truth) == 0 and achievable_accuracy(truth, truth) == boundary_recall(truth, truth) == 1
    )
    for beside, recall in ((1, 1.0), (2, 1.0), (3, 0.5), (4, 0.0)):
        regions = np.repeat([0, 1], [10 + beside, 10 - beside])[None].repeat(4, axis=0)
        assert achievable_accuracy(regions, truth) == pytest.approx(1 - beside / 20)
        assert undersegmentation(regions, truth) == pytest.approx(2 * beside / 20)
        assert boundary_recall(regions, truth) == recall
    whole = np.zeros_like(truth)
    assert (achievable_accuracy(whole, truth), undersegmentation(whole, truth)) == (0.5, 1.0)


def test_labels_of_several_channels_are_numbered_together():
    labels = np.array([[[5, 1], [5, 2]], [[-1, 0], [5, 1]]])
    assert renumbered(labels).tolist() == [[1, 2], [0, 1]]
    assert renumbered(labels[..., 0]).tolist() == [[1, 1], [0, 1]]
