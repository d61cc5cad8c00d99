"""DGCNN's training step on a GPU, in clouds per second: per-point EdgeConv against its formula.

In float32 and under bf16 autocast, with and without torch.compile. `--device cpu --quick` only shows that it runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.losses import nt_xent
from crosspoint.models.dgcnn import DGCNN
from crosspoint.models.projection_heads import cloud_head
from crosspoint.ops.edgeconv import EdgeConv, edge_conv
from crosspoint.ops.knn import knn_formula


class FormulaEdgeConv(EdgeConv):
    """The layer by its definition. A class of its own: torch.compile would take a patched method for the old one."""

    def forward(self, x: Tensor, points: Tensor | None = None) -> Tensor:
        """x (B, N, C) → (B, N, D)."""
        neighbors = knn_formula((x if points is None else points).detach(), self.k)
        return edge_conv(x, neighbors, self.weight, self.norm, self.slope)


def step(encoder: DGCNN, points: Tensor, *, formula: bool, half: bool, compiled: bool) -> Callable[[], None]:
    """One step of contrasting the two halves of points (B, N, 3), from augmented clouds to new weights."""
    if formula:
        for edge in encoder.edges:
            edge.__class__ = FormulaEdgeConv
    model = nn.Sequential(encoder, cloud_head(encoder.feature_dim)).to(points.device)
    if compiled:
        encoder.compile()
    optimizer = Adam(model.parameters(), fused=True)

    def run() -> None:
        optimizer.zero_grad()
        with torch.autocast(points.device.type, torch.bfloat16, enabled=half):
            loss = nt_xent(*model(points).chunk(2))
        loss.backward()
        optimizer.step()

    return run


def main() -> None:
    """Run it."""
    parser = options("DGCNN on a GPU")
    parser.set_defaults(device="cuda")
    parser.add_argument("--sizes", type=int, help="only the first so many: each takes a minute or more to compile")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("found no CUDA device, expected one: --device cpu --quick shows that this runs, no more")
    sizes = [(4, 64, 5)] if args.quick else [(40, 1024, 15), (40, 2048, 15), (96, 1024, 20)]
    rows = []
    for clouds, count, k in sizes[: args.sizes]:
        torch.compiler.reset()  # it keeps few sizes, and takes a second one for the first of many
        points = torch.rand(clouds, count, 3, device=args.device)
        ways = list(itertools.product(("formula", "ours"), ("float32", "bf16"), ("eager", "compiled")))
        contenders = {
            way: step(
                DGCNN(k=k, channels=[8]) if args.quick else DGCNN(k=k),
                points,
                formula=way[0] == "formula",
                half=way[1] == "bf16",
                compiled=way[2] == "compiled",
            )
            for way in ways
        }
        named = {" ".join(way): run for way, run in contenders.items()}
        seconds = medians(named, rounds(args))
        rows += [
            {
                "clouds": clouds,
                "points": count,
                "k": k,
                **dict(zip(("path", "precision", "encoder"), way, strict=True)),
                "clouds_per_second": clouds / seconds[" ".join(way)],
                "faster": seconds["formula float32 eager"] / seconds[" ".join(way)],
                "peak_mb": peak_memory(contenders[way], args.device) / 2**20,
            }
            for way in ways
        ]
        report("gpu", rows, args)  # after each size, as a job may be stopped


if __name__ == "__main__":
    main()
