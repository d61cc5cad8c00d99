"""Depth maps of sweeps against a loop over points, and against the depth that the embedded world's rays find."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.data.sparse_depth import DEPTH, beam_gap, sparse_depth, with_depth
from crosspoint.scene.synthetic.dataset import SyntheticScenes
from crosspoint.scene.synthetic.views import moved

FORWARD = torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]])  # x forward, y left, z up → x right, y down, z forward


def frame(points: np.ndarray, views: int = 1, size: tuple[int, int] = (20, 30)) -> LidarSample:
    K = torch.tensor([[[18.0, 0, 15], [0, 18, 10], [0, 0, 1]]]).repeat(views, 1, 1)
    shift = torch.tensor([[0.0, 0, 0], [0.4, 0, 0]])[:views]
    cameras = Cameras(K, FORWARD.repeat(views, 1, 1), shift, size)
    xyz = torch.from_numpy(points.astype(np.float32))
    return LidarSample("made", xyz, images=torch.zeros(views, 3, *size, dtype=torch.uint8), cameras=cameras)


def looped(sample: LidarSample, window: int, tolerance: float) -> np.ndarray:
    """A point at a time, then a pixel at a time."""
    assert sample.cameras is not None
    views, (height, width) = len(sample.images), sample.image_size
    nearest = np.full((views, height, width), np.inf)
    for view in range(views):
        K, R, t = (np.asarray(part[view]) for part in (sample.cameras.K, sample.cameras.R, sample.cameras.t))
        for point in sample.points.double().numpy():
            x, y, z = K @ (R @ point + t)
            if z <= 0 or not (0 < x / z < width and 0 < y / z < height):
                continue
            row, column = int(y / z), int(x / z)
            nearest[view, row, column] = min(nearest[view, row, column], z)
    kept, reach = np.zeros_like(nearest), window // 2
    for view, row, column in zip(*np.isfinite(nearest).nonzero(), strict=True):
        around = nearest[view, max(0, row - reach) : row + reach + 1, max(0, column - reach) : column + reach + 1]
        if nearest[view, row, column] <= around.min() * (1 + tolerance) + 0.2:
            kept[view, row, column] = nearest[view, row, column]
    return kept


@pytest.mark.parametrize(("window", "tolerance"), [(1, 0.1), (5, 0.1), (9, 0.0), (3, 0.5)])
def test_the_map_is_that_of_the_loop(window: int, tolerance: float) -> None:
    rng = np.random.default_rng(window)
    sample = frame(rng.uniform([-5, -15, -10], [40, 15, 10], (600, 3)), views=2)
    found = sparse_depth(sample, window=window, tolerance=tolerance)
    expected = looped(sample, window, tolerance)
    assert found.shape == (2, 20, 30) and found.dtype == torch.float32
    assert np.count_nonzero(expected) > 10
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-6)


def test_a_wall_is_not_seen_through_a_nearer_one() -> None:
    """A wall at 5 m with gaps of three pixels between its points, and one at 20 m that shines through."""
    across, up = np.meshgrid(np.arange(-0.8, 0.8, 0.8), np.arange(-0.8, 0.8, 0.8))
    near = np.stack([np.full(across.size, 5.0), across.ravel(), up.ravel()], axis=1)
    far = near[:2] * 4 + np.array([0.0, 1.3, 1.3])
    through = sparse_depth(frame(np.concatenate([near, far])), window=1)
    whole = sparse_depth(frame(np.concatenate([near, far])))
    assert through.unique().tolist() == [0.0, 5.0, 20.0]
    assert whole.unique().tolist() == [0.0, 5.0]


def test_the_embedded_world_is_measured_truly() -> None:
    """What a pixel shows is known there: the rays that drew it."""
    scenes = SyntheticScenes("val", 1, 1, views=1)
    sample, world = scenes[0], scenes.world(0)
    true = world.tracer(moved(scenes.cameras, world.poses[0])).depth[0].numpy()
    shares = []
    for window in (1, None):
        depth = sparse_depth(sample, window=window)[0].numpy()
        rows, columns = depth.nonzero()
        places = zip(rows, columns, strict=True)
        farthest = [true[max(0, r - 1) : r + 2, max(0, c - 1) : c + 2].max() for r, c in places]
        shares.append((len(rows), np.mean(depth[rows, columns] > 1.05 * np.array(farthest) + 0.1)))
    (all_points, through), (kept, left) = shares
    assert kept > 0.85 * all_points
    assert left <= 0.004 and left < through / 2


@pytest.mark.parametrize(("beams", "degrees"), [(64, 0.42), (32, 1.33), (16, 2.0)])
def test_the_gap_between_beams_is_found(beams: int, degrees: float) -> None:
    """Of a LiDAR in a room with a floor, with noise in range and angle, and beams that met nothing."""
    rng = np.random.default_rng(beams)
    elevation = np.radians(degrees) * (np.arange(beams) - 0.8 * beams)
    e, a = (part.ravel() for part in np.meshgrid(elevation, np.linspace(-np.pi, np.pi, 1800)))
    e = e + rng.normal(0, np.radians(0.01), e.shape)
    reach = np.minimum(1.7 / np.maximum(-np.sin(e), 1e-3), rng.uniform(5, 40, e.shape))
    points = reach[:, None] * np.stack([np.cos(a) * np.cos(e), np.sin(a) * np.cos(e), np.sin(e)], axis=1)
    kept = torch.from_numpy(points[rng.random(len(points)) < 0.8])
    gap = beam_gap(kept)
    assert gap is not None and np.degrees(gap) == pytest.approx(degrees, rel=0.05)
    assert beam_gap(kept[:20]) is None


def test_the_window_holds_two_beams() -> None:
    """Of a near wall that a beam hits every 2° and a far one that shines through between two of them."""
    e, a = (part.ravel() for part in np.meshgrid(np.radians(np.arange(-10, 11, 2.0)), np.radians(np.arange(-30, 31))))
    near = 5.0 * np.stack([np.ones_like(a), np.tan(a), np.tan(e) / np.cos(a)], axis=1)
    far = np.array([[20.0, 0.0, 20 * np.tan(np.radians(5.0))]])
    K = torch.tensor([[[300.0, 0, 320], [0, 300, 120], [0, 0, 1]]])
    cameras = Cameras(K, FORWARD, torch.zeros(1, 3), (240, 640))
    images = torch.zeros(1, 3, 240, 640, dtype=torch.uint8)
    points = torch.from_numpy(np.concatenate([near, far]).astype(np.float32))
    sample = LidarSample("walls", points, images=images, cameras=cameras)
    assert sparse_depth(sample, window=5).max() == 20.0
    assert sparse_depth(sample).max() < 6.0 and int((sparse_depth(sample) > 0).sum()) > 500


def test_points_of_earlier_sweeps_make_no_depth() -> None:
    sample = frame(np.array([[5.0, 0, 0], [9.0, 1, 1]]))
    older = LidarSample("made", sample.points, {"sweep": torch.tensor([0, 1])}, sample.images, cameras=sample.cameras)
    assert sparse_depth(older).unique().tolist() == [0.0, 5.0]


def test_a_frames_own_depth_is_kept() -> None:
    sample = frame(np.array([[5.0, 0, 0]]))
    own = LidarSample("made", sample.points, images=sample.images, pixel_maps={DEPTH: torch.full((1, 20, 30), 7.0)})
    assert with_depth(own) is own
    assert torch.equal(with_depth(sample).pixel_maps[DEPTH], sparse_depth(sample))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"images": torch.zeros(0, 3, 1, 1, dtype=torch.uint8), "cameras": None}, "found no image in made"),
        ({"cameras": None}, "found 1 images without cameras in made"),
        ({"points": torch.tensor([[-5.0, 0, 0]])}, "found none of 1 points of made in its 1 images"),
    ],
)
def test_frames_that_give_no_depth(changes: dict[str, object], told: str) -> None:
    sample = frame(np.array([[5.0, 0, 0]]))
    parts = {"points": sample.points, "images": sample.images, "cameras": sample.cameras, **changes}
    with pytest.raises(ValueError, match=rf"{told}.* expected"):
        with_depth(LidarSample("made", **parts))


def test_settings_out_of_range() -> None:
    for window, tolerance in ((4, 0.1), (0, 0.1), (3, -0.1)):
        with pytest.raises(ValueError, match=r"found a window of .* expected an odd number"):
            sparse_depth(frame(np.array([[5.0, 0, 0]])), window=window, tolerance=tolerance)
