import doctest

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, jaccard_score

import crosspoint.eval.metrics.part_iou
from crosspoint.eval.metrics.part_iou import category_ious, part_ious, part_scores, shape_ious

# Categories 0 and 2 share part 2; category 3 does not occur.
OWNED = np.array(
    [
        [1, 1, 1, 0, 0, 0, 0, 0],
        [0, 0, 0, 1, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 0, 1],
    ],
    dtype=bool,
)


@pytest.fixture(scope="module")
def segmented():
    """20 shapes of 30 points; many lack a part, and predictions stray to other categories."""
    generator = np.random.default_rng(0)
    categories = generator.integers(3, size=20)
    truth = np.stack([generator.choice(np.flatnonzero(OWNED[c])[: generator.integers(1, 4)], 30) for c in categories])
    wrong = generator.random(truth.shape) < generator.random((20, 1))
    predicted = np.where(wrong, generator.integers(8, size=truth.shape), truth)
    predicted[3], predicted[4] = truth[3], 7
    return predicted, truth, categories


def evaluation_loop(predicted, truth, categories):
    """Point by point and part by part, as the evaluation of PointNet's part segmentation prints it."""
    of_category = {}
    right = points = 0
    for shape in range(len(truth)):
        ious = []
        for part in range(OWNED.shape[1]):
            if not OWNED[categories[shape], part]:
                continue
            both = either = 0
            for found, expected in zip(predicted[shape], truth[shape], strict=True):
                both += found == part and expected == part
                either += found == part or expected == part
            ious.append(both / either if either else 1.0)
        of_category.setdefault(int(categories[shape]), []).append(sum(ious) / len(ious))
        right += sum(int(f == e) for f, e in zip(predicted[shape], truth[shape], strict=True))
        points += len(truth[shape])
    every = [iou for ious in of_category.values() for iou in ious]
    return {
        "instance_miou": 100 * sum(every) / len(every),
        "category_miou": 100 * sum(sum(i) / len(i) for i in of_category.values()) / len(of_category),
        "point_accuracy": 100 * right / points,
    }


def test_scores_equal_the_slow_loop(segmented):
    scores, expected = part_scores(*segmented, OWNED), evaluation_loop(*segmented)
    assert scores == pytest.approx(expected, rel=1e-12)
    assert 20 < scores["instance_miou"] < 90 and len({round(value, 6) for value in scores.values()}) == 3


def test_shapes_equal_scikit_learn(segmented):
    predicted, truth, categories = segmented
    every = part_ious(predicted, truth, 8)
    for shape, category in enumerate(categories):
        given = (truth[shape], predicted[shape])
        ious = jaccard_score(*given, labels=range(8), average=None, zero_division=1)
        assert every[shape] == pytest.approx(ious, rel=1e-12)
        own = jaccard_score(*given, labels=np.flatnonzero(OWNED[category]), average="macro", zero_division=1)
        assert shape_ious(*segmented, OWNED)[shape] == pytest.approx(own, rel=1e-12)
    accuracy = 100 * accuracy_score(truth.ravel(), predicted.ravel())
    assert part_scores(*segmented, OWNED)["point_accuracy"] == pytest.approx(accuracy)


def test_categories_are_sets_of_shapes(segmented):
    ious, categories = shape_ious(*segmented, OWNED), segmented[2]
    present, means = category_ious(ious, categories)
    assert present.tolist() == [0, 1, 2]
    assert means == pytest.approx([ious[categories == category].mean() for category in range(3)])


def test_closed_forms():
    parts_of_category = np.ones((1, 2), dtype=bool)
    truth = np.repeat([0, 1], 50)[None]
    zero = np.zeros(1, dtype=np.int64)
    assert part_ious(np.zeros_like(truth), truth, 2).tolist() == [[0.5, 0.0]]
    shifted = np.roll(truth, 25)  # each part keeps half of its points: 25 / 75
    assert shape_ious(shifted, truth, zero, parts_of_category) == pytest.approx(1 / 3)
    assert part_scores(truth, truth, zero, parts_of_category) == dict.fromkeys(
        ("instance_miou", "category_miou", "point_accuracy"), 100.0
    )
    absent = np.zeros_like(truth)  # part 1 is in neither
    assert part_ious(absent, absent, 2).tolist() == [[1.0, 1.0]]


def test_order_of_points_and_shapes_does_not_matter(segmented):
    predicted, truth, categories = segmented
    generator = np.random.default_rng(1)
    shapes, points = generator.permutation(20), generator.permutation(30)
    moved = part_scores(predicted[shapes][:, points], truth[shapes][:, points], categories[shapes], OWNED)
    assert moved == pytest.approx(part_scores(*segmented, OWNED))
    bytes_ = [array.astype(np.uint8) for array in (predicted, truth)]  # as HDF5 files hold them
    assert part_scores(*bytes_, categories, OWNED) == part_scores(*segmented, OWNED)


def test_bad_input_is_one_line(segmented):
    predicted, truth, categories = segmented
    cases = {
        r"found predictions \(20, 29\) of parts \(20, 30\)": (predicted[:, 1:], truth),
        "found predicted parts 0…8": (np.where(predicted == 7, 8, predicted), truth),
        "found true parts -1…": (predicted, np.where(truth == 0, -1, truth)),
        "of type float64, expected integers": (predicted, truth * 1.0),
    }
    for message, (a, b) in cases.items():
        with pytest.raises(ValueError, match=message) as error:
            part_scores(a, b, categories, OWNED)
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="found category 1 without parts"):
        shape_ious(predicted, truth, categories, OWNED & (np.arange(4) != 1)[:, None])


def test_the_example_is_true():
    result = doctest.testmod(crosspoint.eval.metrics.part_iou)
    assert result.attempted == 2 and result.failed == 0
