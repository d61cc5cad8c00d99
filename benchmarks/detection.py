"""Detection on one core: suppression of 4,096 turned boxes, KITTI's AP of its 3,769 validation frames, a training step.

Boxes lie as a detector gives them, many around each object of a scene; anywhere in it; and, the worst case, all within
some meters, so that circumscribed circles exclude nothing. Thresholds are SECOND's (0.01) and those of PV-RCNN's
proposals (0.7, 0.8).

The training step is that of four frames of the embedded world, the small VoxelNet of
`configs/scene_ppkt_voxelnet_synthetic.yaml` and either head: map, loss with its targets, gradients, AdamW. Beside it
stands the encoder's own step, from voxels to the map and from a gradient there back to the weights, with AdamW.
"""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.optim import AdamW

from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.eval.metrics.detection.kitti import kitti_scores
from crosspoint.eval.supervised.boxed_frames import BoxedFrames
from crosspoint.eval.supervised.detection import with_anchors
from crosspoint.scene.data.batch import LidarBatch
from crosspoint.scene.datasets.kitti_labels import KittiLabels
from crosspoint.scene.detection.detector import Detector, DetectorConfig, build_detector
from crosspoint.scene.models.birdseye_encoder import BirdsEyeEncoder
from crosspoint.scene.models.voxelnet import VoxelNet
from crosspoint.scene.ops.box_suppression import rotated_nms
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.scene.synthetic.dataset import SyntheticScenes

SIZES = torch.tensor([[3.9, 1.6, 1.56], [0.8, 0.6, 1.73], [1.76, 0.6, 1.73]])  # length, width, height of the classes
NAMES = np.array(["Car", "Pedestrian", "Cyclist"])
VOXELS = VoxelConfig("cartesian", 0.2, extent=(-25.6, -25.6, -4, 25.6, 25.6, 4), features="xyz_intensity", average=True)
SMALL: dict[str, Any] = {"widths": [32, 64], "layers": [2, 2], "up": 32, "center_width": 32}


def anywhere(count: int, meters: float, generator: Generator) -> Tensor:
    """Boxes (count, 7) of three classes within a square."""
    boxes = torch.rand(count, 7, generator=generator)
    boxes[:, :2] = (boxes[:, :2] - 0.5) * meters
    boxes[:, 3:6] = SIZES[torch.randint(3, (count,), generator=generator)] * (0.8 + 0.4 * boxes[:, 3:6])
    boxes[:, 6] *= 2 * math.pi
    return boxes


def around_objects(count: int, objects: int, generator: Generator) -> Tensor:
    """Boxes (count, 7) near one of some objects."""
    boxes = anywhere(objects, 100.0, generator)[torch.randint(objects, (count,), generator=generator)]
    spread = torch.tensor([0.3, 0.3, 0.1, 0.05, 0.05, 0.05, 0.1])
    return boxes + spread * torch.randn(count, 7, generator=generator)


def frames(count: int, objects: int, generator: np.random.Generator) -> tuple[list[KittiLabels], list[KittiLabels]]:
    """Labels, and as many detections of which four of five lie near a labeled object."""
    truth, found = [], []
    for _ in range(count):
        kind = generator.integers(3, size=objects)
        length, width, height = SIZES.numpy().astype(np.float64)[kind].T
        positions = np.stack([*generator.uniform([[-20], [1.6], [5]], [[20], [1.8], [60]], (3, objects))], axis=1)
        turn = generator.uniform(-np.pi, np.pi, objects)
        sizes = np.stack([height, width, length], axis=1)
        truncation, occlusion = generator.choice([0, 0.2, 0.4], objects), generator.integers(3, size=objects)
        truth.append(seen(NAMES[kind], truncation, occlusion, sizes, positions, turn, None))
        near = np.where(generator.random((objects, 1)) < 0.8, 0.1, 10.0)
        moved = positions + near * generator.normal(size=(objects, 3)) * [1, 0.3, 1]
        moved[:, 2] = np.maximum(moved[:, 2], 2)
        turned = turn + 0.05 * generator.normal(size=objects)
        none = np.full(objects, -1.0)
        found.append(seen(NAMES[kind], none, none, sizes, moved, turned, generator.random(objects)))
    return truth, found


def seen(
    names: np.ndarray,
    truncation: np.ndarray,
    occlusion: np.ndarray,
    sizes: np.ndarray,
    positions: np.ndarray,
    turn: np.ndarray,
    scores: np.ndarray | None,
) -> KittiLabels:
    """Objects with image boxes of about the right place and size."""
    x, y, z = positions.T
    height, width, _ = sizes.T
    box = 720 * np.stack([x - width / 2, y - height, x + width / 2, y]) / z
    alpha = turn - np.arctan2(x, z)
    return KittiLabels(names.tolist(), truncation, occlusion, alpha, box.T, sizes, positions, turn, scores)


class Steps:
    """Training steps of a detector, and of its encoder alone, on one batch.

    Args:
        frames: whose first few are the batch.
        count: how many.
        config: of the detector.
    """

    def __init__(self, frames: BoxedFrames, count: int, config: DetectorConfig) -> None:
        torch.manual_seed(0)
        assert VOXELS.grid is not None
        encoder = VoxelNet.small(grid=VOXELS.grid)
        self.batch: LidarBatch = frames.collate([frames[index, 0] for index in range(count)])
        self.count = count
        made = build_detector(encoder, frames.dataset.box_classes, VOXELS, with_anchors(config, frames))
        self.detector: Detector = made.train()
        self.optimizer = AdamW(self.detector.parameters(), lr=1e-3)
        self.alone: BirdsEyeEncoder = encoder.for_detection(VOXELS.grid, VOXELS.channels).train()
        self.optimizer_alone = AdamW(self.alone.parameters(), lr=1e-3)
        self.gradient = torch.randn(count, self.alone.map_dim, *self.alone.map_size)

    def of_detector(self) -> None:
        """Map, heads, loss with its targets, and back."""
        assert self.batch.boxes is not None
        said = self.detector(self.batch.voxelized)
        torch.stack([*self.detector.head.loss(said, self.batch.boxes).values()]).sum().backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def of_encoder(self) -> None:
        """Voxels to the map, and back from a gradient there."""
        self.alone.birdseye(SparseTensor.of(self.batch.voxelized), self.count).backward(self.gradient)
        self.optimizer_alone.step()
        self.optimizer_alone.zero_grad()


def training_steps(count: int, repeats: int) -> list[dict[str, Any]]:
    """Lines of the table: the encoder's step and the detector's, and how many times as long the second takes."""
    world = SyntheticScenes("train", sequences=-(-count // 2), frames=2, size=(16, 64))
    frames, rows = BoxedFrames(world, VOXELS), []
    for head in ("center", "anchor"):
        steps = Steps(frames, count, DetectorConfig(head, **SMALL))
        both = {"encoder": steps.of_encoder, "detector": steps.of_detector}
        seconds = medians(both, repeats, clock=time.process_time)
        for name, run in both.items():
            ratio = f"{seconds[name] / seconds['encoder']:.2f} × encoder"
            what = f"training step of the {name}" + (f", head {head}" if name == "detector" else "")
            values = {"cpu_seconds": seconds[name], "peak_mb": peak_memory(run) / 2**20}
            rows.append({"what": what, "size": count, "kept": ratio, **values})
    return rows


def main() -> None:
    parser = options(__doc__)
    args = parser.parse_args()
    torch.set_num_threads(1)
    count, generator = (512 if args.quick else 4096), Generator().manual_seed(0)
    scores = torch.rand(count, generator=generator)
    sets = {
        "around 60 objects": around_objects(count, 60, generator),
        "within 100 m": anywhere(count, 100.0, generator),
        "within 10 m": anywhere(count, 10.0, generator),
        "within 1 m": anywhere(count, 1.0, generator),
    }
    rows: list[dict[str, Any]] = []
    for name, boxes in sets.items():
        for threshold in (0.01, 0.7, 0.8):
            run = lambda boxes=boxes, threshold=threshold: rotated_nms(boxes, scores, threshold)  # noqa: E731
            what = f"boxes {name}, IoU {threshold}"
            rows.append(row(what, count, len(run()), run, rounds(args)))
    number = 100 if args.quick else 3769
    truth, found = frames(number, 20, np.random.default_rng(0))
    run = lambda: kitti_scores(truth, found)  # noqa: E731
    rows.append(row("KITTI AP, frames of 20 objects", number, "–", run, args.rounds or 1))
    rows += training_steps(1 if args.quick else 4, rounds(args))
    report("detection", rows, args)


def row(what: str, size: int, kept: object, run: Any, repeats: int) -> dict[str, Any]:
    """One line of the table."""
    seconds = medians({"ours": run}, repeats, clock=time.process_time)["ours"]
    return {"what": what, "size": size, "kept": kept, "cpu_seconds": seconds, "peak_mb": peak_memory(run) / 2**20}


if __name__ == "__main__":
    main()
