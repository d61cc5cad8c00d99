from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch

from crosspoint.scene.labels.foundation_model import FoundationModel
from crosspoint.scene.labels.regions import RegionLabeler, paint_regions
from crosspoint.scene.labels.segment_anything import SegmentAnything
from tests.scene.labels.slow_resize import bilinear

NETWORKS = ("sam", "sam2", "sam2_video")
POINTS = 3


def library(folder: str) -> tuple[Any, Any]:
    """Processor and network, as the documentation of `transformers` loads them."""
    import transformers

    name = "Sam" if folder.endswith("sam") else "Sam2"
    return (
        getattr(transformers, f"{name}Processor").from_pretrained(folder),
        getattr(transformers, f"{name}Model").from_pretrained(folder).eval(),
    )


def full_size(logits: np.ndarray, size: tuple[int, int], folder: str) -> np.ndarray:
    """SAM pads below, after scaling the longer side to 64; SAM 2 stretches."""
    if not folder.endswith("sam"):
        return bilinear(logits, size)
    height, width = (round(side * 64 / max(size)) for side in size)
    return bilinear(bilinear(logits, (64, 64))[..., :height, :width], size)


def slow_masks(folder: str, image: np.ndarray) -> list[tuple[float, float, np.ndarray]]:
    """Quality, stability and logits (H, W) of three masks a point, each point asked for alone."""
    processor, network = library(folder)
    height, width = image.shape[:2]
    found = []
    for y in range(POINTS):
        for x in range(POINTS):
            point = [(x + 0.5) * width / POINTS, (y + 0.5) * height / POINTS]
            inputs = processor(images=image, input_points=[[[point]]], return_tensors="pt")
            inputs = {key: value.float() if value.is_floating_point() else value for key, value in inputs.items()}
            with torch.no_grad():
                sizes = {key: inputs.pop(key) for key in ("original_sizes", "reshaped_input_sizes") if key in inputs}
                assert sizes["original_sizes"].tolist() == [[height, width]]
                outputs = network(**inputs)
            for logits, quality in zip(outputs.pred_masks[0, 0], outputs.iou_scores[0, 0], strict=True):
                logits = full_size(logits.double().numpy(), (height, width), folder)
                union = (logits > -1).sum()
                stability = (logits > 1).sum() / union if union else 0.0
                found.append((float(quality), stability, logits))
    return found


def box_iou(first: np.ndarray, second: np.ndarray) -> float:
    """Of the boxes around two masks, as SAM measures them: corners are the outermost pixels."""
    corners = []
    for mask in (first, second):
        rows, columns = np.nonzero(mask.any(axis=1))[0], np.nonzero(mask.any(axis=0))[0]
        corners.append((columns[0], rows[0], columns[-1], rows[-1]) if len(rows) else (0, 0, 0, 0))
    (left, top, right, bottom), (left_, top_, right_, bottom_) = corners
    shared = max(0, min(right, right_) - max(left, left_)) * max(0, min(bottom, bottom_) - max(top, top_))
    total = (right - left) * (bottom - top) + (right_ - left_) * (bottom_ - top_) - shared
    return shared / total if total else 0.0


@pytest.mark.parametrize("name", NETWORKS)
def test_a_map_is_what_a_slow_loop_makes_of_the_raw_outputs(
    network: Callable[[str], str], image: np.ndarray, name: str
) -> None:
    masks = slow_masks(network(name), image)
    # Thresholds between two values that differ clearly, so that rounding decides nothing.
    quality, stability = (sum(widest_gap(sorted(mask[place] for mask in masks))) / 2 for place in (0, 1))
    good = [mask for mask in masks if mask[0] > quality and mask[1] > stability]
    assert 1 < len(good) < len(masks)
    for overlap in (1.0, 0.95):
        kept: list[tuple[float, float, np.ndarray]] = []
        for mask in sorted(good, key=lambda mask: -mask[0]):
            if all(box_iou(mask[2] > 0, other[2] > 0) <= overlap for other in kept):
                kept.append(mask)
        assert (len(kept) < len(good)) == (overlap < 1)
        expected = np.zeros(image.shape[:2], np.int64)
        for number, mask in enumerate(sorted(kept, key=lambda mask: -(mask[2] > 0).sum()), start=1):
            expected[mask[2] > 0] = number
        labeler = RegionLabeler(network(name), None, POINTS, quality, stability, overlap)
        (found,) = labeler.load("cpu")([image])
        assert agreement(found, expected) > 0.99  # but for pixels on the edge of a mask
        assert sorted(set(found.ravel()) - {0}) == list(range(1, found.max() + 1))


def agreement(found: np.ndarray, expected: np.ndarray) -> float:
    """The share of pixels whose regions are the same, whatever their numbers: areas that are close may swap."""
    assert ((found == 0) == (expected == 0)).mean() > 0.99
    regions = (expected == number for number in np.unique(expected))
    return sum(np.unique(found[region], return_counts=True)[1].max() for region in regions) / found.size


def widest_gap(values: list[float]) -> tuple[float, float]:
    """Two neighbors among the lower half."""
    half = [max(value, 0.0) for value in values[: len(values) // 2 + 1]]
    return max(pairwise(half), key=lambda pair: pair[1] - pair[0])


@pytest.mark.parametrize("name", NETWORKS)
def test_points_lie_everywhere_in_the_image(network: Callable[[str], str], image: np.ndarray, name: str) -> None:
    """SAM scales a wide image to its width, SAM 2 stretches it: the points must go with it."""
    segment = SegmentAnything(FoundationModel(network(name)), "cpu")
    asked = []
    segment.network.register_forward_pre_hook(
        lambda _, __, inputs: asked.append(inputs["input_points"]), with_kwargs=True
    )
    segment.everywhere(image, 10, 0.0, 0.0, 1.0)
    points = torch.cat(asked, dim=1)[0, :, 0]
    assert len(points) == 100
    height = 64 * 24 / 40 if name == "sam" else 64.0
    torch.testing.assert_close(points.amin(dim=0), torch.tensor([64, height]) / 20, rtol=0, atol=0.2)
    torch.testing.assert_close(points.amax(dim=0), torch.tensor([64, height]) * 19 / 20, rtol=0, atol=0.6)


def test_a_part_lies_on_its_whole() -> None:
    whole, part, beside = torch.zeros(3, 4, 6, dtype=torch.bool)
    whole[:, :4], part[1:3, 1:3], beside[0:2, 3:6] = True, True, True
    expected = [[1, 1, 1, 2, 2, 2], [1, 3, 3, 2, 2, 2], [1, 3, 3, 1, 0, 0], [1, 1, 1, 1, 0, 0]]
    for order in ([whole, part, beside], [part, beside, whole]):
        assert paint_regions(order, (4, 6)).tolist() == expected


def test_numbers_have_no_gap_where_masks_are_hidden_or_empty() -> None:
    hidden = torch.zeros(2, 4, dtype=torch.bool)
    hidden[:, :3] = True
    left, right, empty = (torch.zeros_like(hidden) for _ in range(3))
    left[:, :2], right[:, 2:] = True, True
    assert paint_regions([empty, left, hidden, right], (2, 4)).tolist() == [[1, 1, 2, 2]] * 2
    assert paint_regions([], (2, 4)).tolist() == [[0] * 4] * 2
    everything = torch.ones(2, 4, dtype=torch.bool)
    assert paint_regions([everything], (2, 4)).tolist() == [[1] * 4] * 2


def test_no_mask_is_good_enough(network: Callable[[str], str], image: np.ndarray) -> None:
    (found,) = RegionLabeler(network("sam2"), points=2, stability=1.0).load("cpu")([image])
    assert not found.any()


def test_the_recipe_and_what_is_refused(network: Callable[[str], str]) -> None:
    labeler = RegionLabeler(network("sam2"), points=7, stability=0.5)
    assert labeler.names == []
    assert {key: value for key, value in labeler.recipe().items() if key != "sha256"} == {
        **{"labels": "regions", "model": "sam2"},
        **{"points": 7, "predicted_iou": 0.8, "stability": 0.5, "overlap": 0.7},
    }
    with pytest.raises(ValueError, match=r"found a network of type segformer in .*, expected SAM or SAM 2"):
        RegionLabeler(network("segformer")).recipe()
    for settings in ({"points": 0}, {"stability": 1.5}, {"overlap": -0.1}, {"predicted_iou": 2.0}):
        with pytest.raises(ValueError, match="expected at least 1 point, and 0 to 1"):
            RegionLabeler(**settings)
