"""Pooled shared layers, forward and backward: by blocks against the formula, on both sides of the switch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.ops.fused_max_mean_pool import layer_max_and_mean_by_blocks, layer_max_and_mean_formula
from crosspoint.ops.fused_max_pool import layer_max_by_blocks, layer_max_formula
from crosspoint.ops.shared_mlp import SharedMLP

PATHS = {
    "max": (layer_max_by_blocks, layer_max_formula),
    "max_and_mean": (layer_max_and_mean_by_blocks, layer_max_and_mean_formula),
}
QUICK = [(2, 256, 16, 64)]
# Clouds, points, channels in and out; the last four are those of PointNet, T-Net, part segmentation and DGCNN.
SIZES = [
    *((8, 128, 512, 1024), (8, 256, 256, 512), (16, 256, 64, 128)),
    *((20, 1024, 128, 1024), (4, 2048, 128, 1024), (4, 2048, 192, 1024), (8, 1024, 512, 1024)),
]


def main() -> None:
    args = options(__doc__).parse_args()
    rows = []
    for batch, count, channels, width in QUICK if args.quick else SIZES:
        torch.manual_seed(0)
        layer = SharedMLP(channels, width).to(args.device)
        x = torch.randn(batch, count, channels, device=args.device, requires_grad=True)

        def step(path: Callable[[SharedMLP, Tensor], Tensor], layer: SharedMLP = layer, x: Tensor = x) -> None:
            path(layer, x).square().mean().backward()

        for pool, (fast, formula) in PATHS.items():
            contenders = {"ours": lambda path=fast: step(path), "formula": lambda path=formula: step(path)}
            seconds = medians(contenders, rounds(args))
            memory = {name: peak_memory(run, args.device) for name, run in contenders.items()}
            rows.append(
                {"pool": pool, "clouds": batch, "points": count, "channels": f"{channels} → {width}"}
                | {f"{name}_seconds": value for name, value in seconds.items()}
                | {"faster": seconds["formula"] / seconds["ours"], "smaller": memory["formula"] / memory["ours"]}
            )
    report("pooling", rows, args)


if __name__ == "__main__":
    main()
