"""One frame of a world, as a rig of LiDAR and cameras takes it."""

from __future__ import annotations

import numpy as np
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.synthetic.lidar import Lidar
from crosspoint.scene.synthetic.views import moved, photograph
from crosspoint.scene.synthetic.world import World


def capture(
    world: World, number: int, lidar: Lidar, cameras: Cameras, *, rng: np.random.Generator, name: str = "frame"
) -> LidarSample:
    """Take a frame of a world.

    Args:
        world: the sequence.
        number: which of its poses.
        lidar: the sensor.
        cameras: V, from the LiDAR's frame.
        rng: of the LiDAR's noise.
        name: of the frame.

    Returns:
        A frame whose boxes are those that at least one point fell on; instance i is the object of box i − 1.
    """
    pose = world.poses[number]
    sweep = lidar.sweep(world, pose, rng)
    seen, instances = np.unique(world.objects[sweep.face], return_inverse=True)
    boxes = torch.from_numpy(seen[seen > 0] - 1)
    if 0 not in seen:
        instances = instances + 1
    views = moved(cameras, pose)
    images = torch.stack([photograph(world, views[view])[0] for view in range(len(views))])
    return LidarSample(
        name,
        torch.from_numpy(sweep.points[:, :3].copy()),
        {
            "intensity": torch.from_numpy(sweep.points[:, 3].copy()),
            "label": torch.from_numpy(world.labels[sweep.face]),
            "instance": torch.from_numpy(instances.astype(np.int64)),
            "ring": torch.from_numpy(sweep.beam),
        },
        images,
        cameras=cameras,
        boxes=from_pose(Boxes(world.boxes.geometry[boxes], world.boxes.labels[boxes]), pose),
        pose=torch.from_numpy(pose),
    )


def from_pose(boxes: Boxes, pose: np.ndarray) -> Boxes:
    """Boxes of the world in the frame of a sensor at an upright pose (4, 4); headings in [−π, π)."""
    geometry, place = boxes.geometry.clone(), torch.from_numpy(pose)
    geometry[:, :3] = (geometry[:, :3] - place[:3, 3]) @ place[:3, :3]
    heading = geometry[:, 6] - torch.atan2(place[1, 0], place[0, 0])
    geometry[:, 6] = (heading + torch.pi) % (2 * torch.pi) - torch.pi
    return Boxes(geometry, boxes.labels)
