"""Arrays of NumPy from what users pass to functions of evaluation."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor, bfloat16


def as_array(values: Any) -> np.ndarray:
    """Numbers or names from a NumPy array, a list, or a tensor of any device and type, with a gradient or without.

    bfloat16, which NumPy does not have, becomes float32.
    """
    if isinstance(values, Tensor):
        values = values.detach().cpu()
        return np.asarray(values.float() if values.dtype == bfloat16 else values)
    return np.asarray(values)
