"""Contrastive losses: pure functions, shapes in, scalar out.

Under several processes a loss averages over the rows of its own process and compares them with the embeddings of all
processes. `gather_rows` sends the gradients home, so that the mean over processes, which DistributedDataParallel takes,
equals the gradient of one process on the joined batch.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from crosspoint.processes import gather_rows, process_count


def nt_xent(a: Tensor, b: Tensor, *, temperature: float = 0.1, gather: bool = True) -> Tensor:
    """NT-Xent, the normalised temperature-scaled cross entropy between two sets of matching embeddings.

    Chen et al., SimCLR, 2020, https://arxiv.org/abs/2002.05709, equation 1. Each of the 2B embeddings is compared with
    the 2B − 1 others of both sets; its counterpart is the positive. Embeddings that are all equal give ln(2B − 1).

    Example:
        >>> import torch
        >>> same = torch.ones(4, 8)
        >>> round(float(nt_xent(same, same).exp()), 4)
        7.0

    Args:
        a: (B, C) embeddings, normalised here.
        b: (B, C) their counterparts, row by row.
        temperature: divides the cosines; CrossPoint uses 0.1.
        gather: compare with the embeddings of every process (each must hold the same B).

    Returns:
        The scalar loss, in float32 or better, also under autocast.

    Raises:
        ValueError: if the shapes differ, are not (B, C), or the temperature is not positive.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"found embeddings of shapes {tuple(a.shape)} and {tuple(b.shape)}, expected two equal (B, C)")
    if temperature <= 0:
        raise ValueError(f"found temperature {temperature}, expected a positive number")
    with torch.autocast(a.device.type, enabled=False):
        a, b = (F.normalize(x if x.dtype == torch.float64 else x.float(), dim=1) for x in (a, b))
        gather = gather and process_count() > 1
        all_a, all_b = (gather_rows(a), gather_rows(b)) if gather else (a, b)
        batch, total = len(a), len(all_a)
        own = torch.arange(batch, device=a.device) + (batch * dist.get_rank() if gather else 0)
        rows, columns = torch.cat([own, own + total]), torch.arange(2 * total, device=a.device)
        logits = torch.cat([a, b]) @ torch.cat([all_a, all_b]).T / temperature  # (2B, 2·total)
        logits = logits.masked_fill(rows.unsqueeze(1) == columns, float("-inf"))  # nothing is its own negative
        return F.cross_entropy(logits, (rows + total) % (2 * total))
