"""Nearest neighbors and farthest points: ours against cdist + topk, SciPy's tree, faiss, and a step-by-step loop.

faiss is compared with where it is installed (`pip install faiss-cpu`).
"""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from scipy.spatial import KDTree
from torch import Tensor

from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.ops.farthest_point_sampling import farthest_points
from crosspoint.ops.knn import knn, knn_formula


def by_scipy(points: Tensor, k: int) -> None:
    for cloud in points.double().numpy():
        KDTree(cloud).query(cloud, k, workers=torch.get_num_threads())


def by_faiss(points: Tensor, k: int) -> None:
    import faiss

    for cloud in points.numpy():
        index = faiss.IndexFlatL2(cloud.shape[1])
        index.add(cloud)
        index.search(cloud, k)


def by_loop(points: Tensor, count: int) -> Tensor:
    """Farthest points as widespread code has them: all differences anew in each step."""
    batch, size, _ = points.shape
    chosen = torch.zeros(batch, count, dtype=torch.long, device=points.device)
    distance = torch.full((batch, size), 1e10, device=points.device)
    farthest = torch.zeros(batch, dtype=torch.long, device=points.device)
    for step in range(count):
        chosen[:, step] = farthest
        center = points[torch.arange(batch), farthest].unsqueeze(1)
        new = ((points - center) ** 2).sum(-1)
        closer = new < distance
        distance[closer] = new[closer]
        farthest = distance.max(-1).indices
    return chosen


def nearest(args: argparse.Namespace) -> list[dict[str, Any]]:
    sizes = [(4, 256, 3, 15), (2, 512, 64, 20)]
    if not args.quick:
        sizes = [
            *[(64, 256, c, 15) for c in (3, 64)],
            *[(8, 1024, c, 20) for c in (3, 64, 128)],
            *[(8, 2048, c, k) for c in (3, 64) for k in (15, 40)],
            *[(2, 8192, c, 20) for c in (3, 64)],
            (40, 2048, 64, 20),
        ]
    rows = []
    for batch, count, channels, k in sizes:
        points = torch.randn(batch, count, channels, generator=torch.Generator().manual_seed(0)).to(args.device)
        contenders: dict[str, Callable[[], object]] = {
            "ours": lambda points=points, k=k: knn(points, k),
            "cdist_topk": lambda points=points, k=k: knn_formula(points, k),
        }
        if channels == 3:
            contenders["scipy"] = lambda points=points, k=k: by_scipy(points, k)
        if importlib.util.find_spec("faiss"):
            contenders["faiss"] = lambda points=points, k=k: by_faiss(points, k)
        seconds = medians(contenders, rounds(args))
        peers = {name: value for name, value in seconds.items() if name != "ours"}
        rows.append(
            {"clouds": batch, "points": count, "channels": channels, "k": k}
            | {
                f"{name}_ms": 1000 * seconds[name] if name in seconds else "–"
                for name in ("ours", "cdist_topk", "scipy")
            }
            | {"faiss_ms": 1000 * seconds["faiss"] if "faiss" in seconds else "–"}
            | {"faster_than_topk": peers["cdist_topk"] / seconds["ours"]}
            | {"faster_than_best_peer": min(peers.values()) / seconds["ours"]}
            | {"peak_mb": peak_memory(contenders["ours"], args.device) / 2**20}
        )
    return rows


def farthest(args: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for batch, size, count in [(4, 256, 32)] if args.quick else [(1, 2048, 1024), (16, 2048, 1024), (8, 8192, 1024)]:
        points = torch.randn(batch, size, 3, generator=torch.Generator().manual_seed(0)).to(args.device)
        assert torch.equal(farthest_points(points, count), by_loop(points, count))
        seconds = medians(
            {
                "ours": lambda points=points, count=count: farthest_points(points, count),
                "loop": lambda points=points, count=count: by_loop(points, count),
            },
            rounds(args),
        )
        rows.append(
            {"clouds": batch, "points": size, "chosen": count}
            | {f"{name}_ms": 1000 * value for name, value in seconds.items()}
            | {"faster": seconds["loop"] / seconds["ours"]}
        )
    return rows


def main() -> None:
    args = options(__doc__).parse_args()
    report("neighbors", nearest(args), args)
    report("farthest", farthest(args), args)


if __name__ == "__main__":
    main()
