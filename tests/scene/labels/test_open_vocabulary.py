from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from crosspoint.scene.labels.class_table import PROMPTS
from crosspoint.scene.labels.open_vocabulary import OpenLabeler, detections, paint_in_order, phrase_spans
from tests.scene.labels.slow_resize import sigmoid

ASKED = {"machine": ["construction vehicle", "Bus"], "car": ["car"], "cone": ["traffic cone"]}


def raw_detections(folder: str, image: np.ndarray, text: str) -> tuple[object, object, object]:
    import transformers

    processor = transformers.GroundingDinoProcessor.from_pretrained(folder)
    network = transformers.GroundingDinoForObjectDetection.from_pretrained(folder).eval()
    inputs = processor(images=image, text=text, return_tensors="pt")
    with torch.no_grad():
        return processor, inputs, network(**inputs)


@pytest.mark.parametrize("name", ["sam", "sam2", "sam2_video"])
def test_a_map_is_what_a_slow_loop_makes_of_the_raw_outputs(
    network: Callable[[str], str], image: np.ndarray, name: str
) -> None:
    from tests.scene.labels.test_regions import full_size, library

    processor, inputs, outputs = raw_detections(
        network("grounding_dino"), image, "construction vehicle. bus. car. traffic cone."
    )
    tokens = processor.tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    places = {
        phrase: [tokens.index(word) for word in phrase.split()]
        for phrase in ("construction vehicle", "bus", "car", "traffic cone")
    }
    owner = {"construction vehicle": 1, "bus": 1, "car": 2, "traffic cone": 3}
    scored = []
    for logits, box in zip(outputs.logits[0].double().numpy(), outputs.pred_boxes[0].tolist(), strict=True):
        probabilities = sigmoid(logits[: len(tokens)])
        of_phrase = {phrase: np.mean([probabilities[place] for place in its]) for phrase, its in places.items()}
        best = max(of_phrase, key=of_phrase.__getitem__)
        scored.append((of_phrase[best], probabilities.max(), owner[best], box))
    gaps = sorted(each[0] for each in scored)
    threshold = (gaps[8] + gaps[9]) / 2
    chosen = sorted((each for each in scored if each[0] > threshold), key=lambda each: each[0])
    assert len(chosen) == len(scored) - 9
    prepare, segment = library(network(name))
    expected = np.zeros(image.shape[:2], np.int64)
    for _, _, number, (x, y, width, height) in chosen:
        box = [(x - width / 2) * 40, (y - height / 2) * 24, (x + width / 2) * 40, (y + height / 2) * 24]
        given = prepare(images=image, input_boxes=[[box]], return_tensors="pt")
        with torch.no_grad():
            mask = segment(given["pixel_values"], input_boxes=given["input_boxes"].float(), multimask_output=False)
        expected[full_size(mask.pred_masks[0, 0, 0].double().numpy(), image.shape[:2], network(name)) > 0] = number
    assert len(np.unique(expected)) > 1
    labeler = OpenLabeler(
        network(name), detector=network("grounding_dino"), prompts=ASKED, box_threshold=0.0, text_threshold=threshold
    )
    (found,) = labeler.load("cpu")([image])
    assert (found == expected).mean() > 0.99  # but for pixels on the edge of a mask


def test_boxes_are_those_of_the_library(network: Callable[[str], str], image: np.ndarray) -> None:
    text, spans = "construction vehicle. bus.", torch.ones(1, 256) / 256
    processor, inputs, outputs = raw_detections(network("grounding_dino"), image, text)
    for threshold in (0.3, 0.5, 0.7):
        (theirs,) = processor.post_process_grounded_object_detection(
            outputs, inputs["input_ids"], threshold=threshold, target_sizes=[(24, 40)]
        )
        ours = detections(outputs.logits[0], outputs.pred_boxes[0], spans, torch.zeros(1), (threshold, 0.0))
        pixels = ours.boxes * torch.tensor([40, 24, 40, 24])
        assert np.array(sorted(pixels.tolist())) == pytest.approx(np.array(sorted(theirs["boxes"].tolist())), abs=1e-4)
    assert 0 < len(ours.boxes) < 20


def test_a_phrase_is_as_probable_as_its_tokens_are_on_average() -> None:
    """A car's "vehicle" is not enough for "construction vehicle"."""
    spans = torch.tensor([[0, 0.5, 0.5, 0, 0], [0, 0, 0, 0, 1.0]])
    logits = torch.logit(
        torch.tensor([[0.1, 0.1, 0.8, 0.1, 0.5], [0.1, 0.9, 0.9, 0.0, 0.2], [0.2, 0.2, 0.2, 0.0, 0.24]])
    )
    boxes = torch.tensor([[0.5, 0.5, 0.2, 0.4], [0.2, 0.3, 0.4, 0.2], [0.5, 0.5, 1, 1]])
    found = detections(logits, boxes, spans, torch.tensor([7, 3]), (0.25, 0.25))
    assert found.classes.tolist() == [3, 7]  # the least probable first
    torch.testing.assert_close(found.scores, torch.tensor([0.5, 0.9]))
    torch.testing.assert_close(found.boxes, torch.tensor([[0.4, 0.3, 0.6, 0.7], [0.0, 0.2, 0.4, 0.4]]))
    assert detections(logits, boxes, spans, torch.tensor([7, 3]), (0.85, 0.25)).classes.tolist() == [7]
    assert detections(logits, boxes, spans, torch.tensor([7, 3]), (0.25, 0.6)).classes.tolist() == [7]
    assert len(detections(logits, boxes, spans, torch.tensor([7, 3]), (0.95, 0.25)).boxes) == 0


def test_tokens_of_a_phrase_are_those_that_the_tokenizer_says(network: Callable[[str], str]) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(network("grounding_dino"))
    phrases = ["traffic cone", "car", "construction vehicle"]
    text, spans = phrase_spans(tokenizer, phrases, 32)
    assert text == "traffic cone. car. construction vehicle."
    offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    for phrase, span in zip(phrases, spans, strict=True):
        start = text.index(phrase)
        inside = [start <= low < high <= start + len(phrase) for low, high in offsets]
        assert (span[: len(inside)] > 0).tolist() == inside
        assert span.sum() == 1
    with pytest.raises(ValueError, match="found prompts of 10 tokens, expected at most 9: leave some phrases out"):
        phrase_spans(tokenizer, phrases, 9)
    with pytest.raises(ValueError, match="found ' ' in the prompts, expected words"):
        phrase_spans(tokenizer, ["car", " "], 32)


def test_a_mask_is_painted_over_those_before_it() -> None:
    first, second = torch.zeros(2, 1, 5, dtype=torch.bool)
    first[:, :3], second[:, 2:4] = True, True
    assert paint_in_order([first, second], torch.tensor([4, 2]), (1, 5)).tolist() == [[4, 4, 2, 2, 0]]
    assert paint_in_order([second, first], torch.tensor([2, 4]), (1, 5)).tolist() == [[4, 4, 4, 2, 0]]
    assert paint_in_order([], torch.tensor([]), (1, 2)).tolist() == [[0, 0]]


def test_nothing_is_found(network: Callable[[str], str], image: np.ndarray) -> None:
    labeler = OpenLabeler(network("sam2"), detector=network("grounding_dino"), prompts=ASKED, box_threshold=1.0)
    maps = labeler.load("cpu")([image, image])
    assert [each.shape for each in maps] == [(24, 40)] * 2
    assert not np.any(maps)


def test_the_recipe_and_what_is_refused(network: Callable[[str], str]) -> None:
    labeler = OpenLabeler(network("sam2"), detector=network("grounding_dino"), prompts=ASKED)
    recipe = labeler.recipe()
    assert labeler.names == ["machine", "car", "cone"]
    assert recipe.pop("sha256") != recipe["detector"].pop("sha256")
    assert recipe == {
        **{"labels": "open", "model": "sam2", "detector": {"model": "grounding_dino"}, "prompts": ASKED},
        **{"box_threshold": 0.25, "text_threshold": 0.25},
    }
    with pytest.raises(ValueError, match=r"found a network of type sam2 in .*, expected Grounding DINO"):
        OpenLabeler(network("sam2"), detector=network("sam2")).recipe()
    with pytest.raises(ValueError, match=r"found a network of type eomt in .*, expected SAM or SAM 2"):
        OpenLabeler(network("eomt"), detector=network("grounding_dino")).recipe()
    with pytest.raises(ValueError, match=r"found 'e\.g\. a car' in the prompts, expected phrases without"):
        OpenLabeler(prompts={"car": ["e.g. a car"]})
    with pytest.raises(ValueError, match=r"found the thresholds 0.25 of boxes and 2 of text, expected 0 to 1"):
        OpenLabeler(text_threshold=2)


def test_the_default_prompts_are_the_16_classes_of_nuscenes() -> None:
    assert len(PROMPTS) == 16
    assert list(PROMPTS)[:2] == ["barrier", "bicycle"]
    assert OpenLabeler().names == list(PROMPTS)
