"""Detection of objects in scenes: how good an encoder is as the beginning of a detector.

The protocols of OpenPCDet (https://github.com/open-mmlab/OpenPCDet), with which the papers of the field measure their
pre-training: SECOND on KITTI and CenterPoint on nuScenes, all of the network trained, on 1 to 100 % of the labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch

from crosspoint.eval.results import Result
from crosspoint.eval.supervised.box_scores import benchmark_scores, box_scores
from crosspoint.eval.supervised.boxed_frames import BoxedFrames
from crosspoint.eval.supervised.center_scores import center_scores
from crosspoint.eval.supervised.cloud_training import check_free, save_network
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.detector_training import DetectionConfig, DetectorTraining, find_boxes
from crosspoint.eval.supervised.frame_training import interrupted_training
from crosspoint.eval.supervised.labeled_frames import in_dataset_order, label_step
from crosspoint.eval.supervised.network_record import frames_record
from crosspoint.eval.supervised.on_validation import OnValidation
from crosspoint.eval.supervised.trainer import Fitted, fit_and_choose, seeded
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.plugins import plain
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import Boxes
from crosspoint.scene.detection.anchors import anchors_of_boxes
from crosspoint.scene.detection.detector import Detector, DetectorConfig, build_detector
from crosspoint.scene.detection.found_boxes import FoundBoxes
from crosspoint.scene.models.birdseye_encoder import BirdsEyeEncoder
from crosspoint.scene.ops.voxels import VoxelConfig
from crosspoint.training.loggers import Names, check_loggers
from crosspoint.training.run_folder import writes_alone

DETECTOR = DetectorConfig()
RECIPE = DetectionConfig()
RESOURCES = Resources(evaluation_batch=4)  # frames


@writes_alone
def detection(
    encoder: PointEncoder,
    train: LidarDataset,
    test: LidarDataset,
    *,
    voxels: VoxelConfig,
    detector: DetectorConfig = DETECTOR,
    recipe: DetectionConfig = RECIPE,
    validation: LidarDataset | None = None,
    fraction: float = 1.0,
    seed: int = 0,
    resources: Resources | None = None,
    progress: bool = False,
    out: Path | None = None,
    logger: Names | None = None,
) -> Result:
    """Average precision of a detector that starts from an encoder, over the boxes of the test frames, in percent.

    - ap_3d, ap_bev: of the epoch with the highest ap_3d on the validation frames, and of the last epoch where there are
      none. `crosspoint.eval.supervised.box_scores` defines them.
    - map_centers, nds_like and three errors: AP by the distance of centers, as nuScenes counts, on any dataset.
      `crosspoint.eval.supervised.center_scores` defines them.
    - car_3d_moderate, …: on `kitti_object`, what its benchmark asks for, by class and difficulty, and their mean.
    - map, nds, …: on `nuscenes`, as its challenge defines them, but for what `benchmark_scores` names.
    - validation_ap_3d: of the chosen epoch, where there are validation frames.

    The records are a row for each epoch, then a row for each class. The encoder itself is not changed. The same
    arguments give the same result on a CPU; a GPU adds in varying order.

    Args:
        encoder: a (pre-trained) network that gives maps from above, such as VoxelNet. All of it is trained.
        train: frames to learn from, with boxes.
        test: frames to measure on, with boxes of the same classes.
        voxels: how space is cut, with an extent; need not be that of pre-training.
        detector: what is built on the encoder.
        recipe: of training.
        validation: frames that choose the epoch; None takes the last one.
        fraction: of the training frames that boxes are taken of, as in `semantic_segmentation`.
        seed: of the layers on the encoder, the order and the augmentation.
        resources: what it runs on.
        progress: show progress bars.
        out: new folder for `network.safetensors`, a `Detector`'s weights of the chosen epoch, and `predictions.npz`
            (boxes (n, 7), labels and scores of all test frames; offsets, where each frame begins, and the end).
            Interrupted, the same call goes on from the last whole epoch.
        logger: csv, tensorboard, wandb, mlflow, several of them, which write to `out`; None takes none.

    Raises:
        ImportError: if a logger's package is not installed.
        ValueError: if datasets do not fit together, have no frame or no boxes, if boxes are not finite or of a negative
            size, if the encoder has no maps from above, if settings do not fit the classes, if `out` is taken or being
            written to, or if the loss stops being finite.
    """
    check_free(out)
    check_loggers(logger, out)
    resources = resources or RESOURCES
    seen_from_above = _check(encoder, train, test, validation)
    learned = BoxedFrames(
        train, voxels, every=label_step(fraction), augmentation=recipe.augmentation, sampling=recipe.sampling
    )
    held = None if validation is None else BoxedFrames(validation, voxels)
    tested = BoxedFrames(test, voxels)
    detector = with_anchors(detector, learned)
    _check_velocities(detector, learned)
    with seeded(seed):
        network = build_detector(seen_from_above, train.box_classes, voxels, detector)
    fitted = _train(network, learned, held, detector, recipe, resources, seed, progress, out, logger)
    if fitted.epoch < len(fitted.records):
        network.load_state_dict(fitted.weights)
    found, truth = find_boxes(network, tested, resources, resources.device), tested.boxes()
    metrics, rows = box_scores(found, truth, train.box_classes)
    by_centers, more = center_scores(found, truth, train.box_classes)
    metrics |= by_centers
    rows = [row | further for row, further in zip(rows, more, strict=True)]
    metrics |= benchmark_scores(found, test, tested.indices)
    if out is not None:
        record = frames_record("boxes", network.encoder, voxels, train, {"detector": plain(detector)})
        save_network(out, network, record, **_arrays(in_dataset_order(found, tested.indices)))
    row = fitted.records[fitted.epoch - 1]
    metrics |= {key: row[key] for key in ("validation_ap_3d",) if key in row}
    constants = {
        "data": train.name,
        "train": len(learned),
        "fraction": fraction,
        "validation": 0 if held is None else len(held),
        "validation_data": None if validation is None else validation.name,
        "test": len(tested),
        "test_data": test.name,
        "boxes": _count(truth),
        "classes": len(train.box_classes),
        "voxels": plain(voxels),
        "detector": plain(detector),
        **plain(recipe),
        **fitted.constants,
        "epoch": fitted.epoch,
    }
    return Result("detection", metrics, constants, [*fitted.records, *rows])


def with_anchors(config: DetectorConfig, frames: BoxedFrames) -> DetectorConfig:
    """The settings with anchors of the training boxes, where the head has some and none are given."""
    if config.head != "anchor" or config.anchors is not None:
        return config
    boxes = frames.boxes()
    geometry, labels = torch.cat([one.geometry for one in boxes]), torch.cat([one.labels for one in boxes])
    return replace(config, anchors=anchors_of_boxes(frames.dataset.box_classes, geometry, labels))


def _train(
    network: Detector,
    train: BoxedFrames,
    validation: BoxedFrames | None,
    detector: DetectorConfig,
    recipe: DetectionConfig,
    resources: Resources,
    seed: int,
    progress: bool,
    folder: Path | None,
    logger: Names | None,
) -> Fitted:
    """Train the network in place; it ends with the weights of the last epoch, in eval mode, on the CPU."""
    settings = [asdict(train.voxels), plain(detector), plain(recipe), seed]
    unfinished = interrupted_training(folder, network, train, validation, resources, "detection", settings)
    training = DetectorTraining(network.train(), train, recipe, resources, seed)
    measurement = OnValidation("ap_3d", None if validation is None else partial(_figures, validation, resources))
    return fit_and_choose(
        training, measurement, epochs=recipe.epochs, progress=progress, unfinished=unfinished, logger=logger
    )


def _figures(frames: BoxedFrames, resources: Resources, network: Detector, device: torch.device) -> dict[str, float]:
    found = find_boxes(network, frames, resources, device)
    return box_scores(found, frames.boxes(), frames.dataset.box_classes)[0]


def _arrays(found: Sequence[FoundBoxes]) -> dict[str, np.ndarray]:
    """All detections, frame after frame, as `predictions.npz` has them."""
    geometry, labels, scores = (torch.cat([boxes[place] for boxes in found]).numpy() for place in range(3))  # type: ignore[misc]
    offsets = np.cumsum([0, *(len(boxes.scores) for boxes in found)])
    arrays = {"boxes": geometry, "labels": labels, "scores": scores, "offsets": offsets}
    velocities = [boxes.velocities for boxes in found if boxes.velocities is not None]
    return arrays | ({"velocities": torch.cat(velocities).numpy()} if velocities else {})


def _check_velocities(config: DetectorConfig, frames: BoxedFrames) -> None:
    boxes = frames.cloud(0).boxes
    if config.velocity and (boxes is None or boxes.velocities is None):
        raise ValueError(
            f"found boxes without velocities in {frames.dataset.name}, expected them for detector.velocity: set it to "
            "false, or take a dataset that has them, such as nuscenes"
        )


def _count(truth: Sequence[Boxes]) -> int:
    return sum(len(boxes.labels) for boxes in truth)


def _check(
    encoder: PointEncoder, train: LidarDataset, test: LidarDataset, validation: LidarDataset | None
) -> BirdsEyeEncoder:
    """Refuse what does not fit together; the encoder, of which is known that it has maps."""
    if not isinstance(encoder, BirdsEyeEncoder):
        raise ValueError(
            f"found a {type(encoder).__name__}, which gives no map from above, expected an encoder that does: pass a "
            "VoxelNet, or your own that extends BirdsEyeEncoder"
        )
    for other in [test] if validation is None else [validation, test]:
        if list(other.box_classes) != list(train.box_classes):
            raise ValueError(
                f"found {len(train.box_classes)} classes of boxes in {train.name} and {len(other.box_classes)} in "
                f"{other.name}, expected the same names in the same order"
            )
    return encoder
