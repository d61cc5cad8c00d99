"""Random neighbors within a radius: pairs of positions and points of the same frame, found by a grid of cells.

torch-geometric's `radius`, which public codes call here, takes the first points in the order of the cloud; sweeps are
stored beam by beam, so these lie on one side of a ball. Here all points of a ball are equally likely.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Generator, Tensor

from crosspoint.ops.precision import full_precision
from crosspoint.scene.ops.kernel_maps import BITS, pack

SAMPLED = 8  # candidates that are looked at first, for each neighbor that is asked for
CANDIDATES_CPU = 2**18  # held at once
CANDIDATES_GPU = 2**24


class Edges(NamedTuple):
    """Pairs of a query and a point."""

    query: Tensor  # (E,) int64, ascending
    point: Tensor  # (E,) int64


@torch.no_grad()
def radius_neighbors(
    points: Tensor,
    point_offsets: Tensor,
    queries: Tensor,
    query_frame: Tensor,
    *,
    radius: float,
    neighbors: int,
    generator: Generator,
) -> Edges:
    """Points nearer to each query than a radius, drawn without replacement where there are more than asked for.

    Points are sorted by cells as large as the radius, so that a query's ball lies within nine columns of three cells,
    each a range of the sorted points. A query with many points there looks at some of them first, spread over all, and
    at the others only if too few are within the radius.

    Args:
        points: (N, 3) meters.
        point_offsets: (B + 1,) int64: frame b has the points from entry b up to entry b + 1.
        queries: (Q, 3) meters.
        query_frame: (Q,) int64.
        radius: meters; a point at this distance is outside.
        neighbors: of each query at most.
        generator: on the device of the points.

    Returns:
        The pairs; a query without a point in its ball has none, one with fewer than `neighbors` has all of them.

    Raises:
        ValueError: if radius or neighbors make no sense, or a position lies beyond 64,000 times the radius.
    """
    if not radius > 0 or neighbors < 1:
        raise ValueError(f"found radius {radius} and {neighbors} neighbors, expected a radius above 0 and 1 or more")
    if len(points) == 0 or len(queries) == 0:
        nothing = torch.zeros(0, dtype=torch.int64, device=points.device)
        return Edges(nothing, nothing)
    search = _Search(points, point_offsets, queries, query_frame, radius)
    everyone = torch.arange(len(queries), device=queries.device)
    found = search.inside(everyone, SAMPLED * neighbors, generator)
    number = torch.bincount(found.query, minlength=len(queries))
    short = (number < neighbors) & (search.total > SAMPLED * neighbors)
    again = short.nonzero().squeeze(1)
    if len(again):
        kept = ~short[found.query]
        found = Edges(found.query[kept], found.point[kept])
        others = search.inside(again, None, generator)
        found = Edges(torch.cat([found.query, others.query]), torch.cat([found.point, others.point]))
    return _draw(found, neighbors, generator)


class _Search:
    """Queries and the candidates of each: the points in the 27 cells around it."""

    def __init__(
        self, points: Tensor, point_offsets: Tensor, queries: Tensor, query_frame: Tensor, radius: float
    ) -> None:
        device = points.device
        frame = torch.repeat_interleave(torch.diff(point_offsets.to(device)), output_size=len(points))
        keys, self.order = pack(_cells(points, frame, radius)).sort()
        self.points = full_precision(points)[self.order]
        self.queries = full_precision(queries)
        self.limit = radius**2
        step = torch.arange(-1, 2, device=device)
        column = ((step[:, None] << 2 * BITS) + (step << BITS)).flatten()
        middle = pack(_cells(queries, query_frame, radius))[:, None] + column
        self.first = torch.searchsorted(keys, middle - 1).flatten()  # of each column, among the sorted points
        self.count = torch.searchsorted(keys, middle + 1, right=True).flatten() - self.first
        self.ends = self.count.cumsum(0)
        self.total = self.count.view(-1, len(column)).sum(dim=1)  # candidates of each query
        self.start = self.total.cumsum(0) - self.total

    def inside(self, chosen: Tensor, most: int | None, generator: Generator) -> Edges:
        """The candidates of some queries within the radius; of a query with more than `most`, as many drawn ones."""
        total = self.total[chosen]
        size = total if most is None else total.clamp(max=most)
        largest = CANDIDATES_GPU if total.is_cuda else CANDIDATES_CPU
        block = (size.cumsum(0) - 1).div(largest, rounding_mode="floor").clamp(min=0)
        parts = [
            self._test(query, part, exhaustive=most is None, generator=generator)
            for query, part in zip(*_groups(block, chosen, size), strict=True)
        ]
        return Edges(torch.cat([part.query for part in parts]), torch.cat([part.point for part in parts]))

    def _test(self, chosen: Tensor, size: Tensor, *, exhaustive: bool, generator: Generator) -> Edges:
        row = torch.repeat_interleave(size)
        place = torch.arange(len(row), device=row.device) - (size.cumsum(0) - size)[row]
        query = chosen[row]
        if not exhaustive:  # one candidate out of each of `size` equal parts; of parts of one, that one
            total, parts = self.total[query], size[row]
            begin, end = place * total // parts, (place + 1) * total // parts
            draw = torch.rand(len(row), generator=generator, device=row.device, dtype=torch.float64)
            place = begin + (draw * (end - begin)).long()
        number = self.start[query] + place
        column = torch.searchsorted(self.ends, number, right=True)
        at = self.first[column] + number - (self.ends[column] - self.count[column])
        # By differences: |x|² − 2 x·y + |y|² loses centimeters at 80 meters.
        squares = (self.points[at] - self.queries[query]).square().sum(dim=1)
        inside = (squares < self.limit).nonzero().squeeze(1)
        return Edges(query[inside], self.order[at[inside]])


def _cells(positions: Tensor, frame: Tensor, radius: float) -> Tensor:
    """(N, 4) int64: frame, and the cell along each axis."""
    cell = positions.double().div_(radius).floor_().long()
    return torch.cat([frame[:, None], cell], dim=1)


def _groups(block: Tensor, *rows: Tensor) -> list[tuple[Tensor, ...]]:
    """Rows, split where the ascending number of their block changes."""
    sizes = torch.unique_consecutive(block, return_counts=True)[1].tolist()
    return [one.split(sizes) for one in rows]


def _draw(edges: Edges, most: int, generator: Generator) -> Edges:
    """At most `most` edges of each query, all equally likely."""
    lot = torch.randint(2**31, edges.query.shape, generator=generator, device=edges.query.device)
    lots, order = (edges.query << 31).add_(lot).sort()
    query = lots >> 31
    number = torch.bincount(query)
    place = torch.arange(len(query), device=query.device) - (number.cumsum(0) - number)[query]
    kept = (place < most).nonzero().squeeze(1)
    return Edges(query[kept], edges.point[order[kept]])
