"""A training step of DGCNN beside its floor: the time that its matrix products alone take at this machine's rate.

The floor is the number of floating-point operations of all matrix products of a step, forward and backward, that of the
distances included, over the rate of one large product. Both take turns, on one thread.
"""

from __future__ import annotations

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.measure import medians, options, report, rounds
from crosspoint.models.dgcnn import DGCNN

SIDE = 2048  # of the large product
CLOUDS, POINTS, K = 8, 1024, 20


def main() -> None:
    args = options(__doc__.splitlines()[0] if __doc__ else "").parse_args()
    torch.set_num_threads(1)
    square = torch.randn(SIDE, SIDE)
    network, clouds = DGCNN(k=K).train(), torch.rand(CLOUDS, POINTS, 3)

    def step() -> None:
        network.zero_grad()
        network(clouds).square().mean().backward()

    in_place = {torch.ops.aten.addmm_: _operations}  # which torch does not count
    with FlopCounterMode(display=False, custom_mapping=in_place) as counter:
        step()
    operations = counter.get_total_flops()
    seconds = medians({"step": step, "product": lambda: square @ square}, rounds(args), clock=time.process_time)
    rate = 2 * SIDE**3 / seconds["product"]
    row = {
        "clouds": CLOUDS,
        "points": POINTS,
        "k": K,
        "gflop": round(operations / 1e9, 1),
        "gflop_a_second": round(rate / 1e9, 1),
        "floor_s": round(operations / rate, 3),
        "step_s": round(seconds["step"], 3),
        "ratio": round(seconds["step"] * rate / operations, 2),
    }
    report("floor", [row], args)


def _operations(total: list[int], left: list[int], right: list[int], **_: object) -> int:
    """Of total += left @ right, from shapes."""
    return 2 * left[0] * left[1] * right[1]


if __name__ == "__main__":
    main()
