"""Prediction of a trained network for one item: a cloud of an object, or a LiDAR frame."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from crosspoint.eval.panoptic.grouping import GroupingConfig
from crosspoint.eval.panoptic.training import answer_frames
from crosspoint.eval.supervised.part_segmentation import part_answers
from crosspoint.eval.supervised.trained_network import PanopticHead, PartHead, TrainedNetwork
from crosspoint.models.raw_cloud import drawn_points
from crosspoint.scene.data.batch import LidarBatch, stack_samples, within_extent
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.detection.found_boxes import FoundBoxes
from crosspoint.scene.ops.voxels import VoxelBatch


class Prediction(NamedTuple):
    """Prediction of a network for one item; what its task does not predict is None."""

    name: str
    label: str = ""  # as the source has it; the category whose parts were predicted
    probabilities: np.ndarray | None = None  # (K,) float32 of the classes of an object
    points: np.ndarray | None = None  # (N, 3) float32 as given: where parts belong
    parts: np.ndarray | None = None  # (N,) int16, the likeliest of all parts
    own_parts: np.ndarray | None = None  # (N,) int16, the likeliest of those of the category
    classes: np.ndarray | None = None  # (N,) int16 of the points of a frame
    objects: np.ndarray | None = None  # (N,) int16 of the same, 0 for none
    boxes: FoundBoxes | None = None  # of a frame, the best first
    pose: Tensor | None = None  # (4, 4) of a frame, LiDAR → world, as its dataset says it


class Predictor:
    """A trained network that predicts one item at a time.

    Args:
        trained: from `load_network`.
        device: where the network runs.
        up_axis: of clouds, "x", "y" or "z"; None where it is that of training.
        category: of all clouds whose parts are predicted; None takes each one's label.

    Raises:
        ValueError: if there is no such category.
    """

    def __init__(
        self,
        trained: TrainedNetwork,
        *,
        device: str = "cpu",
        up_axis: str | None = None,
        category: str | None = None,
    ) -> None:
        self.trained, self.task = trained, trained.record.task
        self.device, self.up_axis, self.category = torch.device(device), up_axis, category
        if category is not None and self.task != "parts":
            raise ValueError(f"found the category {category} for a network of {self.task}, expected none: leave it out")
        if category is not None:
            self._place(category, "")
        trained.network.to(self.device).eval()

    def __call__(
        self, item: np.ndarray | LidarSample, name: str = "", label: str = "", *, prepared: bool = False
    ) -> Prediction:
        """The prediction for one item.

        Args:
            item: a cloud (N, 3 + 3 F) of an object in its own units, or a frame with the field "intensity".
            name: of it; a frame's own name stands before.
            label: of it, "" where there is none. Of a network of parts it is the category.
            prepared: the cloud is in the frame of training already, with as many points, and is taken as it is.

        Raises:
            ValueError: if the network is for other items, the cloud cannot be used, its category is unknown, or the
                answer is not finite.
        """
        frames = self.trained.inputs.kind != "points"
        if frames != isinstance(item, LidarSample):
            found, wanted = ("frames", "a cloud") if frames else ("objects", "a frame")
            raise ValueError(
                f"found a network of {found} in {self.trained.path} for {wanted}, expected one for such data: give "
                f"{'--dataset for LiDAR frames' if frames else 'meshes, clouds, or a dataset of objects'}"
            )
        with torch.inference_mode():
            if isinstance(item, LidarSample):
                return self._of_frame(item, item.name or name)
            return self._of_object(item, name, label, prepared)

    def _of_object(self, cloud: np.ndarray, name: str, label: str, prepared: bool) -> Prediction:
        trained = self.trained
        seen: Tensor = (
            torch.from_numpy(np.ascontiguousarray(cloud, dtype=np.float32))[None].to(self.device)
            if prepared
            else trained.encoder.prepare(cloud, trained.inputs, up_axis=self.up_axis)
        )
        if self.task == "classes":
            probabilities = self._finite(trained.network(seen)).softmax(dim=1)[0].cpu().numpy()
            return Prediction(name, label, probabilities=probabilities)
        head: PartHead = trained.settings(PartHead)
        category = self.category or label
        one_hot = torch.zeros(1, len(trained.record.classes), device=self.device)
        one_hot[0, self._place(category, name)] = 1
        logits = self._finite(trained.network(seen, one_hot))
        own = np.zeros((len(head.parts_of_category), head.parts), dtype=bool)
        for place, allowed in enumerate(head.parts_of_category):
            own[place, allowed] = True
        parts = part_answers(logits, seen, one_hot, parts_of_category=own)[0].to(torch.int16).cpu().numpy()
        drawn = drawn_points(len(cloud), trained.inputs.points).numpy()
        if not prepared and len(drawn) < len(cloud):
            # All points get a part, not those alone that were seen.
            nearest = cKDTree(cloud[drawn, :3]).query(cloud[:, :3])[1]
            parts = parts[:, nearest]
        return Prediction(name, category, points=cloud[:, :3].astype(np.float32), parts=parts[0], own_parts=parts[1])

    def _of_frame(self, frame: LidarSample, name: str) -> Prediction:
        trained, voxels = self.trained, self.trained.voxels
        pose, frame = frame.pose, LidarSample(name, frame.points, frame.point_fields)
        if self.task == "boxes":
            batch = stack_samples([within_extent(frame, voxels)], voxels)
            network: Any = trained.network
            return Prediction(name, boxes=network.head.detect(network(self._voxels(batch)))[0].to_cpu(), pose=pose)
        batch = stack_samples([frame], voxels)
        if self.task == "panoptic":
            head: PanopticHead = trained.settings(PanopticHead)
            things = torch.tensor([each in head.things for each in trained.record.classes], device=self.device)
            grouping, panoptic = GroupingConfig(**head.grouping), trained.network
            classes, objects = answer_frames(panoptic, batch, things, grouping, self.device)[0]  # type: ignore[arg-type]
            return Prediction(name, classes=classes.astype(np.int16), objects=objects.astype(np.int16))
        cut = self._voxels(batch)
        given = self._finite(trained.network(cut)).argmax(dim=1)[cut.inverse]
        return Prediction(name, classes=given.to(torch.int16).cpu().numpy())

    def _voxels(self, batch: LidarBatch) -> VoxelBatch:
        return VoxelBatch(*(part.to(self.device) for part in batch.voxelized))

    def _place(self, category: str, name: str) -> int:
        names = self.trained.record.classes
        if category not in names:
            of = f" of {name}" if name else ""
            raise ValueError(
                f"found {f'the category {category}' if category else 'no category'}{of}, expected one of "
                f"{', '.join(names)}: name the folder of the clouds so, or give --category"
            )
        return names.index(category)

    def _finite(self, said: Tensor) -> Tensor:
        if not bool(said.isfinite().all()):
            raise ValueError(
                f"found NaN or infinite answers of {self.trained.path}, expected finite ones: its training has "
                "probably diverged; train again"
            )
        return said
