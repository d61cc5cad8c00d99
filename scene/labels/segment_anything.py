"""Segment Anything: masks of what a box holds, or of all that points of a grid lie on.

SAM (Kirillov et al., 2023, https://arxiv.org/abs/2304.02643) and SAM 2 (Ravi et al., 2024,
https://arxiv.org/abs/2408.00714), as `transformers` has them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from crosspoint.scene.labels.foundation_model import FoundationModel, import_transformers

_CLASSES = {
    "sam": "Sam",
    "sam2": "Sam2",
    "sam2_video": "Sam2",
}  # published ones are for video, with that of images inside
_BOXES = 16  # decoded at once: their masks take 90 MB for an image of nuScenes
_POINTS = 64  # decoded at once, three masks each


def check_type(model: FoundationModel) -> None:
    """Check that a network is SAM or SAM 2, without its weights.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is another.
    """
    found = model.config().model_type
    if found not in _CLASSES:
        raise ValueError(f"found a network of type {found} in {model.name}, expected SAM or SAM 2")


class SegmentAnything:
    """The network and what prepares its inputs.

    Args:
        model: SAM or SAM 2.
        device: where it runs.

    Raises:
        FileNotFoundError: if it is not there.
        ValueError: if it is another network.
    """

    def __init__(self, model: FoundationModel, device: str) -> None:
        check_type(model)
        transformers = import_transformers()
        name = _CLASSES[model.config().model_type]
        self.processor: Any = model.processor(getattr(transformers, f"{name}Processor"))
        self.network: Any = model.network(getattr(transformers, f"{name}Model"), device)
        self.device = device

    @torch.inference_mode()
    def in_boxes(self, image: np.ndarray, boxes: Tensor) -> Iterator[Tensor]:
        """The mask of what each box holds.

        Args:
            image: (H, W, 3) uint8.
            boxes: (N, 4): left, top, right, bottom in pixels.

        Yields:
            N masks (H, W) bool, one by one.
        """
        if len(boxes) == 0:
            return
        inputs = self._inputs(image, input_boxes=[boxes.tolist()])
        for chosen in inputs.pop("input_boxes").split(_BOXES, dim=1):
            outputs = self.network(input_boxes=chosen, multimask_output=False, **inputs["embedded"])
            yield from self._full_size(outputs.pred_masks, inputs)[:, 0] > 0

    @torch.inference_mode()
    def everywhere(
        self, image: np.ndarray, points: int, predicted_iou: float, stability: float, overlap: float
    ) -> list[Tensor]:
        """Masks of all that points of a regular grid lie on, as SAM's generator of masks finds them.

        The pipeline "mask-generation" of `transformers` (5.24) is not used: it scales its grid as SAM scales images, by
        the longer side, and SAM 2 stretches them to a square, so that its points would lie in the upper part alone of
        an image that is wider than high.

        Args:
            image: (H, W, 3) uint8.
            points: along each side.
            predicted_iou: masks whose quality the network itself guesses at no more than that are left out.
            stability: masks whose IoU under a shift of the threshold by one logit is no more than that are left out.
            overlap: of two masks whose boxes have a higher IoU, the one of the lower quality is left out.

        Returns:
            Masks (H, W) bool, the best first.
        """
        height, width = image.shape[:2]
        along = (np.arange(points) + 0.5) / points
        grid = np.stack(np.meshgrid(along * width, along * height), axis=-1).reshape(1, -1, 1, 2)
        inputs = self._inputs(image, input_points=grid.tolist())
        filtering = self.processor.image_processor
        masks, scores, boxes = [], [], []
        for chosen in inputs.pop("input_points").split(_POINTS, dim=1):
            outputs = self.network(input_points=chosen, **inputs["embedded"])
            kept = filtering.filter_masks(
                self._full_size(outputs.pred_masks, inputs),
                outputs.iou_scores[0],
                (height, width),
                [0, 0, width, height],
                pred_iou_thresh=predicted_iou,
                stability_score_thresh=stability,
            )
            masks += kept[0]
            scores.append(kept[1].cpu())
            boxes.append(kept[2].cpu())
        return filtering.post_process_for_mask_generation(masks, torch.cat(scores), torch.cat(boxes), overlap)[0]

    def _inputs(self, image: np.ndarray, **prompts: Any) -> dict[str, Any]:
        """Prompts in the network's coordinates, sizes, and what it makes of the image, computed once."""
        inputs = dict(self.processor(images=image, return_tensors="pt", **prompts).to(self.device, torch.float32))
        embeddings = self.network.get_image_embeddings(inputs.pop("pixel_values"))
        return {**inputs, "embedded": {"image_embeddings": embeddings}}

    def _full_size(self, masks: Tensor, inputs: dict[str, Any]) -> Tensor:
        """Logits (1, N, M, h, w) of the network as (N, M, H, W) of the image."""
        sizes = {"reshaped_input_sizes": inputs["reshaped_input_sizes"]} if "reshaped_input_sizes" in inputs else {}
        full: list[Tensor] = self.processor.image_processor.post_process_masks(
            masks, inputs["original_sizes"], binarize=False, **sizes
        )
        return full[0]
