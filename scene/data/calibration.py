"""Calibration of a rig: rigid transforms in float64 and camera matrices, from the LiDAR's frame to pixels.

A transform `a_to_b` is a (4, 4) matrix that takes points of frame a into frame b: `x_b = R x_a + t`; chains read from
right to left. Whatever a calibration file holds is checked here, so that a transposed or mistyped matrix is named at
once and does not end as a cloud beside its image.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from numpy.typing import ArrayLike

from crosspoint.renderers.cameras import Cameras

TOLERANCE = 1e-4  # of R Rᵀ = 1: calibration files hold four to seven digits


def rigid(rotation: ArrayLike, translation: ArrayLike) -> np.ndarray:
    """A transform from its parts.

    Args:
        rotation: (3, 3), orthonormal to 1e-4, no mirror.
        translation: (3,) meters.

    Returns:
        (4, 4) float64.

    Raises:
        ValueError: if a shape differs, a number is not finite, or the rotation is none.
    """
    transform = np.eye(4)
    transform[:3, :3] = _numbers(rotation, (3, 3), "rotation")
    transform[:3, 3] = _numbers(translation, (3,), "translation")
    return _checked(transform, "rotation")


def invert(transform: ArrayLike) -> np.ndarray:
    """The way back of a rigid transform (4, 4); raises ValueError where `transform` is not rigid.

    The rotation is inverted, not transposed: the rounded one of a file would not lead back to where a point came from.
    """
    checked = _checked(_numbers(transform, (4, 4), "transform"), "transform")
    back = np.eye(4)
    back[:3, :3] = np.linalg.inv(checked[:3, :3])
    back[:3, 3] = -back[:3, :3] @ checked[:3, 3]
    return back


def quaternion_rotation(wxyz: ArrayLike) -> np.ndarray:
    """The rotation (3, 3) of a unit quaternion w, x, y, z, in nuScenes' order (ROS and scipy put w last).

    Raises:
        ValueError: if there are not four finite numbers of length 1 (to 1e-3; the rest is normalized away).
    """
    quaternion = _numbers(wxyz, (4,), "quaternion")
    length = np.linalg.norm(quaternion)
    if abs(length - 1) > 1e-3:
        raise ValueError(f"found a quaternion of length {length:.4g}, expected 1: are these w, x, y, z of a rotation?")
    w, x, y, z = quaternion / length
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def through_ego(
    lidar_to_ego: ArrayLike,
    ego_to_world_at_lidar: ArrayLike,
    ego_to_world_at_camera: ArrayLike,
    camera_to_ego: ArrayLike,
) -> np.ndarray:
    """LiDAR → camera of a vehicle that moved between the two timestamps, by way of the world.

    The chain of nuScenes' devkit (`map_pointcloud_to_image`, https://github.com/nutonomy/nuscenes-devkit). What itself
    moved in the world between the timestamps is seen where it was at the LiDAR's.

    Args:
        lidar_to_ego: (4, 4) the LiDAR's mounting on the vehicle.
        ego_to_world_at_lidar: (4, 4) the vehicle's pose when the sweep was taken.
        ego_to_world_at_camera: (4, 4) its pose when the image was taken.
        camera_to_ego: (4, 4) the camera's mounting; the camera looks along z, x to its right and y down.

    Returns:
        (4, 4) float64.

    Raises:
        ValueError: if one is not a rigid transform.
    """
    # World coordinates reach kilometers: the two poses meet first, so their difference is small before it is used.
    ego_motion = invert(ego_to_world_at_camera) @ _rigid(ego_to_world_at_lidar)
    return invert(camera_to_ego) @ ego_motion @ _rigid(lidar_to_ego)


def lidar_cameras(
    intrinsics: ArrayLike,
    from_lidar: ArrayLike,
    size: tuple[int, int],
    pixel_centres: Literal["integer", "half"] = "integer",
    sizes: ArrayLike | None = None,
) -> Cameras:
    """The cameras of a rig, from the LiDAR's frame to pixels whose centers lie at +0.5.

    Args:
        intrinsics: (V, 3, 3) of images without distortion: focal lengths and principal point in pixels.
        from_lidar: (V, 4, 4) LiDAR → camera.
        size: (H, W) of all images, or of the arrays that hold them.
        pixel_centres: where the intrinsics put the center of the top-left pixel. "integer": at (0, 0), as OpenCV's and
            ROS's calibration and all that were made with them or in their manner: KITTI (so SemanticKITTI), nuScenes,
            RELLIS-3D; half a pixel is added to the principal point. "half": at (0.5, 0.5), as
            `crosspoint.renderers.cameras`, so the synthetic world.
        sizes: (V, 2) H and W of each image, where they differ.

    Raises:
        ValueError: if shapes do not fit, a number is not finite, a focal length is not positive, or a transform is not
            rigid.
    """
    if pixel_centres not in ("integer", "half"):
        raise ValueError(f'found pixel centers "{pixel_centres}", expected "integer" or "half"')
    K = _numbers(intrinsics, ("V", 3, 3), "intrinsics").copy()
    transforms = _numbers(from_lidar, (len(K), 4, 4), "LiDAR-to-camera transforms")
    for view, (matrix, transform) in enumerate(zip(K, transforms, strict=True)):
        _check_intrinsics(matrix, view)
        _checked(transform, f"transform of camera {view}")
    if pixel_centres == "integer":
        K[:, :2, 2] += 0.5
    R, t = torch.from_numpy(transforms[:, :3, :3].copy()), torch.from_numpy(transforms[:, :3, 3].copy())
    return Cameras(torch.from_numpy(K), R, t, size, sizes=None if sizes is None else torch.as_tensor(sizes))


def _numbers(value: ArrayLike, shape: tuple[int | str, ...], what: str) -> np.ndarray:
    """`value` as finite float64; "V" in `shape` stands for any number of views."""
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"found {what} that are no array of numbers, expected shape {shape}") from None
    if numbers.ndim != len(shape) or any(
        side not in ("V", found) for side, found in zip(shape, numbers.shape, strict=True)
    ):
        raise ValueError(f"found {what} of shape {numbers.shape}, expected {shape}")
    if not np.isfinite(numbers).all():
        raise ValueError(f"found NaN or infinite numbers in the {what}, expected finite ones: check the calibration")
    return numbers


def _rigid(transform: ArrayLike) -> np.ndarray:
    return _checked(_numbers(transform, (4, 4), "transform"), "transform")


def _checked(transform: np.ndarray, what: str) -> np.ndarray:
    """`transform` (4, 4) itself, if it is rigid."""
    rotation = transform[:3, :3]
    error = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if error > TOLERANCE:
        raise ValueError(
            f"found a {what} whose rows are not orthonormal (off by {error:.2g}), expected a rotation: "
            "check the calibration's order of numbers"
        )
    if np.linalg.det(rotation) < 0:
        raise ValueError(f"found a {what} that mirrors (determinant −1), expected a rotation: check its axes")
    if np.abs(transform[3] - [0, 0, 0, 1]).max() > 0:
        raise ValueError(f"found a {what} with last row {transform[3].tolist()}, expected 0 0 0 1: is it transposed?")
    return transform


def _check_intrinsics(matrix: np.ndarray, view: int) -> None:
    if min(matrix[0, 0], matrix[1, 1]) <= 0:
        raise ValueError(
            f"found focal lengths {matrix[0, 0]:g} and {matrix[1, 1]:g} of camera {view}, expected positive pixels"
        )
    if matrix[2].tolist() != [0, 0, 1] or matrix[1, 0] != 0:
        raise ValueError(
            f"found intrinsics of camera {view} with rows {matrix[1:].tolist()}, "
            "expected [0, fy, cy] and [0, 0, 1]: is it transposed?"
        )
