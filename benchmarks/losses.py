"""Contrastive losses, forward and backward: streamed against their formula, and against lightly's NT-Xent."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from typing import Any
from unittest import mock

import torch
from torch import Tensor

from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.losses import info_nce, nt_xent
from crosspoint.ops import contrastive_cross_entropy

Loss = Callable[[Tensor, Tensor], Tensor]
FORMULA_PAIRS = 4096  # with more, the logits of nt_xent and their copies take more than a gigabyte
SMALL = 2**20  # bytes: below, a page more or less is no ratio
STEPS_PAIRS = 2048  # steps are repeated within one measurement until they have seen so many pairs


def by_formula(loss: Loss) -> Loss:
    """The same loss, with all logits at once."""
    limits: dict[str, Any] = {
        name: 2**62 for name in vars(contrastive_cross_entropy) if name.startswith("FORMULA_LOGITS")
    }

    def run(a: Tensor, b: Tensor) -> Tensor:
        with mock.patch.multiple(contrastive_cross_entropy, **limits):
            return loss(a, b)

    return run


def losses(pairs: int) -> dict[str, dict[str, Loss]]:
    """By name of the loss and of the path: what can be measured with so many pairs."""
    found: dict[str, dict[str, Loss]] = {"nt_xent": {"ours": nt_xent}, "info_nce": {"ours": info_nce}}
    if pairs <= FORMULA_PAIRS:
        for paths in found.values():
            paths["formula"] = by_formula(paths["ours"])
        if importlib.util.find_spec("lightly"):
            from lightly.loss import NTXentLoss

            found["nt_xent"]["lightly"] = NTXentLoss(temperature=0.1)
    return found


def step(loss: Loss, a: Tensor, b: Tensor, times: int = 1) -> Callable[[], None]:
    """Forward and backward passes, one after another."""

    def run() -> None:
        for _ in range(times):
            torch.autograd.grad(loss(a, b), (a, b))

    return run


def compare(name: str, paths: Mapping[str, Loss], a: Tensor, b: Tensor, repeats: int) -> list[dict[str, Any]]:
    """One row for each path of a loss."""
    times = max(1, STEPS_PAIRS // len(a))
    seconds = medians({path: step(loss, a, b, times) for path, loss in paths.items()}, repeats)
    memory = {path: peak_memory(step(loss, a, b), a.device.type) for path, loss in paths.items()}
    return [
        {
            "loss": name,
            "pairs": len(a),
            "channels": a.shape[1],
            "path": path,
            "seconds": seconds[path] / times,
            "peak_mb": memory[path] / 2**20,
            "ours_faster": seconds[path] / seconds["ours"],
            "ours_smaller": max(memory[path], SMALL) / max(memory["ours"], SMALL),
        }
        for path in paths
    ]


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--pairs", type=int, nargs="+", help="instead of the usual numbers")
    parser.add_argument("--channels", type=int, default=64, help="of the embeddings")
    args = parser.parse_args()
    if not importlib.util.find_spec("lightly"):
        print("lightly is not installed, so its NT-Xent is left out: pip install lightly")
    rows = []
    for pairs in args.pairs or ([32, 512] if args.quick else [32, 256, 1024, 4096, 32768]):
        generator = torch.Generator().manual_seed(pairs)
        a, b = (
            torch.randn(pairs, args.channels, generator=generator).to(args.device).requires_grad_() for _ in range(2)
        )
        repeats = rounds(args) if pairs <= FORMULA_PAIRS else 1
        for name, paths in losses(pairs).items():
            rows += compare(name, paths, a, b, repeats)
    report("losses", rows, args)


if __name__ == "__main__":
    main()
