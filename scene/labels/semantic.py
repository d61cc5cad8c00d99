"""Classes of a closed vocabulary: each pixel gets what a segmentation network thinks most probable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from crosspoint.renderers.json_object import JsonObject
from crosspoint.scene.labels.class_table import DRIVING, ClassTable, check_table, numbers_of
from crosspoint.scene.labels.foundation_model import FoundationModel, import_transformers
from crosspoint.scene.labels.labeler import Labeler, Painter
from crosspoint.scene.labels.manifest import Kind


@dataclass(frozen=True)
class SemanticLabeler(Labeler):
    """Labels by a network that knows a fixed list of classes.

    Networks that classify masks (EoMT, Kerssies et al., 2025, https://arxiv.org/abs/2503.19108; OneFormer, Jain et al.,
    2023, https://arxiv.org/abs/2211.06220; Mask2Former) and those that classify pixels (SegFormer) are meant; all come
    through `transformers`.

    Args:
        model: hub id or folder.
        revision: of the hub's repository.
        classes: which classes of the network make up each of ours.
        confidence: pixels with a lower probability are left at 0.

    Raises:
        ValueError: if the table is none, or the confidence is no probability.
    """

    model: str = "tue-mps/cityscapes_semantic_eomt_large_1024"
    revision: str | None = None
    classes: ClassTable = field(default_factory=lambda: DRIVING)
    confidence: float = 0.5

    kind: ClassVar[Kind] = "semantic"

    def __post_init__(self) -> None:
        check_table(self.classes, "the table of classes")
        if not 0 <= self.confidence <= 1:
            raise ValueError(f"found the confidence {self.confidence}, expected 0 to 1")

    @property
    def names(self) -> list[str]:
        """Our classes."""
        return list(self.classes)

    def recipe(self) -> JsonObject:
        """The network's identity, the table and the confidence."""
        self._numbers()  # a table that does not fit is an error before anything is loaded
        classes = {name: list(theirs) for name, theirs in self.classes.items()}
        return {"labels": "semantic", **self._foundation.identity(), "confidence": self.confidence, "classes": classes}

    def load(self, device: str) -> Painter:
        """The network."""
        transformers = import_transformers()
        config, numbers = self._foundation.config(), self._numbers().to(device)
        # OneFormer's would look up names of classes in another repository; only its training needs them.
        oneformer = config.model_type == "oneformer"
        processor = self._foundation.processor(
            transformers.AutoProcessor if oneformer else transformers.AutoImageProcessor,
            **({"class_info_file": None} if oneformer else {}),
        )
        network = self._foundation.network(_auto_class(config, self.model), device)

        @torch.inference_mode()
        def paint(images: Sequence[np.ndarray]) -> list[np.ndarray]:
            task = {"task_inputs": ["semantic"] * len(images)} if oneformer else {}
            inputs = processor(images=list(images), return_tensors="pt", **task).to(device)
            outputs = network(**inputs)
            found = processor.post_process_semantic_segmentation(
                outputs, target_sizes=[image.shape[:2] for image in images], return_segmentation_scores=True
            )
            by_pixel = "logits" in outputs
            scores = [each["segmentation_scores"] for each in found]
            probabilities = [each.softmax(dim=0) if by_pixel else normalized(each) for each in scores]
            return [
                most_probable(each, numbers, len(self.classes), self.confidence).cpu().numpy() for each in probabilities
            ]

        return paint

    @property
    def _foundation(self) -> FoundationModel:
        return FoundationModel(self.model, self.revision)

    def _numbers(self) -> Tensor:
        labels = self._foundation.config().id2label
        return numbers_of(self.classes, [labels[place] for place in sorted(labels)], self.model)


def normalized(scores: Tensor) -> Tensor:
    """Probabilities of the classes at each pixel, from what a network that classifies masks says.

    Its score of a class is the sum over masks of "the mask has this class" times "the pixel is in the mask". Several
    masks on a pixel may add up to more than 1, and are then scaled to 1; where none is sure, less than 1 is left as it
    is, so that such a pixel has a low probability of anything.

    Args:
        scores: (C, H, W), from 0.

    Returns:
        (C, H, W), at most 1 in sum over C.
    """
    return scores / scores.sum(dim=0).clamp(min=1)


def most_probable(probabilities: Tensor, numbers: Tensor, count: int, confidence: float) -> Tensor:
    """Our most probable class at each pixel.

    Args:
        probabilities: (C, H, W) of the network's classes.
        numbers: (C,), the class of ours that each is a part of, 0 for none.
        count: K, how many we have.
        confidence: least probability.

    Returns:
        (H, W) int64: 1…K; 0 where the probability is lower, or that of all classes which are not ours is higher.
    """
    membership = torch.nn.functional.one_hot(numbers, count + 1).to(probabilities)  # (C, 1 + K)
    best, number = torch.tensordot(membership, probabilities, dims=([0], [0])).max(dim=0)
    return number.masked_fill_(best < confidence, 0)


def _auto_class(config: Any, name: str) -> Any:
    transformers = import_transformers()
    for kind, mapping in (
        (transformers.AutoModelForUniversalSegmentation, transformers.MODEL_FOR_UNIVERSAL_SEGMENTATION_MAPPING),
        (transformers.AutoModelForSemanticSegmentation, transformers.MODEL_FOR_SEMANTIC_SEGMENTATION_MAPPING),
    ):
        if type(config) in mapping:
            return kind
    raise ValueError(
        f"found a network of type {config.model_type} in {name}, expected one for semantic segmentation: EoMT, "
        "OneFormer, Mask2Former or SegFormer"
    )
