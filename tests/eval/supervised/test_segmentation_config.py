import pytest

from crosspoint.eval.supervised.segmenter import (
    SegmentationConfig,
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "found 0 epochs"),
        ({"batch_size": 0}, "batches of 0"),
        ({"learning_rate": 0.0}, "learning rates 0.0"),
        ({"head_learning_rate": float("inf")}, "and inf"),
        ({"weight_decay": -1.0}, "weight_decay -1.0"),
        ({"dampening": 1.5}, "found dampening 1.5"),
        ({"norm_momentum": -0.1}, "found norm_momentum -0.1"),
        ({"layer_decay": 0.0}, "found layer_decay 0.0, expected a number from 0.01 to 1"),
        ({"layer_decay": 1.1}, "found layer_decay 1.1"),
        ({"hidden": 0}, "found hidden 0, expected a whole number from 1"),
    ],
)
def test_recipes_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        SegmentationConfig(**change)
