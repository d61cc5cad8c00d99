"""nuScenes (Caesar et al. 2020, https://arxiv.org/abs/1903.11027): keyframes with one sweep and six cameras.

    <root>/v1.0-trainval/{sample,sample_data,calibrated_sensor,ego_pose,sensor,scene}.json
    <root>/v1.0-trainval/{lidarseg,category,sample_annotation,instance}.json   where labels or boxes are used
    <root>/samples/{LIDAR_TOP,CAM_FRONT,…}/…
    <root>/lidarseg/v1.0-trainval/…_lidarseg.bin                               nuScenes-lidarseg, where labels are used

as the archives unpack; the devkit is not needed. Sweeps are float32 rows x y z intensity ring, the intensity 0…255.
nuScenes' LiDAR looks along its y axis with x to the right; points, boxes and cameras are turned here to x forward, y
left. Images are rectified.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from crosspoint.scene.data.calibration import invert, lidar_cameras, rigid, through_ego
from crosspoint.scene.data.sample import IGNORED, Boxes, SceneFrame
from crosspoint.scene.datasets.nuscenes_splits import choose_scenes
from crosspoint.scene.datasets.nuscenes_tables import Record, Tables, placement
from crosspoint.scene.datasets.readers import read_images, read_labels, read_sweep, to_classes

LIDAR = "LIDAR_TOP"
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


@dataclass(frozen=True)
class _Keyframe:
    name: str
    sample: str  # token
    lidar: Record  # of sample_data
    images: list[Record]


class NuScenes:
    """Keyframes of nuScenes.

    Args:
        root: the folder of `samples`.
        split: "train", "val", "test", "mini_train", "mini_val", "parametrizing" (600 training scenes), "verifying" (the
            100 others), or a text file of scenes' names; None for all scenes of the version.
        skip: keeps whole scenes: 100, 20, 10, 4 for 1, 5, 10, 25 % of the training scenes, the skip-th first.
        version: the folder of the tables; None for the only one there is.
        cameras: their order in a frame.
        labels: whether points have classes; None for where there is a table lidarseg.
        boxes: whether frames have boxes of the ten detection classes; None for where there is a table
            sample_annotation, which is large.

    Raises:
        FileNotFoundError: if a table that is needed is not there.
        ValueError: if the tables do not fit each other, a keyframe lacks a camera, or the split has no scene.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        skip: int = 1,
        version: str | None = None,
        cameras: Sequence[str] = CAMERAS,
        labels: bool | None = None,
        boxes: bool | None = False,
    ) -> None:
        if not cameras or not set(cameras) <= set(CAMERAS):
            raise ValueError(f"found cameras {', '.join(cameras) or 'no name'}, expected some of: {', '.join(CAMERAS)}")
        self.root = Path(root)
        tables = Tables(self.root, version)
        self.name = f"nuscenes ({split or tables.folder.name})"
        labeled = tables.has("lidarseg") if labels is None else labels
        self.classes = list(CLASSES) if labeled else []
        boxed = tables.has("sample_annotation") if boxes is None else boxes
        self.box_classes = list(BOX_CLASSES) if boxed else []
        self._keyframes = _find_keyframes(tables, split, skip, cameras)
        data = [record for frame in self._keyframes for record in (frame.lidar, *frame.images)]
        self._mounts = tables.index("calibrated_sensor", {record["calibrated_sensor_token"] for record in data})
        self._egos = tables.index("ego_pose", {record["ego_pose_token"] for record in data})
        self._labels = self._find_labels(tables) if labeled else {}
        self._boxes = self._find_boxes(tables) if boxed else None

    def __len__(self) -> int:
        return len(self._keyframes)

    def __getitem__(self, index: int) -> SceneFrame:
        frame = self._keyframes[index]
        sweep = read_sweep(self._path(frame.lidar), columns=5, full_scale=255.0)
        points = sweep.points
        points[:, :3] = points[:, :3] @ TO_FORWARD[:3, :3].T.astype(np.float32)
        images = read_images([self._path(image) for image in frame.images])
        intrinsics = [self._mounts[image["calibrated_sensor_token"]]["camera_intrinsic"] for image in frame.images]
        from_lidar = [self._to_camera(frame.lidar, image) for image in frame.images]
        cameras = lidar_cameras(intrinsics, from_lidar, (images.shape[2], images.shape[3]))
        labels = None
        if self._labels:
            path = self.root / self._labels[frame.lidar["token"]]
            labels = to_classes(read_labels(path, sweep.kept, "u1"), CLASS_OF_LABEL, path)
        boxes = None if self._boxes is None else self._frame_boxes(frame)
        return SceneFrame(frame.name, points, images, cameras, labels, boxes=boxes)

    def files(self, index: int) -> list[Path]:
        """The files that an access reads: sweep, images, labels."""
        frame = self._keyframes[index]
        labels = [self.root / self._labels[frame.lidar["token"]]] if self._labels else []
        return [self._path(frame.lidar), *map(self._path, frame.images), *labels]

    def _path(self, data: Record) -> Path:
        return self.root / data["filename"]

    def _placed(self, data: Record) -> tuple[np.ndarray, np.ndarray]:
        """Sensor → vehicle, and vehicle → world when the data was taken."""
        mount = placement(self._mounts[data["calibrated_sensor_token"]])
        return mount, placement(self._egos[data["ego_pose_token"]])

    def _to_camera(self, lidar: Record, image: Record) -> np.ndarray:
        (lidar_mount, lidar_ego), (camera_mount, camera_ego) = self._placed(lidar), self._placed(image)
        return through_ego(lidar_mount @ invert(TO_FORWARD), lidar_ego, camera_ego, camera_mount)

    def _find_labels(self, tables: Tables) -> dict[str, str]:
        """The label file of each keyframe's sweep."""
        tokens = {frame.lidar["token"] for frame in self._keyframes}
        records = tables.read("lidarseg", lambda record: record["sample_data_token"] in tokens)
        files = {record["sample_data_token"]: record["filename"] for record in records}
        if len(files) < len(tokens):
            raise ValueError(
                f"found labels of {len(files)} of {len(tokens)} keyframes in {tables.folder}/lidarseg.json, expected "
                "all: fetch nuScenes-lidarseg of this version, or ask for no labels"
            )
        return files

    def _find_boxes(self, tables: Tables) -> dict[str, list[tuple[Record, int]]]:
        """The annotations of each sample that are of a detection class."""
        samples = {frame.sample for frame in self._keyframes}
        annotations = tables.read("sample_annotation", lambda record: record["sample_token"] in samples)
        instances = tables.index("instance", {record["instance_token"] for record in annotations})
        names = {token: record["name"] for token, record in tables.index("category").items()}
        found: dict[str, list[tuple[Record, int]]] = defaultdict(list)
        for record in annotations:
            category = names[instances[record["instance_token"]]["category_token"]]
            for place, beginnings in enumerate(_CATEGORIES.values()):
                if category.startswith(beginnings):
                    found[record["sample_token"]].append((record, place))
        return found

    def _frame_boxes(self, frame: _Keyframe) -> Boxes:
        mount, ego = self._placed(frame.lidar)
        from_world = TO_FORWARD @ invert(mount) @ invert(ego)
        geometry, labels = [], []
        for record, label in (self._boxes or {}).get(frame.sample, []):
            pose = from_world @ placement(record)
            width, length, height = record["size"]
            geometry.append([*pose[:3, 3], length, width, height, np.arctan2(pose[1, 0], pose[0, 0])])
            labels.append(label)
        return Boxes(np.array(geometry, dtype=np.float64).reshape(-1, 7), np.array(labels, dtype=np.int64))


def _find_keyframes(tables: Tables, split: str | None, skip: int, cameras: Sequence[str]) -> list[_Keyframe]:
    """Keyframes by the order of their scenes' table, then by time."""
    scenes = tables.index("scene")
    names = {record["name"]: token for token, record in scenes.items()}
    order = {names[name]: place for place, name in enumerate(choose_scenes(list(names), split, skip))}
    samples = tables.read("sample", lambda record: record["scene_token"] in order)
    samples.sort(key=lambda record: (order[record["scene_token"]], record["timestamp"]))
    tokens = {record["token"] for record in samples}
    channels = {token: record["channel"] for token, record in tables.index("sensor").items()}
    mounts = tables.read("calibrated_sensor")
    sensors = {record["token"]: channels.get(record["sensor_token"]) for record in mounts}
    data: dict[str, dict[str | None, Record]] = defaultdict(dict)
    for record in tables.read("sample_data", lambda r: bool(r["is_key_frame"]) and r["sample_token"] in tokens):
        data[record["sample_token"]][sensors.get(record["calibrated_sensor_token"])] = record
    frames = []
    for sample in samples:
        there = data[sample["token"]]
        absent = [channel for channel in (LIDAR, *cameras) if channel not in there]
        if absent:
            raise ValueError(
                f"found no keyframe of {', '.join(absent)} for sample {sample['token']} in {tables.folder}, expected "
                "it: leave out cameras that are not there"
            )
        name = f"{scenes[sample['scene_token']]['name']}/{sample['token']}"
        frames.append(_Keyframe(name, sample["token"], there[LIDAR], [there[camera] for camera in cameras]))
    if not frames:
        raise ValueError(f"found no keyframe of {len(order)} scenes in {tables.folder}/sample.json, expected some")
    return frames
