"""Keyframes of nuScenes: which records of its tables belong together."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from crosspoint.scene.datasets.nuscenes_splits import choose_scenes
from crosspoint.scene.datasets.nuscenes_tables import Record, Tables

log = logging.getLogger("crosspoint")

LIDAR = "LIDAR_TOP"


@dataclass(frozen=True)
class Keyframe:
    """The records of one keyframe."""

    name: str
    sample: str  # token
    lidar: Record  # of sample_data, as those below
    images: list[Record]
    earlier: list[Record]  # of the LiDAR, the latest first


def find_keyframes(
    tables: Tables, split: str | None, skip: int, cameras: Sequence[str], sweeps: int, skip_incomplete: bool
) -> list[Keyframe]:
    """Keyframes by the order of their scenes' table, then by time.

    Args:
        tables: of the version.
        split: as of `choose_scenes`.
        skip: keeps every skip-th scene.
        cameras: names of the cameras that a keyframe must have.
        sweeps: how many of the LiDAR are aggregated.
        skip_incomplete: leave out keyframes that lack a record, and say how many.

    Raises:
        FileNotFoundError: if a table is not there.
        ValueError: if a keyframe lacks a record, or there is none.
    """
    scenes = tables.index("scene")
    names = {record["name"]: token for token, record in scenes.items()}
    order = {names[name]: place for place, name in enumerate(choose_scenes(list(names), split, skip))}
    samples = tables.read("sample", lambda record: record["scene_token"] in order)
    samples.sort(key=lambda record: (order[record["scene_token"]], record["timestamp"]))
    tokens = {record["token"] for record in samples}
    channels = {token: record["channel"] for token, record in tables.index("sensor").items()}
    mounts = tables.read("calibrated_sensor")
    sensors = {record["token"]: channels.get(record["sensor_token"]) for record in mounts}

    def wanted(record: Record) -> bool:
        swept = sweeps > 1 and sensors.get(record["calibrated_sensor_token"]) == LIDAR
        return record["sample_token"] in tokens and (bool(record["is_key_frame"]) or swept)

    data: dict[str, dict[str | None, Record]] = defaultdict(dict)
    swept: dict[str, Record] = {}
    for record in tables.read("sample_data", wanted):
        channel = sensors.get(record["calibrated_sensor_token"])
        if channel == LIDAR:
            swept[record["token"]] = record
        if record["is_key_frame"]:
            data[record["sample_token"]][channel] = record
    frames, left_out = [], 0
    for sample in samples:
        there = data[sample["token"]]
        absent = [channel for channel in (LIDAR, *cameras) if channel not in there]
        if absent and skip_incomplete:
            left_out += 1
            continue
        if absent:
            raise ValueError(
                f"found no keyframe of {', '.join(absent)} for sample {sample['token']} in {tables.folder}, expected "
                "it: leave them out of `cameras`, or such samples by `skip_incomplete`"
            )
        name = f"{scenes[sample['scene_token']]['name']}/{sample['token']}"
        earlier = _find_earlier(there[LIDAR], swept, sweeps - 1)
        frames.append(Keyframe(name, sample["token"], there[LIDAR], [there[camera] for camera in cameras], earlier))
    if left_out:
        log.warning("%s: left out %d of %d samples that lack a record", tables.folder.name, left_out, len(samples))
    if not frames:
        raise ValueError(f"found no keyframe of {len(order)} scenes in {tables.folder}/sample.json, expected some")
    return frames


def _find_earlier(lidar: Record, sweeps: dict[str, Record], count: int) -> list[Record]:
    """Up to `count` records before one of the LiDAR, the latest first; a scene begins with a record that has none."""
    found: list[Record] = []
    while len(found) < count and lidar.get("prev"):
        if lidar["prev"] not in sweeps:
            raise ValueError(
                f"found no record {lidar['prev']} of {LIDAR} in sample_data.json, expected the sweep before "
                f"{lidar['token']}: the table is cut off"
            )
        lidar = sweeps[lidar["prev"]]
        found.append(lidar)
    return found
