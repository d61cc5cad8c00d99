"""DGCNN, forward and backward: per-point EdgeConv against its formula and against the layout most code has today."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.formula import formula_path
from benchmarks.measure import medians, options, peak_memory, report, rounds
from crosspoint.models.dgcnn import DGCNN
from crosspoint.models.projection_heads import cloud_head


class ChannelsFirstDGCNN(nn.Module):
    """DGCNN as it is written almost everywhere: (B, C, N, K) edge tensors through 1×1 convolutions."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.k = k
        widths = [(6, 64), (128, 64), (128, 128), (256, 256)]
        self.edges = nn.ModuleList(nn.Conv2d(c_in, c_out, 1, bias=False) for c_in, c_out in widths)
        self.norms = nn.ModuleList(nn.BatchNorm2d(c_out) for _, c_out in widths)
        self.embed, self.norm = nn.Conv1d(512, 1024, 1, bias=False), nn.BatchNorm1d(1024)

    def forward(self, points: Tensor) -> Tensor:
        """points (B, N, 3) → (B, 2048)."""
        x, levels = points.transpose(1, 2), []
        for edge, norm in zip(self.edges, self.norms, strict=True):
            batch, channels, count = x.shape
            inner, squares = -2 * torch.matmul(x.transpose(2, 1), x), x.square().sum(dim=1, keepdim=True)
            neighbors = (-squares - inner - squares.transpose(2, 1)).topk(self.k, dim=-1).indices
            flat = (neighbors + torch.arange(batch, device=x.device).view(-1, 1, 1) * count).flatten()
            rows = x.transpose(2, 1).contiguous()
            others = rows.view(batch * count, channels)[flat].view(batch, count, self.k, channels)
            center = rows.view(batch, count, 1, channels).repeat(1, 1, self.k, 1)
            edges = torch.cat((others - center, center), dim=3).permute(0, 3, 1, 2).contiguous()
            x = F.leaky_relu(norm(edge(edges)), 0.2).max(dim=-1).values
            levels.append(x)
        x = F.leaky_relu(self.norm(self.embed(torch.cat(levels, dim=1))), 0.2)
        return torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1)


def step(encoder: nn.Module, points: Tensor) -> Callable[[], None]:
    """One forward and backward pass through an encoder and its head."""
    model = nn.Sequential(encoder, cloud_head(2048)).to(points.device)

    def run() -> None:
        model.zero_grad()
        model(points).square().mean().backward()

    return run


def by_formula(run: Callable[[], None]) -> Callable[[], None]:
    """The same step on the formula path."""

    def patched() -> None:
        with formula_path():
            run()

    return patched


def main() -> None:
    args = options(__doc__).parse_args()
    sizes = [(2, 256, 10)] if args.quick else [(8, 1024, 20), (8, 1024, 15), (20, 512, 15), (4, 2048, 20)]
    rows = []
    for batch, count, k in sizes:
        torch.manual_seed(0)
        points = torch.rand(batch, count, 3, device=args.device)
        fast = step(DGCNN(k=k), points)
        contenders = {"ours": fast, "formula": by_formula(fast), "channels_first": step(ChannelsFirstDGCNN(k), points)}
        seconds = medians(contenders, rounds(args))
        memory = {name: peak_memory(run, args.device) for name, run in contenders.items()}
        rows += [
            {
                "clouds": batch,
                "points": count,
                "k": k,
                "path": name,
                "seconds": seconds[name],
                "peak_mb": memory[name] / 2**20,
                "ours_faster": seconds[name] / seconds["ours"],
                "ours_smaller": memory[name] / memory["ours"],
            }
            for name in contenders
        ]
    report("edgeconv", rows, args)


if __name__ == "__main__":
    main()
