"""Fields and maps of names that nobody knows, boxes, pose and cameras: all of them go with points and pixels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.batch import stack_samples
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.data.sample import Boxes, LidarSample
from crosspoint.scene.data.training_set import SceneTrainingSet
from crosspoint.scene.data.transforms import (
    SceneAugmentation,
    crop_images,
    draw_views,
    drop_cuboid,
    flip_cloud,
    flip_images,
    resize_images,
    rotate_cloud,
)
from crosspoint.scene.ops.voxels import VoxelConfig

SIZE = (60, 90)
EVERYTHING = SceneAugmentation(size=(40, 70), pairs=50)
STEPS: dict[str, Callable[[LidarSample, Generator], LidarSample]] = {
    "rotate": rotate_cloud,
    "flip points": flip_cloud,
    "cuboid": lambda sample, generator: drop_cuboid(sample, generator, 0.5, pairs=50, share=0.1),
    "crop": lambda sample, generator: crop_images(sample, generator, (40, 70), pairs=50, share=0.1),
    "resize": lambda sample, generator: resize_images(sample, (77, 113)),
    "flip images": flip_images,
    "views": lambda sample, generator: draw_views(sample, generator, 2),
    "all": EVERYTHING,
}


def seeded(seed: int) -> Generator:
    return torch.Generator().manual_seed(seed)


def place(points: Tensor) -> Tensor:
    """A number for each place, the same wherever a cloud is turned or mirrored about z."""
    return torch.stack([points[:, :2].double().norm(dim=1), points[:, 2].double()], dim=1)


def frame(seed: int = 0) -> LidarSample:
    """Points all around three cameras; each tells its place, each pixel its position, boxes hold what is near."""
    generator = seeded(seed)
    points = (torch.rand(3000, 3, generator=generator) - 0.5) * torch.tensor([40.0, 40, 6])
    K = torch.tensor([[60.0, 0, 45], [0, 60, 30], [0, 0, 1]]).expand(3, 3, 3)
    ahead = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]], dtype=torch.float64)
    left = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)
    turn = torch.diag(torch.tensor([-1.0, -1, 1], dtype=torch.float64))
    cameras = Cameras(K, torch.stack([ahead, left, ahead @ turn]), torch.tensor([[0.1, 0.2, 0.3]]).expand(3, 3), SIZE)
    y, x = torch.meshgrid(torch.arange(60.0), torch.arange(90.0), indexing="ij")
    position = torch.stack([x, y], dim=2).expand(3, -1, -1, -1) + 0.5
    geometry = torch.rand(5, 7, generator=generator, dtype=torch.float64) * torch.tensor([30.0, 30, 2, 6, 3, 3, 6])
    geometry[:, 3:6] += 1
    pose = torch.eye(4, dtype=torch.float64)
    pose[:3, 3] = torch.tensor([100.0, -50, 3])
    sample = LidarSample(
        "all around",
        points,
        {
            "intensity": torch.rand(3000, generator=generator),
            "where": place(points),
            "number": torch.arange(3000),
        },
        torch.randint(256, (3, 3, *SIZE), dtype=torch.uint8, generator=generator),
        {"position": position, "view": torch.arange(3).view(3, 1, 1).expand(3, *SIZE)},
        cameras,
        Boxes(geometry, torch.arange(5)),
        pose,
    )
    return pair_points(sample)


def inside(points: Tensor, boxes: Boxes) -> Tensor:
    """Which points lie in which boxes: (n, N) bool."""
    x, y, z, length, width, height, heading = boxes.geometry.unsqueeze(2).unbind(1)
    dx, dy, dz = points[:, 0] - x, points[:, 1] - y, points[:, 2] - z
    along, across = heading.cos() * dx + heading.sin() * dy, heading.cos() * dy - heading.sin() * dx
    return (along.abs() < length / 2) & (across.abs() < width / 2) & (dz.abs() < height / 2)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("step", STEPS)
def test_all_that_is_known_of_points_and_pixels_stays_with_them(step: str, seed: int) -> None:
    before = frame()
    after = STEPS[step](before, seeded(seed))
    assert after.point_fields.keys() == before.point_fields.keys()
    assert after.pixel_maps.keys() == before.pixel_maps.keys()
    torch.testing.assert_close(after.point_fields["where"], place(after.points), rtol=0, atol=1e-4)
    rows = after.point_fields["number"]
    assert torch.equal(after.point_fields["intensity"], before.point_fields["intensity"][rows])
    # a pair's pixel shows where it was: the map tells the old position of the nearest old pixel
    pairs = zip(before.pair_view.tolist(), before.pair_point.tolist(), before.pair_pixel, strict=True)
    known = {(view, point): pixel for view, point, pixel in pairs}
    x, y = after.pair_pixel.floor().long().unbind(dim=1)
    told = after.pixel_maps["position"][after.pair_view, y, x]
    views = after.pixel_maps["view"][after.pair_view, y, x].tolist()
    expected = torch.stack([known[v, int(rows[p])] for v, p in zip(views, after.pair_point, strict=True)])
    assert len(expected) > 50
    assert (told - expected).abs().max() < 1.6  # half an old pixel, and half a new one, which may be larger


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("step", STEPS)
def test_cameras_still_map_points_to_their_pixels(step: str, seed: int) -> None:
    after = STEPS[step](frame(), seeded(seed))
    assert after.cameras is not None and after.cameras.size == after.image_size
    pixels, depth = after.cameras.project(after.points)
    found = pixels[after.pair_view, after.pair_point].float()
    torch.testing.assert_close(found, after.pair_pixel, rtol=0, atol=2e-3)
    assert (depth[after.pair_view, after.pair_point] > 1).all()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("step", ["rotate", "flip points", "all"])
def test_points_inside_a_box_stay_inside_and_poses_lead_to_the_same_world(step: str, seed: int) -> None:
    before = frame()
    after = STEPS[step](before, seeded(seed))
    assert before.boxes is not None and after.boxes is not None and before.pose is not None and after.pose is not None
    rows = after.point_fields["number"]
    was, now = inside(before.points, before.boxes)[:, rows], inside(after.points, after.boxes)
    assert was.sum() > 5 and (was != now).sum() <= 1  # one may lie on a border to float32's precision
    assert torch.equal(after.boxes.geometry[:, 3:6], before.boxes.geometry[:, 3:6])
    assert torch.equal(after.boxes.labels, before.boxes.labels)
    worlds = [sample.points.double() @ sample.pose[:3, :3].mT + sample.pose[:3, 3] for sample in (before, after)]  # type: ignore[index]
    torch.testing.assert_close(worlds[1], worlds[0][rows], rtol=0, atol=1e-4)


def test_a_turned_box_has_the_heading_of_the_turn() -> None:
    before = frame()
    assert before.boxes is not None
    mirrored = flip_cloud(before, seeded(0), 1.0).boxes
    assert mirrored is not None  # mirroring x and y is half a turn
    difference = mirrored.geometry[:, 6] - before.boxes.geometry[:, 6]
    torch.testing.assert_close(difference.cos(), -torch.ones(5, dtype=torch.float64))
    torch.testing.assert_close(mirrored.geometry[:, :2], -before.boxes.geometry[:, :2])


class Frames:
    """As much of a dataset as training needs."""

    skip_incomplete = False

    def __init__(self, *frames: LidarSample) -> None:
        self.frames = frames

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> LidarSample:
        return self.frames[index]


def test_so_many_views_are_drawn_by_the_seed_with_their_pairs_alone() -> None:
    whole = frame()
    still = SceneAugmentation(size=SIZE, rotate=False, flip_points=0, cuboid=0, crop=None, flip_images=0)
    samples = SceneTrainingSet(Frames(whole), still, views_per_step=2)  # type: ignore[arg-type]
    drawn = set()
    for seed in range(20):
        sample = samples[0, seed]
        views = sample.pixel_maps["view"][:, 0, 0]
        assert len(sample.images) == 2 and torch.equal(sample.images, whole.images[views])
        assert torch.equal(samples[0, seed].pixel_maps["view"][:, 0, 0], views)
        own = (whole.pair_view[:, None] == views).any(dim=1)
        assert torch.equal(views[sample.pair_view], whole.pair_view[own])
        assert torch.equal(sample.pair_point, whole.pair_point[own])
        drawn.add(tuple(views.tolist()))
    assert drawn == {(0, 1), (0, 2), (1, 2)}
    assert len(SceneTrainingSet(Frames(whole), still, views_per_step=9)[0, 0].images) == 3  # type: ignore[arg-type]


def test_views_that_see_a_point_come_first() -> None:
    sample = frame()
    blind = replace(sample, **{part: getattr(sample, part)[sample.pair_view == 1] for part in PAIRS})
    for seed in range(10):
        assert 1 in draw_views(blind, seeded(seed), 1).pixel_maps["view"]
        assert len(draw_views(blind, seeded(seed), 2).images) == 2


PAIRS = ("pair_point", "pair_view", "pair_pixel")


def test_frames_of_a_lidar_alone_need_no_pairs() -> None:
    points = torch.randn(200, 3, generator=seeded(0)) * 10
    alone = LidarSample("alone", points, {"intensity": torch.rand(200), "echo": torch.arange(200)})
    after = EVERYTHING(alone, seeded(1))
    assert len(after.images) == len(after.pair_point) == 0 and len(after.points) > 100
    batch = stack_samples([after, alone], VoxelConfig())
    assert batch.voxels is not None and len(batch.voxels.inverse) == len(batch.points) == len(after.points) + 200
    assert batch.point_offsets.tolist() == [0, len(after.points), len(after.points) + 200]
    assert batch.images.shape[0] == 0 and set(batch.point_fields) == {"intensity", "echo"}


def test_a_batch_joins_what_all_frames_have() -> None:
    one, two = frame(0), frame(1)
    less = replace(two, point_fields={"intensity": two.point_fields["intensity"]}, pixel_maps={}, boxes=None)
    batch = stack_samples([one, less])
    assert set(batch.point_fields) == {"intensity"} and batch.pixel_maps == {} and batch.boxes is None
    assert torch.equal(batch.points[batch.pair_point], torch.cat([s.points[s.pair_point] for s in (one, two)]))
    assert torch.equal(batch.pair_image, torch.cat([one.pair_view, two.pair_view + 3]))
    both = stack_samples([one, two])
    assert both.boxes == [one.boxes, two.boxes] and both.pixel_maps["position"].shape == (6, *SIZE, 2)
    with pytest.raises(ValueError, match="found a batch without voxels"):
        _ = batch.pair_voxel
    with pytest.raises(ValueError, match="found no point field 'echo' in a frame of a batch"):
        batch.points_with("echo")
    with pytest.raises(ValueError, match="found images of sizes"):
        stack_samples([one, resize_images(two, (5, 6))])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": torch.zeros(3000, 4)}, r"points of shape \(3000, 4\) in all around, expected \(N, 3\)"),
        ({"point_fields": {"echo": torch.zeros(7)}}, "the point field echo of shape .* one row for each of 3000"),
        ({"point_fields": {"echo": [1]}}, "found echo of type list in all around, expected a tensor"),
        ({"pixel_maps": {"heat": torch.zeros(3, 60, 91)}}, r"pixel map heat .* expected \(3, 60, 90\) as its images"),
        ({"images": torch.zeros(3, 60, 90)}, r"images of shape \(3, 60, 90\)"),
        ({"cameras": frame().cameras[:2]}, r"expected \(2, 3, 60, 90\) as its cameras say"),  # type: ignore[index]
        ({"pair_view": torch.zeros(2, dtype=torch.int64)}, "found pairs of shapes"),
    ],
)
def test_parts_that_do_not_fit_are_named(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        replace(frame(), **changes)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
