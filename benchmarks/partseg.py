"""The part-segmentation DGCNN, forward and backward: edge blocks in chunks against the formula."""

from __future__ import annotations

import torch

from benchmarks.edgeconv import by_formula
from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.models.dgcnn_partseg import PartSegDGCNN


def main() -> None:
    args = options(__doc__).parse_args()
    sizes = [(2, 256, 10)] if args.quick else [(4, 1024, 20), (4, 2048, 15), (2, 2048, 40)]
    rows = []
    for batch, count, k in sizes:
        torch.manual_seed(0)
        model, points = PartSegDGCNN(k=k).to(args.device), torch.rand(batch, count, 3, device=args.device)

        def step(model: PartSegDGCNN = model, points: torch.Tensor = points) -> None:
            model.zero_grad()
            model(points).square().mean().backward()

        contenders = {"ours": step, "formula": by_formula(step)}
        seconds = medians(contenders, rounds(args))
        memory = {name: peak_memory(run, args.device) for name, run in contenders.items()}
        rows.append(
            {"clouds": batch, "points": count, "k": k}
            | {f"{name}_seconds": value for name, value in seconds.items()}
            | {f"{name}_peak_mb": value / 2**20 for name, value in memory.items()}
            | {"faster": seconds["formula"] / seconds["ours"], "smaller": memory["formula"] / memory["ours"]}
        )
    report("partseg", rows, args)


if __name__ == "__main__":
    main()
