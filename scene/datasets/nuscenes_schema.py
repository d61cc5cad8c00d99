"""Fields of nuScenes' tables that are read here, with their types.

All of them: https://github.com/nutonomy/nuscenes-devkit/blob/master/docs/schema_nuscenes.md
"""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

from msgspec import Meta

Token = str
Vector = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # w x y z
Time = Annotated[int, Meta(ge=0, le=2**62)]  # microseconds
Side = Annotated[float, Meta(ge=0)]


class _Known(TypedDict):
    token: Token


class _Named(_Known):
    name: str


class _Sample(_Known):
    scene_token: Token
    timestamp: Time


class _Sensor(_Known):
    channel: str


class _Mount(_Known):
    sensor_token: Token
    rotation: Quaternion
    translation: Vector


class _MountOfCamera(_Mount, total=False):
    camera_intrinsic: list[list[float]]


class _Data(_Known):
    sample_token: Token
    calibrated_sensor_token: Token
    ego_pose_token: Token
    is_key_frame: bool
    filename: str


class _DataInTime(_Data, total=False):
    timestamp: Time
    prev: Token


class _Pose(_Known):
    rotation: Quaternion
    translation: Vector


class _Labels(TypedDict):
    sample_data_token: Token
    filename: str


class _Annotation(_Pose):
    sample_token: Token
    instance_token: Token
    size: tuple[Side, Side, Side]  # width, length, height in meters


class _AnnotationInTime(_Annotation, total=False):
    prev: Token  # of the same instance, empty for none
    next: Token


class _Instance(_Known):
    category_token: Token


SCHEMA: dict[str, type[list[Any]]] = {
    "scene": list[_Named],
    "sample": list[_Sample],
    "sensor": list[_Sensor],
    "calibrated_sensor": list[_MountOfCamera],
    "sample_data": list[_DataInTime],
    "ego_pose": list[_Pose],
    "lidarseg": list[_Labels],
    "panoptic": list[_Labels],
    "category": list[_Named],
    "sample_annotation": list[_AnnotationInTime],
    "instance": list[_Instance],
}
