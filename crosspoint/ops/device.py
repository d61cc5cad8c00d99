"""Names of devices → ones that this machine has."""

from __future__ import annotations

import torch


def chosen_device(name: str) -> str:
    """The torch device that a flag names: "auto" is a GPU where there is one, "gpu" is one, "cuda:1" the second.

    Raises:
        ValueError: if there is no such device here.
    """
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    require_device(name)
    return "cuda" if name == "gpu" else name


def require_device(name: str) -> None:
    """Refuse a device or accelerator that this machine lacks; raises ValueError."""
    kind, _, number = name.partition(":")
    if kind in ("cuda", "gpu"):
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if kind == "gpu" and count == 0 and torch.backends.mps.is_available():
            return
        if count == 0:
            raise ValueError(f"found no GPU that torch can use here, expected one for {name!r}: give cpu, or auto")
        if number and not (number.isdigit() and int(number) < count):
            raise ValueError(f"found the device {name!r}, expected cuda:0…cuda:{count - 1}: there are {count} GPUs")
    elif kind == "mps":
        if not torch.backends.mps.is_available():
            raise ValueError("found no Apple GPU here, expected one for 'mps': give cpu, or auto")
    elif kind not in ("auto", "cpu", "tpu", "hpu", "xpu"):
        raise ValueError(f"found the device {name!r}, expected auto, cpu, cuda, cuda:1, … or mps")
