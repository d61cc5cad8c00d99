"""A point transformer written straight from Point-MAE's published layout: its key names, 1×1 convolutions and all."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PatchNet(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first_conv = nn.Sequential(nn.Conv1d(3, 128, 1), nn.BatchNorm1d(128), nn.ReLU(), nn.Conv1d(128, 256, 1))
        self.second_conv = nn.Sequential(
            nn.Conv1d(512, 512, 1), nn.BatchNorm1d(512), nn.ReLU(), nn.Conv1d(512, width, 1)
        )

    def forward(self, patches: Tensor) -> Tensor:
        found = self.first_conv(patches.flatten(0, 1).transpose(1, 2))
        whole = found.max(dim=2, keepdim=True).values
        found = self.second_conv(torch.cat([whole.expand_as(found), found], dim=1))
        return found.max(dim=2).values.view(*patches.shape[:2], -1)


class Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, count, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, count, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * (width // self.heads) ** -0.5).softmax(dim=-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(batch, count, width))


class Mlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(nn.functional.gelu(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn, self.mlp = Attention(width, heads), Mlp(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Blocks(nn.Module):
    def __init__(self, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))


class PointMAEEncoder(nn.Module):
    """What stands below "MAE_encoder." after pre-training; with a class token, what a fine-tuned network holds."""

    def __init__(self, width: int, depth: int, *, class_token: bool = False) -> None:
        super().__init__()
        self.encoder = PatchNet(width)
        self.pos_embed = nn.Sequential(nn.Linear(3, 128), nn.GELU(), nn.Linear(128, width))
        self.blocks = Blocks(width, depth, width // 64)
        self.norm = nn.LayerNorm(width)
        if class_token:
            self.cls_token, self.cls_pos = (nn.Parameter(torch.randn(1, 1, width)) for _ in range(2))

    def forward(self, patches: Tensor, centers: Tensor) -> Tensor:
        x, where = self.encoder(patches), self.pos_embed(centers)
        if hasattr(self, "cls_token"):
            x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1)
            where = torch.cat([self.cls_pos.expand(len(x), -1, -1), where], dim=1)
        for block in self.blocks.blocks:
            x = block(x + where)
        return self.norm(x)
