"""nuScenes (Caesar et al. 2020, https://arxiv.org/abs/1903.11027): keyframes of one LiDAR and six cameras.

    <root>/v1.0-trainval/{sample,sample_data,calibrated_sensor,ego_pose,sensor,scene}.json
    <root>/v1.0-trainval/{lidarseg,category,sample_annotation,instance}.json   where labels or boxes are used
    <root>/samples/{LIDAR_TOP,CAM_FRONT,…}/…
    <root>/sweeps/LIDAR_TOP/…                                                  where several sweeps are aggregated
    <root>/lidarseg/v1.0-trainval/…_lidarseg.bin                               nuScenes-lidarseg, where labels are used

as the archives of https://www.nuscenes.org/nuscenes#download unpack; the devkit is not needed. Sweeps are float32 rows
x y z intensity ring, the intensity 0…255. nuScenes' LiDAR looks along its y axis with x to the right; points, boxes and
cameras are turned here to x forward, y left. Images are rectified.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crosspoint.renderers.files import reading, short
from crosspoint.scene.data.calibration import invert, lidar_cameras, rigid, through_ego
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.data.sample import IGNORED, Boxes, LidarSample
from crosspoint.scene.data.sweeps import EarlierSweep, add_sweeps, check_sweeps
from crosspoint.scene.datasets.nuscenes_keyframes import Keyframe, find_keyframes
from crosspoint.scene.datasets.nuscenes_tables import Record, Tables, placement
from crosspoint.scene.datasets.nuscenes_velocities import box_velocities
from crosspoint.scene.datasets.readers import (
    Sweep,
    layout,
    misfit,
    optional_file,
    read_images,
    read_labels,
    read_sweep,
    to_classes,
)
from crosspoint.scene.datasets.submission import spread_classes

# The version whose scenes a split names, where several lie in one root
_VERSIONS = {"mini_train": "v1.0-mini", "mini_val": "v1.0-mini", "test": "v1.0-test"}
_VERSIONS |= dict.fromkeys(("train", "val", "parametrizing", "verifying"), "v1.0-trainval")

CAMERAS = ("CAM_FRONT", "CAM_FRONT_RIGHT", "CAM_BACK_RIGHT", "CAM_BACK", "CAM_BACK_LEFT", "CAM_FRONT_LEFT")
TO_FORWARD = rigid([[0, 1, 0], [-1, 0, 0], [0, 0, 1]], [0, 0, 0])  # nuScenes' LiDAR → x forward, y left, z up

# The challenge's 16 classes and the labels that make up each, of 32 (https://www.nuscenes.org/lidar-segmentation)
_LABELS = {
    "barrier": (9,), "bicycle": (14,), "bus": (15, 16), "car": (17,), "construction_vehicle": (18,),
    "motorcycle": (21,), "pedestrian": (2, 3, 4, 6), "traffic_cone": (12,), "trailer": (22,), "truck": (23,),
    "driveable_surface": (24,),
    "other_flat": (25,), "sidewalk": (26,), "terrain": (27,), "manmade": (28,), "vegetation": (30,),
}  # fmt: skip
CLASSES = tuple(_LABELS)
CLASS_OF_LABEL = dict.fromkeys(range(32), IGNORED)
CLASS_OF_LABEL |= {label: place for place, name in enumerate(CLASSES) for label in _LABELS[name]}

# The detection challenge's classes, and the beginnings of the categories of each (devkit, eval/detection/utils.py)
_CATEGORIES = {
    "barrier": ("movable_object.barrier",), "bicycle": ("vehicle.bicycle",), "bus": ("vehicle.bus",),
    "car": ("vehicle.car",), "construction_vehicle": ("vehicle.construction",), "motorcycle": ("vehicle.motorcycle",),
    "pedestrian": (
        "human.pedestrian.adult", "human.pedestrian.child", "human.pedestrian.construction_worker",
        "human.pedestrian.police_officer",
    ),
    "traffic_cone": ("movable_object.trafficcone",), "trailer": ("vehicle.trailer",), "truck": ("vehicle.truck",),
}  # fmt: skip
BOX_CLASSES = tuple(_CATEGORIES)


class NuScenes(LidarDataset):
    """Keyframes of nuScenes.

    Args:
        root: the folder of `samples`.
        split: "train", "val", "test", "mini_train", "mini_val", "parametrizing" (600 training scenes), "verifying" (the
            100 others), or a text file of scenes' names; None for all scenes of the version.
        skip: keeps whole scenes: 100, 20, 10, 4 for 1, 5, 10, 25 % of the training scenes, the skip-th first.
        version: the folder of the tables, such as "v1.0-trainval"; None for the only one there is, or of several that
            of the split.
        cameras: names of the cameras, in the order of a frame's images; none for sweeps alone.
        labels: whether points have classes; None for where the table lidarseg names a file that is there.
        boxes: whether frames have boxes of the ten detection classes; None for where there is a table
            sample_annotation, which is large. Boxes have velocities.
        sweeps: how many of the LiDAR are aggregated, the keyframe's and those before it, as the devkit does; 10 is
            customary for detection. Only the keyframe's points have labels.
        weak_labels: folder of PNG maps that mirrors the images: `<folder>/<path of the image relative to root>`, with
            the suffix .png: 0 for nothing, 1 to K for the classes of its manifest.
        superpixels: folder of PNG maps of regions, likewise.
        columns: numbers in a row of a sweep; None for 5: x y z intensity ring.
        intensity_scale: the sensor's largest intensity, which becomes 1; None for 255.
        skip_incomplete: leave out frames that lack a file or a record, or cannot be read, and say how many.

    Raises:
        FileNotFoundError: if a table that is needed is not there, or a folder of maps or its manifest.
        ValueError: if the tables do not fit each other, a keyframe lacks a camera, the split has no scene, or `sweeps`
            is below 1.
    """

    splits = ("train", "val", "test", "mini_train", "mini_val")
    label_table = "lidarseg"  # which names the files of labels

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        skip: int = 1,
        version: str | None = None,
        cameras: Sequence[str] = CAMERAS,
        labels: bool | None = None,
        boxes: bool | None = False,
        sweeps: int = 1,
        *,
        weak_labels: str | Path | None = None,
        superpixels: str | Path | None = None,
        columns: int | None = None,
        intensity_scale: float | None = None,
        skip_incomplete: bool = False,
    ) -> None:
        self._layout = layout(columns, intensity_scale, (5, 255.0))
        check_sweeps(sweeps)
        if not set(cameras) <= set(CAMERAS):
            raise ValueError(f"found cameras {', '.join(cameras)}, expected some of: {', '.join(CAMERAS)}")
        self.root = Path(root)
        tables = Tables(self.root, version, _VERSIONS.get(split or ""))
        self.name = f"nuscenes ({split or tables.folder.name})"
        boxed = tables.has("sample_annotation") if boxes is None else boxes
        self.box_classes = list(BOX_CLASSES) if boxed else []
        self._sweeps = sweeps
        self._keyframes = find_keyframes(tables, split, skip, cameras, sweeps, skip_incomplete)
        data = [record for frame in self._keyframes for record in (frame.lidar, *frame.images, *frame.earlier)]
        self._mounts = tables.index("calibrated_sensor", {record["calibrated_sensor_token"] for record in data})
        self._egos = tables.index("ego_pose", {record["ego_pose_token"] for record in data})
        self._labels_needed = bool(labels)
        self._labels = self._find_labels(tables) if labels or (labels is None and tables.has(self.label_table)) else {}
        self.classes = list(CLASSES) if self._labels else []
        self._boxes = self._find_boxes(tables) if boxed else None
        self.open_maps(self.root, weak_labels, superpixels)
        if skip_incomplete:
            self.leave_out_incomplete()

    def __len__(self) -> int:
        return len(self._keyframes)

    def __getitem__(self, index: int) -> LidarSample:
        frame = self._keyframes[index]
        sweep, points, fields = self._read(frame.lidar)
        for path in self._labels_read(index):
            fields |= self._label_fields(path, sweep.kept)
        boxes = None if self._boxes is None else self._frame_boxes(frame)
        pose = torch.from_numpy(self._to_world(frame.lidar))
        sample = LidarSample(frame.name, points, fields, boxes=boxes, pose=pose)
        if frame.images:
            images = read_images(self.image_files(index))
            mounts = [self._mounts[image["calibrated_sensor_token"]] for image in frame.images]
            intrinsics = [mount.get("camera_intrinsic", []) for mount in mounts]
            from_lidar = [self._to_camera(frame.lidar, image) for image in frame.images]
            with reading(self.root, "cameras in calibrated_sensor.json", "fetch it anew"):
                cameras = lidar_cameras(intrinsics, from_lidar, (images.shape[2], images.shape[3]))
            sample = replace(sample, images=images, cameras=cameras)
        sample = self.with_maps(sample, index)
        if self._sweeps == 1:
            return sample
        return add_sweeps(sample, [self._read_earlier(frame.lidar, record) for record in frame.earlier])

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: sweep, images, labels, earlier sweeps, maps."""
        frame = self._keyframes[index]
        labels = self._labels_read(index)
        sweeps = [self._path(frame.lidar), *self.image_files(index), *labels, *map(self._path, frame.earlier)]
        return [*sweeps, *self.map_files(index)]

    def image_files(self, index: int) -> list[Path]:
        """The image of each camera."""
        return [self._path(image) for image in self._keyframes[index].images]

    def label_files(self, index: int) -> list[Path]:
        """The labels of the sweep, where the table names them."""
        token = self._keyframes[index].lidar["token"]
        return [self.root / self._labels[token]] if token in self._labels else []

    def _label_fields(self, path: Path, kept: np.ndarray) -> dict[str, Tensor]:
        """The point fields that a file of labels gives the returns that were kept (M,) bool."""
        return {"label": torch.from_numpy(to_classes(read_labels(path, kept, "u1"), CLASS_OF_LABEL, path))}

    def _labels_read(self, index: int) -> list[Path]:
        wanted = True if self._labels_needed else None
        return [path for named in self.label_files(index) for path in optional_file(named, wanted)]

    def misfit(self, index: int) -> str | None:
        """What the sizes of sweep and labels say is wrong."""
        labels = self._labels_read(index) if self.label_table == "lidarseg" else []
        return misfit(self._path(self._keyframes[index].lidar), self._layout[0], labels, width=1)

    def sample_token(self, index: int) -> str:
        """The token of a keyframe's sample, by which result files name it."""
        return self._keyframes[index].sample

    def submission(self, index: int, predicted: np.ndarray) -> tuple[str, np.ndarray]:
        """The file of a sweep's predictions; errors as of `spread_classes`."""
        lidar = self._keyframes[index].lidar
        kept = read_sweep(self._path(lidar), *self._layout).kept
        numbers = np.arange(1, len(CLASSES) + 1, dtype=np.uint8)
        return f"{lidar['token']}_lidarseg.bin", spread_classes(
            predicted, numbers, kept, str(self._path(lidar)), other=1
        )

    @classmethod
    def splits_in(cls, root: Path | None) -> Sequence[str]:
        """The splits of the versions that are there."""
        return [split for split in cls.splits if root is not None and (root / _VERSIONS[split]).is_dir()]

    def thinned(self, step: int) -> Sequence[int]:
        """The frames of every step-th scene, the step-th first, as SLidR takes 1 % of the labels.

        Raises:
            ValueError: if there are fewer scenes.
        """
        scenes = [frame.name.partition("/")[0] for frame in self._keyframes]
        kept = {*[*dict.fromkeys(scenes)][step - 1 :: step]}
        if not kept:
            raise ValueError(
                f"found {len(set(scenes))} scenes in {self.name}, expected {step} or more, of which every {step}-th is "
                "taken: give a larger share of the labels"
            )
        return [index for index, scene in enumerate(scenes) if scene in kept]

    def keep_frames(self, kept: Sequence[int]) -> None:
        """Leave out all frames but these."""
        self._keyframes = [self._keyframes[index] for index in kept]

    def _read(self, lidar: Record) -> tuple[Sweep, Tensor, dict[str, Tensor]]:
        """A sweep, its points with x forward, and their fields."""
        sweep = read_sweep(self._path(lidar), *self._layout)
        points = sweep.points @ torch.from_numpy(TO_FORWARD[:3, :3].T).float()
        fields = {"intensity": sweep.intensity}
        if sweep.others.shape[1]:
            fields["ring"] = sweep.others[:, 0].long()
        return sweep, points, fields

    def _read_earlier(self, lidar: Record, record: Record) -> EarlierSweep:
        _, points, fields = self._read(record)
        # World coordinates reach kilometers: the vehicle's two poses meet before anything else.
        (mount, ego), (earlier_mount, earlier_ego) = self._placed(lidar), self._placed(record)
        between = invert(mount) @ (invert(ego) @ earlier_ego) @ earlier_mount
        seconds = 1e-6 * (lidar["timestamp"] - record["timestamp"])
        return EarlierSweep(points, fields, TO_FORWARD @ between @ invert(TO_FORWARD), seconds)

    def _path(self, data: Record) -> Path:
        return self.root / data["filename"]

    def _placed(self, data: Record) -> tuple[np.ndarray, np.ndarray]:
        """Sensor → vehicle, and vehicle → world when the data was taken."""
        mount = placement(self._mounts[data["calibrated_sensor_token"]])
        return mount, placement(self._egos[data["ego_pose_token"]])

    def _to_world(self, lidar: Record) -> np.ndarray:
        mount, ego = self._placed(lidar)
        return ego @ mount @ invert(TO_FORWARD)

    def _to_camera(self, lidar: Record, image: Record) -> np.ndarray:
        (lidar_mount, lidar_ego), (camera_mount, camera_ego) = self._placed(lidar), self._placed(image)
        return through_ego(lidar_mount @ invert(TO_FORWARD), lidar_ego, camera_ego, camera_mount)

    def _find_labels(self, tables: Tables) -> dict[str, str]:
        """The label file of each keyframe's sweep; where labels are asked for, of all of them."""
        tokens = {frame.lidar["token"] for frame in self._keyframes}
        records = tables.read(self.label_table, lambda record: record["sample_data_token"] in tokens)
        files = {record["sample_data_token"]: record["filename"] for record in records}
        if self._labels_needed and len(files) < len(tokens):
            raise ValueError(
                f"found labels of {len(files)} of {len(tokens)} keyframes in {tables.folder}/{self.label_table}.json, "
                f"expected all: fetch nuScenes-{self.label_table} of this version, or set labels to false"
            )
        return files

    def _find_boxes(self, tables: Tables) -> dict[str, list[tuple[Record, int, np.ndarray]]]:
        """The annotations of each sample that are of a detection class, their class, and velocity in the world."""
        samples = {frame.sample for frame in self._keyframes}
        annotations = tables.read("sample_annotation", lambda record: record["sample_token"] in samples)
        instances = tables.index("instance", {record["instance_token"] for record in annotations})
        names = {token: record["name"] for token, record in tables.index("category").items()}
        found: dict[str, list[tuple[Record, int, np.ndarray]]] = defaultdict(list)
        for record, velocity in zip(annotations, box_velocities(tables, annotations), strict=True):
            category = names.get(instances[record["instance_token"]]["category_token"])
            if category is None:
                raise ValueError(
                    f"found no category of instance {short(record['instance_token'])} in {tables.folder}/category.json"
                    ", expected it: the tables are of several versions or cut off"
                )
            for place, beginnings in enumerate(_CATEGORIES.values()):
                if category.startswith(beginnings):
                    found[record["sample_token"]].append((record, place, velocity))
        return found

    def _frame_boxes(self, frame: Keyframe) -> Boxes:
        mount, ego = self._placed(frame.lidar)
        from_world = TO_FORWARD @ invert(mount) @ invert(ego)
        geometry, labels, velocities = [], [], []
        for record, label, velocity in (self._boxes or {}).get(frame.sample, []):
            pose = from_world @ placement(record)
            width, length, height = record["size"]
            geometry.append([*pose[:3, 3], length, width, height, np.arctan2(pose[1, 0], pose[0, 0])])
            labels.append(label)
            velocities.append(from_world[:2, :2] @ velocity)  # of the level part, which `to_world` takes back exactly
        stacked = np.array(geometry, dtype=np.float64).reshape(-1, 7)
        speed = np.array(velocities, dtype=np.float64).reshape(-1, 2)
        return Boxes(torch.from_numpy(stacked), torch.tensor(labels, dtype=torch.int64), torch.from_numpy(speed))
