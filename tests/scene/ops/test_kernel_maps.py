import pytest
import torch
from torch import Tensor

from crosspoint.scene.ops.kernel_maps import LIMIT, Grid, KernelMap, pack, unpack


def voxels(count: int = 150, frames: int = 2, seed: int = 0, reach: int = 5) -> Tensor:
    """Unique coordinates (M, 4) around the origin, in no order."""
    generator = torch.Generator().manual_seed(seed)
    space = torch.randint(-reach, reach + 1, (count, 3), generator=generator)
    found = torch.cat((torch.randint(0, frames, (count, 1), generator=generator), space), dim=1).unique(dim=0)
    return found[torch.randperm(len(found), generator=generator)]


def all_pairs(pairs: KernelMap) -> set[tuple[int, int, int]]:
    """(offset, input, output) of a map, the center's own pairs included."""
    found = [(offset, i, o) for offset, a, b in pairs.blocks for i, o in zip(a.tolist(), b.tolist(), strict=True)]
    if pairs.center is not None:
        found += [(pairs.center, row, row) for row in range(pairs.input_count)]
    assert len(set(found)) == len(found)
    return set(found)


def by_hand(fine: Tensor, coarse: Tensor, kernel: int, step: int) -> set[tuple[int, int, int]]:
    """Every output looks at every offset in turn, x fastest."""
    rows = {tuple(c): row for row, c in enumerate(fine.tolist())}
    start = -(kernel // 2) if kernel % 2 else 0
    found = set()
    for output, (frame, x, y, z) in enumerate(coarse.tolist()):
        for offset in range(kernel**3):
            dx, dy, dz = (step * (start + offset // kernel**axis % kernel) for axis in range(3))
            if (neighbor := (frame, x + dx, y + dy, z + dz)) in rows:
                found.add((offset, rows[neighbor], output))
    return found


@pytest.mark.parametrize(
    ("kernel", "fine", "coarse"),
    [(3, 1, 1), (5, 1, 1), (1, 1, 1), (3, 2, 2), (2, 1, 2), (3, 1, 2), (2, 2, 4), (2, 1, 1)],
)
def test_maps_agree_with_a_search_by_hand(kernel: int, fine: int, coarse: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crosspoint.scene.ops.kernel_maps.ROWS", 16)  # several blocks per offset
    grid = Grid(voxels())
    expected = by_hand(grid.coordinates(fine), grid.coordinates(coarse), kernel, fine)
    pairs = grid.kernel_map(kernel, fine, coarse)
    assert all_pairs(pairs) == expected
    assert all(len(inputs) <= 16 for _, inputs, _ in pairs.blocks)
    assert all_pairs(pairs.transposed) == {(offset, b, a) for offset, a, b in expected}
    assert (pairs.input_count, pairs.output_count) == (grid.size(fine), grid.size(coarse))


@pytest.mark.parametrize(("kernel", "fine", "coarse"), [(3, 1, 1), (1, 1, 1), (2, 1, 2), (3, 1, 2)])
def test_a_table_has_the_pairs_of_the_blocks(
    kernel: int, fine: int, coarse: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("crosspoint.scene.ops.kernel_maps.ROWS", 16)
    pairs = Grid(voxels()).kernel_map(kernel, fine, coarse)
    joined, counts = pairs.table
    assert joined.shape == (2, kernel**3, counts.max()) and joined.dtype == counts.dtype == torch.int32
    found = [(offset, *pair) for offset, count in enumerate(counts) for pair in joined[:, offset, :count].T.tolist()]
    center = [] if pairs.center is None else [(pairs.center, row, row) for row in range(pairs.input_count)]
    assert sorted(found + center) == sorted(all_pairs(pairs))
    assert int((joined < 0).sum()) == joined.numel() - 2 * len(found)
    assert pairs.table is pairs.table  # made once for all layers


def test_coarse_voxels_are_the_cells_that_hold_fine_ones() -> None:
    coordinates = voxels()
    grid = Grid(coordinates)
    for stride in (2, 4, 8):
        cells = coordinates.clone()
        cells[:, 1:] = torch.div(cells[:, 1:], stride, rounding_mode="floor") * stride
        assert torch.equal(grid.coordinates(stride), cells.unique(dim=0))


def test_every_fine_voxel_has_one_cell() -> None:
    pairs = Grid(voxels()).kernel_map(2, 1, 2)
    inputs = torch.cat([rows for _, rows, _ in pairs.blocks])
    assert torch.equal(inputs.sort().values, torch.arange(pairs.input_count))


def test_maps_are_made_once() -> None:
    grid = Grid(voxels())
    assert grid.kernel_map(3, 2, 2) is grid.kernel_map(3, 2, 2)


def test_keys_and_back() -> None:
    border = LIMIT - 1
    coordinates = torch.tensor([[0, -border, border, 0], [4095, 5, -7, border], [1, 0, 0, 0]])
    assert torch.equal(unpack(pack(coordinates)), coordinates)
    found = voxels()
    assert torch.equal(found[pack(found).argsort()], found.unique(dim=0))  # keys sort as coordinates do


def test_neighbors_end_at_the_border() -> None:
    border = LIMIT - 1
    grid = Grid(torch.tensor([[0, 0, 0, border], [0, 0, 1, -border], [1, -border, 0, 0], [0, border, 0, 0]]))
    assert grid.kernel_map(3, 1, 1).blocks == []


@pytest.mark.parametrize(
    ("coordinates", "message"),
    [
        (torch.zeros(2, 4).long(), "found a voxel twice"),
        (torch.zeros(0, 4).long(), "found no voxel"),
        (torch.zeros(2, 3).long(), "expected integers"),
        (torch.zeros(2, 4), "expected integers"),
        (torch.tensor([[0, LIMIT, 0, 0]]), "drop outlying points"),
        (torch.tensor([[-1, 0, 0, 0]]), "frames"),
    ],
)
def test_bad_coordinates_are_named(coordinates: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grid(coordinates)


def test_bad_strides_and_kernels_are_named() -> None:
    with pytest.raises(ValueError, match="power of two"):
        Grid(voxels()).kernel_map(3, 1, 3)
    with pytest.raises(ValueError, match="found kernel 0"):
        Grid(voxels()).kernel_map(0, 1, 1)
