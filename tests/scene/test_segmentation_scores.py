import doctest

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score
from sklearn.metrics import confusion_matrix as sklearn_confusion

import crosspoint.scene.segmentation_scores
from crosspoint.scene.segmentation_scores import class_ious, class_rows, confusion_matrix, segmentation_scores


def drawn(classes, seed=0, points=400):
    """Labels, some ignored, and answers that are right half of the time."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(-1, classes, points)
    given = np.where(generator.random(points) < 0.5, truth.clip(0), generator.integers(0, classes, points))
    return torch.from_numpy(given), torch.from_numpy(truth)


def iou_of_sets(given, truth, wanted):
    """The definition, over sets of points; None where both are empty."""
    counted = [i for i in range(len(truth)) if truth[i] != -1]
    answers, members = ({i for i in counted if x[i] == wanted} for x in (given, truth))
    return len(answers & members) / len(answers | members) if answers | members else None


@pytest.mark.parametrize("seed", range(3))
def test_ious_are_those_of_sets_and_of_scikit_learn(seed):
    given, truth = drawn(5, seed)
    confusion = confusion_matrix(given, truth, 7).numpy()  # two classes are absent
    counted = truth != -1
    assert np.array_equal(confusion, sklearn_confusion(truth[counted], given[counted], labels=range(7)))
    expected = [iou_of_sets(given, truth, wanted) for wanted in range(7)]
    assert expected[5:] == [None, None]
    assert np.allclose(class_ious(confusion), [np.nan if x is None else x for x in expected], equal_nan=True)
    scores = segmentation_scores(confusion)
    assert scores["miou"] == pytest.approx(100 * jaccard_score(truth[counted], given[counted], average="macro"))
    assert scores["miou"] == pytest.approx(100 * np.mean(expected[:5]))
    assert scores["miou_absent_as_100"] == pytest.approx(100 * (sum(expected[:5]) + 2) / 7)
    assert scores["point_accuracy"] == pytest.approx(100 * accuracy_score(truth[counted], given[counted]))


def test_a_class_that_is_only_predicted_counts_with_nothing():
    confusion = confusion_matrix(torch.tensor([0, 0, 2]), torch.tensor([0, 0, 0]), 3).numpy()
    assert np.allclose(class_ious(confusion), [2 / 3, np.nan, 0], equal_nan=True)
    assert segmentation_scores(confusion)["miou"] == pytest.approx(100 / 3)


def test_matrices_of_parts_add_up():
    given, truth = drawn(4)
    parts = [confusion_matrix(a, b, 4) for a, b in zip(given.split(150), truth.split(150), strict=True)]
    assert torch.equal(sum(parts), confusion_matrix(given, truth, 4))


def test_what_a_point_that_is_ignored_is_given_does_not_matter():
    given, truth = drawn(4)
    other = torch.where(truth == -1, 3, given)
    assert torch.equal(confusion_matrix(other, truth, 4), confusion_matrix(given, truth, 4))
    moved = torch.where(truth == -1, 9, truth)
    assert torch.equal(confusion_matrix(given, moved, 4, ignored=9), confusion_matrix(given, truth, 4))


def test_rows_name_the_classes():
    rows = class_rows(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 0]]), ["car", "bus", "kerb"])
    assert rows == [
        {"class": "car", "iou": 75.0, "points_given": [3, 1, 0]},
        {"class": "bus", "iou": 0.0, "points_given": [0, 0, 0]},
        {"class": "kerb", "iou": None, "points_given": [0, 0, 0]},
    ]


def test_labels_that_cannot_be_are_named():
    one, two = torch.tensor([0, 1]), torch.tensor([0, 2])
    with pytest.raises(ValueError, match=r"found true labels 0…2, expected 0 to 1"):
        confusion_matrix(one, two, 2)
    with pytest.raises(ValueError, match=r"found predicted labels 0…2, expected 0 to 1"):
        confusion_matrix(two, one, 2)
    with pytest.raises(ValueError, match=r"found predictions \(1,\) of labels \(2,\)"):
        confusion_matrix(one[:1], one, 2)
    with pytest.raises(ValueError, match="found no labeled point, expected some"):
        segmentation_scores(confusion_matrix(one, torch.tensor([-1, -1]), 2).numpy())


def test_examples_in_docstrings():
    result = doctest.testmod(crosspoint.scene.segmentation_scores)
    assert result.attempted > 0 and result.failed == 0
