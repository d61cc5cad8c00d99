"""Time and memory of the DGCNN step against points and batch, ours and the formula; draws docs/images/scaling.png."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import torch

from benchmarks.edgeconv import by_formula, step
from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.models.dgcnn import DGCNN

K = 20
FORMULA_POINTS = 8192  # per batch: beyond, its edge tensors pass ten gigabytes


def measure(batch: int, count: int, args: Any) -> list[dict[str, Any]]:
    """Both paths at one size."""
    torch.manual_seed(0)
    fast = step(DGCNN(k=K), torch.rand(batch, count, 3, device=args.device))
    contenders = {"ours": fast}
    if batch * count <= FORMULA_POINTS:
        contenders["formula"] = by_formula(fast)
    seconds = medians(contenders, rounds(args))
    return [
        {
            "clouds": batch,
            "points": count,
            "path": name,
            "seconds": seconds[name],
            "peak_mb": peak_memory(run, args.device) / 2**20,
        }
        for name, run in contenders.items()
    ]


def draw(rows: list[dict[str, Any]], out: Path) -> None:
    """Two axes, time and memory, against points (batch 2) and against clouds (1,024 points)."""
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(8, 6), layout="constrained")
    for column, (along, fixed, value) in enumerate([("points", "clouds", 2), ("clouds", "points", 1024)]):
        for line, quantity in enumerate(["seconds", "peak_mb"]):
            axis = axes[line, column]
            for path, color in (("ours", "tab:blue"), ("formula", "tab:orange")):
                chosen = [row for row in rows if row["path"] == path and row[fixed] == value]
                axis.loglog([r[along] for r in chosen], [r[quantity] for r in chosen], "o-", color=color, label=path)
            axis.set(xlabel=f"{along} ({fixed}: {value:,})", ylabel=quantity.replace("_mb", " memory, MB"))
            ticks = sorted({row[along] for row in rows if row[fixed] == value})
            axis.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
            axis.minorticks_off()
            axis.spines[["top", "right"]].set_visible(False)
            axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False)
    figure.savefig(out, dpi=120)


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--plot", type=Path, help="where to write the figure")
    args = parser.parse_args()
    counts, batches = ([64, 128], [4]) if args.quick else ([256, 512, 1024, 2048, 4096, 8192], [4, 8, 16, 32])
    sizes = [(2, count) for count in counts] + [(batch, 1024) for batch in batches]
    rows = [row for batch, count in sorted(sizes) for row in measure(batch, count, args)]
    report("scaling", rows, args)
    if args.plot:
        draw(rows, args.plot)


if __name__ == "__main__":
    main()
