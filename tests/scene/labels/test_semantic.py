from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from crosspoint.scene.labels.class_table import DRIVING
from crosspoint.scene.labels.semantic import SemanticLabeler, most_probable, normalized
from tests.scene.labels.slow_resize import bilinear, sigmoid, softmax
from tests.scene.labels.tiny_networks import CITYSCAPES

NETWORKS = ("eomt", "mask2former", "oneformer", "segformer")
COARSE = {"flat": ["road", "sidewalk", "terrain"], "vehicle": ["car", "bus", "truck"], "upright": ["pole", "person"]}


def raw_outputs(folder: str, image: np.ndarray) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder)
    if config.model_type == "oneformer":
        images = transformers.OneFormerImageProcessor.from_pretrained(folder, class_info_file=None)
        processor = transformers.OneFormerProcessor(images, transformers.CLIPTokenizer.from_pretrained(folder))
        inputs = processor([image], ["semantic"], return_tensors="pt")
    else:
        inputs = transformers.AutoImageProcessor.from_pretrained(folder)([image], return_tensors="pt")
    architecture = getattr(transformers, config.architectures[0])
    with torch.no_grad():
        return architecture.from_pretrained(folder).eval()(**inputs)


def slow_probabilities(outputs: Any, size: tuple[int, int], name: str) -> np.ndarray:
    """(C, H, W) from what the network says, as its paper puts it together."""
    if name == "segformer":
        return softmax(bilinear(outputs.logits[0].double().numpy(), size), axis=0)
    of_query = softmax(outputs.class_queries_logits.double().numpy(), axis=-1)[..., :-1]
    masks = outputs.masks_queries_logits.double().numpy()
    inner = {"eomt": (32, 32), "mask2former": (384, 384), "oneformer": masks.shape[2:]}[name]
    scores = np.zeros((len(masks), of_query.shape[-1], *inner))
    for patch, queries in enumerate(masks):
        for query, mask in enumerate(queries):
            for place, probability in enumerate(of_query[patch, query]):
                scores[patch, place] += probability * sigmoid(bilinear(mask, inner))
    if name == "eomt":  # windows next to each other, which overlap
        total, count = np.zeros((len(scores[0]), 32, 32 * size[1] // size[0])), 0
        count = np.zeros_like(total)
        for (_, start, stop), score in zip(np.array(outputs.patch_offsets), scores, strict=True):
            total[:, :, start:stop] += score
            count[:, :, start:stop] += 1
        assert count.max() == 2  # some pixels are in both
        whole = total / count
    else:
        (whole,) = scores
    whole = bilinear(whole, size)
    return whole / np.maximum(whole.sum(axis=0), 1)


def slow_map(probabilities: np.ndarray, classes: dict[str, list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The most probable class of ours pixel by pixel, its probability, and that of the second."""
    numbers = np.zeros(probabilities.shape[1:], np.int64)
    best, second = np.zeros(numbers.shape), np.zeros(numbers.shape)
    for y, x in np.ndindex(numbers.shape):
        at = dict(zip(CITYSCAPES, probabilities[:, y, x], strict=True))
        ours = [sum(at[name] for name in names) for names in classes.values()]
        ours.insert(0, sum(at.values()) - sum(ours))
        numbers[y, x] = max(range(len(ours)), key=ours.__getitem__)
        second[y, x], best[y, x] = sorted(ours)[-2:]
    return numbers, best, second


@pytest.mark.parametrize("classes", [DRIVING, COARSE])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_map_is_what_a_slow_loop_makes_of_the_raw_outputs(
    network: Callable[[str], str], image: np.ndarray, name: str, classes: dict[str, list[str]]
) -> None:
    probabilities = slow_probabilities(raw_outputs(network(name), image), image.shape[:2], name)
    numbers, best, second = slow_map(probabilities, classes)
    for confidence in (0.0, float(np.median(best))):
        (found,) = SemanticLabeler(network(name), classes=classes, confidence=confidence).load("cpu")([image])
        sure = (best - second > 1e-5) & (np.abs(best - confidence) > 1e-5)  # rounding cannot decide
        assert sure.mean() > 0.95
        assert (found == np.where(best < confidence, 0, numbers))[sure].all()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_is_labeled_as_its_images_are(network: Callable[[str], str], image: np.ndarray, name: str) -> None:
    paint = SemanticLabeler(network(name), confidence=0.0).load("cpu")
    batch = [image, image[:, ::-1].copy(), 255 - image]
    for one, together in zip(batch, paint(batch), strict=True):
        assert (paint([one])[0] != together).mean() < 0.01  # rounding
    assert len({each.tobytes() for each in paint(batch)}) > 1


def test_a_class_is_as_probable_as_its_parts_together() -> None:
    probabilities = torch.tensor([[0.3, 0.3, 0.1], [0.3, 0.3, 0.2], [0.4, 0.1, 0.6], [0.0, 0.3, 0.1]])[:, None]
    merged = torch.tensor([1, 1, 2, 0])
    assert most_probable(probabilities, merged, 2, 0.0).tolist() == [[1, 1, 2]]
    assert most_probable(probabilities, merged, 2, 0.61).tolist() == [[0, 0, 0]]
    rest = torch.tensor([0, 1, 2, 0])  # what is not ours is one class, too: 0.3, 0.6 and 0.2
    assert most_probable(probabilities, rest, 2, 0.0).tolist() == [[2, 0, 2]]


def test_masks_that_overlap_share_a_pixel_and_none_leaves_it_empty() -> None:
    scores = torch.tensor([[0.9, 0.1, 0.6], [0.9, 0.1, 0.2]])[:, None]
    torch.testing.assert_close(normalized(scores), torch.tensor([[[0.5, 0.1, 0.6]], [[0.5, 0.1, 0.2]]]))


def test_the_recipe_names_all_that_decides(network: Callable[[str], str]) -> None:
    recipe = SemanticLabeler(network("eomt"), classes=COARSE, confidence=0.4).recipe()
    assert recipe == {
        **{"labels": "semantic", "model": "eomt", "sha256": recipe["sha256"]},
        **{"confidence": 0.4, "classes": COARSE},
    }


def test_the_driving_classes_are_those_of_cityscapes() -> None:
    parts = [name for names in DRIVING.values() for name in names]
    assert sorted([*parts, "sky"]) == sorted(CITYSCAPES)
    assert len(DRIVING) == 15


def test_a_class_that_the_network_does_not_know_names_the_nearest(network: Callable[[str], str]) -> None:
    labeler = SemanticLabeler(network("eomt"), classes={"vehicle": ["Cars"]})
    for ask in (labeler.recipe, lambda: labeler.load("cpu")):
        with pytest.raises(ValueError, match=r"found 'Cars' for the class 'vehicle', .*did you mean 'car'"):
            ask()
    with pytest.raises(ValueError, match=r"expected one of the classes of .*: road, sidewalk, "):
        SemanticLabeler(network("eomt"), classes={"thing": ["zzz"]}).recipe()


def test_a_network_of_another_kind_is_refused(network: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match=r"found a network of type sam2 .* expected one for semantic segmentation"):
        SemanticLabeler(network("sam2"), classes={"a": ["LABEL_0"]}).load("cpu")
    with pytest.raises(ValueError, match=r"found the confidence 1.5, expected 0 to 1"):
        SemanticLabeler(confidence=1.5)
