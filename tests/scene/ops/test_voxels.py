import math
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint.scene.ops.voxels import VoxelConfig, cells, collate, voxelize

SCAN = Path(__file__).parents[4] / "shared/data/semantickitti_scan/sequences/08/velodyne/000000.bin"
KINDS = ["cartesian", "cylindrical"]


def cloud(count: int = 3000, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, 4, generator=generator) * torch.tensor([2.0, 2.0, 0.5, 1.0])


def borders(coordinates: torch.Tensor, config: VoxelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of cells along their three axes, the angle in degrees."""
    edge = np.array([config.size, config.angle if config.kind == "cylindrical" else config.size, config.size])
    return coordinates.numpy() * edge, (coordinates.numpy() + 1) * edge


def along_axes(points: np.ndarray, config: VoxelConfig) -> np.ndarray:
    x, y, z = points[:, :3].astype(np.float64).T
    if config.kind == "cartesian":
        return np.stack([x, y, z], axis=1)
    return np.stack([np.hypot(x, y), np.degrees(np.arctan2(y, x)), z], axis=1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_voxel_of_a_point_contains_it(kind: str) -> None:
    points, config = cloud(), VoxelConfig(kind, size=0.3, angle=2.0)
    voxels = voxelize(points, config)
    low, high = borders(voxels.coordinates[voxels.inverse], config)
    values = along_axes(points.numpy(), config)
    assert np.all(low <= values + 1e-9)
    assert np.all(values <= high + 1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_cells_agree_with_numpy(kind: str) -> None:
    points, config = cloud(), VoxelConfig(kind, size=0.25, angle=1.5)
    expected, inverse = np.unique(cells(points, config).numpy(), axis=0, return_inverse=True)
    voxels = voxelize(points, config)
    assert np.array_equal(voxels.coordinates.numpy(), expected)
    assert np.array_equal(voxels.inverse.numpy(), inverse.ravel())


def test_the_first_point_stands_for_its_voxel() -> None:
    points = cloud()
    voxels = voxelize(points, VoxelConfig("cartesian", size=0.5))
    for voxel, point in enumerate(voxels.representative.tolist()):
        assert point == int((voxels.inverse == voxel).nonzero()[0])
    assert torch.equal(voxels.features, points[voxels.representative, 3:4])


def test_a_voxel_may_carry_position_and_intensity() -> None:
    points, config = cloud(), VoxelConfig(features="xyz_intensity")
    voxels = voxelize(points, config)
    assert torch.equal(voxels.features, points[voxels.representative])
    assert voxels.features.shape[1] == config.channels == 4


def test_both_ends_of_the_angle_share_a_cell() -> None:
    points = torch.tensor([[-5.0, 0.0, 0.0, 0.0], [-5.0, -0.0, 0.0, 0.0], [-5.0, 1e-3, 0.0, 0.0]])
    assert math.degrees(math.atan2(0.0, -5.0)) == 180
    assert cells(points, VoxelConfig())[:, 1].tolist() == [-180, -180, 179]


def test_turning_by_a_cell_turns_the_cells() -> None:
    points = cloud()
    points = points[points[:, :2].norm(dim=1) > 0.1].double()
    turn = math.radians(10)
    turned = points.clone()
    turned[:, 0] = points[:, 0] * math.cos(turn) - points[:, 1] * math.sin(turn)
    turned[:, 1] = points[:, 0] * math.sin(turn) + points[:, 1] * math.cos(turn)
    before, after = cells(points, VoxelConfig())[:, 1], cells(turned, VoxelConfig())[:, 1]
    assert torch.equal((before + 10 + 180) % 360 - 180, after)


def test_frames_join_with_their_indices() -> None:
    clouds = [cloud(200 + 50 * i, seed=i) for i in range(3)]
    frames = [voxelize(points, VoxelConfig(size=0.5)) for points in clouds]
    batch, points = collate(frames), torch.cat(clouds)
    assert torch.equal(batch.features, points[batch.representative, 3:4])
    for b, frame in enumerate(frames):
        voxel, point = (slice(*o[b : b + 2].tolist()) for o in (batch.voxel_offsets, batch.point_offsets))
        assert torch.equal(batch.coordinates[voxel, 1:], frame.coordinates)
        assert batch.coordinates[voxel, 0].eq(b).all()
        assert torch.equal(
            batch.coordinates[batch.inverse[point]][:, 1:].long(), cells(clouds[b], VoxelConfig(size=0.5))
        )


@pytest.mark.parametrize("kind", KINDS)
def test_a_real_scan_keeps_every_point_in_its_voxel(kind: str) -> None:
    if not SCAN.is_file():
        pytest.skip("shared/data/semantickitti_scan is not there")
    points, config = np.fromfile(SCAN, np.float32).reshape(-1, 4), VoxelConfig(kind)
    voxels = voxelize(torch.from_numpy(points), config)
    assert 20_000 < len(voxels.coordinates) < len(points)
    low, high = borders(voxels.coordinates[voxels.inverse], config)
    values = along_axes(points, config)
    assert np.all(low <= values + 1e-9)
    assert np.all(values <= high + 1e-9)


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (torch.zeros(3, 3), "found points of shape"),
        (torch.zeros(0, 4), "without points"),
        (torch.tensor([[0.0, math.nan, 0.0, 0.0]]), "found 1 points that are not finite"),
        (torch.tensor([[1e4, 0.0, 0.0, 0.0]]), "drop outlying points"),
        (torch.tensor([[0.0, 0.0, -1e30, 0.0]]), "drop outlying points"),
    ],
)
def test_bad_clouds_are_named(points: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        voxelize(points, VoxelConfig("cartesian"))


@pytest.mark.parametrize("options", [{"size": 0.0}, {"angle": 0.7}, {"angle": -1.0}, {"angle": 8.0}])
def test_bad_cells_are_named(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        VoxelConfig(**options)


def test_no_frames_are_named() -> None:
    with pytest.raises(ValueError, match="found no frame"):
        collate([])


EXTENT = (0.0, -2.0, -1.0, 3.0, 2.0, 1.0)


def test_cells_of_an_extent_are_counted_from_its_lowest_corner():
    config = VoxelConfig("cartesian", 0.5, height=0.25, extent=EXTENT)
    assert config.grid == (6, 8, 8)
    points = torch.tensor([[0.0, -2.0, -1.0], [2.99, 1.99, 0.99], [1.0, 0.1, 0.3], [3.0, 0.0, 0.0], [1.0, 0.0, -1.01]])
    assert config.inside(points).tolist() == [True, True, True, False, False]
    assert cells(points[:3], config).tolist() == [[0, 0, 0], [5, 7, 7], [2, 4, 5]]


def test_averages_are_those_of_a_loop_over_points():
    points = cloud()
    config = VoxelConfig("cartesian", size=0.5, features="xyz_intensity", average=True, intensity_scale=2.0)
    voxels = voxelize(points, config)
    for voxel in range(len(voxels.coordinates)):
        mean = points[voxels.inverse == voxel].double().mean(dim=0)
        torch.testing.assert_close(voxels.features[voxel].double(), mean * torch.tensor([1, 1, 1, 2.0]).double())
    same = voxelize(points, VoxelConfig("cartesian", size=0.5))
    assert torch.equal(same.coordinates, voxels.coordinates)


def test_voxels_of_several_sweeps_have_a_time():
    points = torch.cat([cloud(), torch.rand(len(cloud()), 1)], dim=1)
    config = VoxelConfig("cartesian", size=0.5, features="xyz_intensity_time")
    assert (config.channels, config.fields) == (5, ("intensity", "time"))
    voxels = voxelize(points, config)
    assert torch.equal(voxels.features, points[voxels.representative])
    with pytest.raises(ValueError, match=r"expected \(N, 5\): pass x y z and intensity, and the time"):
        voxelize(points[:, :4], config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "cylindrical", "extent": EXTENT}, "found cylindrical voxels with the extent"),
        ({"kind": "cartesian", "extent": (0, 0, 0, 1, 1, 0)}, "the lowest x y z before the highest"),
        ({"kind": "cartesian", "extent": EXTENT, "size": 0.7}, "expected a whole number of voxels along each axis"),
        ({"kind": "cartesian", "height": 0.0}, "found voxels of height 0.0, expected meters above 0"),
    ],
)
def test_an_extent_that_cannot_be_cut_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        VoxelConfig(**options)


def test_points_outside_of_an_extent_are_refused():
    with pytest.raises(ValueError, match="found 1 points outside of the extent of the voxels, expected none"):
        voxelize(torch.tensor([[9.0, 0, 0, 0], [1, 0, 0, 0]]), VoxelConfig("cartesian", 0.5, extent=EXTENT))
