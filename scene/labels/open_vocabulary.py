"""Classes of an open vocabulary: what a detector finds by its name, in the shape that Segment Anything gives it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.labels.class_table import PROMPTS, ClassTable, check_table
from crosspoint.scene.labels.foundation_model import FoundationModel, import_transformers
from crosspoint.scene.labels.labeler import Labeler, Painter
from crosspoint.scene.labels.manifest import Kind
from crosspoint.scene.labels.segment_anything import SegmentAnything, check_type

_SEPARATORS = ".?"  # Grounding DINO's, between phrases


@dataclass(frozen=True)
class OpenLabeler(Labeler):
    """Labels by words: boxes of Grounding DINO, then masks of Segment Anything in them.

    Grounding DINO (Liu et al., 2023, https://arxiv.org/abs/2303.05499) finds boxes for phrases; Ren et al., 2024
    (https://arxiv.org/abs/2401.14159) give them to Segment Anything.

    Args:
        model: SAM or SAM 2, hub id or folder.
        revision: of the hub's repository.
        detector: Grounding DINO, hub id or folder.
        detector_revision: of the hub's repository.
        prompts: phrases for each class.
        box_threshold: least probability of a box for any word.
        text_threshold: least probability of a box for its phrase, the mean over the phrase's tokens.

    Raises:
        ValueError: if the prompts are none, have a full stop or a question mark, or a threshold is no probability.
    """

    model: str = "facebook/sam2.1-hiera-large"
    revision: str | None = None
    detector: str = "IDEA-Research/grounding-dino-tiny"
    detector_revision: str | None = None
    prompts: ClassTable = field(default_factory=lambda: PROMPTS)
    box_threshold: float = 0.25
    text_threshold: float = 0.25

    kind: ClassVar[Kind] = "semantic"

    def __post_init__(self) -> None:
        check_table(self.prompts, "the prompts")
        for phrase in _phrases(self.prompts):
            if set(phrase) & set(_SEPARATORS):
                raise ValueError(
                    f"found {phrase!r} in the prompts, expected phrases without {' and '.join(_SEPARATORS)}"
                )
        if not (0 <= self.box_threshold <= 1 and 0 <= self.text_threshold <= 1):
            raise ValueError(
                f"found the thresholds {self.box_threshold} of boxes and {self.text_threshold} of text, expected 0 to 1"
            )

    @property
    def names(self) -> list[str]:
        """The classes that have prompts."""
        return list(self.prompts)

    def recipe(self) -> JsonObject:
        """Both networks' identities, the prompts and the thresholds."""
        check_type(self._segmenter)
        self._check_detector()
        return {
            "labels": "open",
            **self._segmenter.identity(),
            "detector": self._finder.identity(),
            "box_threshold": self.box_threshold,
            "text_threshold": self.text_threshold,
            "prompts": {name: list(phrases) for name, phrases in self.prompts.items()},
        }

    def load(self, device: str) -> Painter:
        """Both networks."""
        transformers = import_transformers()
        self._check_detector()
        processor = self._finder.processor(transformers.AutoProcessor)
        text, spans = phrase_spans(processor.tokenizer, _phrases(self.prompts), self._finder.config().max_text_len)
        detector = self._finder.network(transformers.AutoModelForZeroShotObjectDetection, device)
        segment = SegmentAnything(self._segmenter, device)
        owners = torch.tensor([place for place, phrases in enumerate(self.prompts.values()) for _ in phrases])

        @torch.inference_mode()
        def paint(images: Sequence[np.ndarray]) -> list[np.ndarray]:
            inputs = processor(images=list(images), text=[text] * len(images), return_tensors="pt").to(device)
            outputs = detector(**inputs)
            maps = []
            for image, logits, boxes in zip(images, outputs.logits.cpu(), outputs.pred_boxes.cpu(), strict=True):
                found = detections(logits, boxes, spans, owners, (self.box_threshold, self.text_threshold))
                height, width = image.shape[:2]
                masks = segment.in_boxes(image, found.boxes * torch.tensor([width, height, width, height]))
                maps.append(paint_in_order(masks, found.classes + 1, (height, width)))
            return maps

        return paint

    @property
    def _segmenter(self) -> FoundationModel:
        return FoundationModel(self.model, self.revision)

    @property
    def _finder(self) -> FoundationModel:
        return FoundationModel(self.detector, self.detector_revision)

    def _check_detector(self) -> None:
        found = self._finder.config().model_type
        if found not in ("grounding-dino", "mm-grounding-dino"):
            raise ValueError(f"found a network of type {found} in {self.detector}, expected Grounding DINO")


@dataclass(frozen=True)
class Detections:
    """What was found in an image, the least probable first."""

    boxes: Tensor  # (N, 4): left, top, right, bottom, as parts of width and height
    classes: Tensor  # (N,) int64, from 0
    scores: Tensor  # (N,)


def phrase_spans(tokenizer: Any, phrases: Sequence[str], most: int) -> tuple[str, Tensor]:
    """The text that asks for all phrases, and the tokens that each has in it.

    Args:
        tokenizer: the detector's.
        phrases: P of them.
        most: tokens that the detector reads.

    Returns:
        The text, phrases separated by full stops, and (P, most) float32: 1 / the number of a phrase's tokens at its
        tokens, else 0.

    Raises:
        ValueError: if the text has too many tokens, or a phrase has none.
    """
    text = " ".join(f"{phrase}." for phrase in phrases)
    tokens = tokenizer(text)["input_ids"]
    if len(tokens) > most:
        raise ValueError(f"found prompts of {len(tokens)} tokens, expected at most {most}: leave some phrases out")
    spans, start = torch.zeros(len(phrases), most), 1  # behind the token that begins every text
    for place, phrase in enumerate(phrases):
        own = tokenizer(phrase, add_special_tokens=False)["input_ids"]
        if not own or tokens[start : start + len(own)] != own:
            raise ValueError(f"found {phrase!r} in the prompts, expected words that the detector can read")
        spans[place, start : start + len(own)] = 1 / len(own)
        start += len(own) + 1  # and the full stop
    return text, spans


def detections(
    logits: Tensor, boxes: Tensor, spans: Tensor, owners: Tensor, thresholds: tuple[float, float]
) -> Detections:
    """Boxes of an image with the class that fits each best.

    The library reads a box's phrase off its tokens above a threshold, which may be a part of a phrase, or of two. Here
    a phrase's probability is the mean over its tokens, as in the detector's own evaluation on COCO: "vehicle" alone
    does not make a car a construction vehicle.

    Args:
        logits: (Q, T), of each box for each token; −∞ where there is none.
        boxes: (Q, 4), center and size, as parts of width and height.
        spans: (P, T), of `phrase_spans`.
        owners: (P,), the class that each phrase belongs to.
        thresholds: least probability of a box for any token, and for its phrase; both must be exceeded.
    """
    probabilities = logits.sigmoid()
    by_phrase = probabilities @ spans.T  # (Q, P)
    score, phrase = by_phrase.max(dim=1)
    kept = ((probabilities.amax(dim=1) > thresholds[0]) & (score > thresholds[1])).nonzero()[:, 0]
    kept = kept[score[kept].argsort(stable=True)]
    center, half = boxes[kept, :2], boxes[kept, 2:] / 2
    return Detections(torch.cat([center - half, center + half], dim=1), owners[phrase[kept]], score[kept])


def paint_in_order(masks: Iterable[Tensor], numbers: Tensor, size: tuple[int, int]) -> np.ndarray:
    """A map from masks that overlap: each is painted over those before it.

    Args:
        masks: N of (H, W) bool.
        numbers: (N,), what each is painted with.
        size: H, W.

    Returns:
        (H, W) int64, 0 where no mask is.
    """
    canvas = torch.zeros(size, dtype=torch.int64)
    for mask, number in zip(masks, numbers, strict=True):
        canvas[mask.cpu()] = number
    return canvas.numpy()


def _phrases(prompts: ClassTable) -> list[str]:
    """All phrases in order, as the detector was trained to read them."""
    return [phrase.strip().lower() for phrases in prompts.values() for phrase in phrases]
