"""The original CrossPoint networks, written straight from their published layout: key names, edges and all."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def graph_feature(x: Tensor, k: int) -> Tensor:
    """x (B, C, N) → (B, 2C, N, K): difference to each of the k nearest, then the point itself."""
    neighbors = torch.cdist(x.transpose(1, 2), x.transpose(1, 2)).topk(k, largest=False).indices  # (B, N, K)
    _, channels, count = x.shape
    others = x.unsqueeze(2).expand(-1, -1, count, -1).gather(3, neighbors.unsqueeze(1).expand(-1, channels, -1, -1))
    center = x.unsqueeze(3).expand_as(others)
    return torch.cat([others - center, center], dim=1)


def block(kind: type[nn.Module], channels: int, width: int, norm: nn.Module) -> nn.Sequential:
    return nn.Sequential(kind(channels, width, kernel_size=1, bias=False), norm, nn.LeakyReLU(0.2))


def head(width: int, hidden: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 256))


class OriginalDGCNN(nn.Module):
    def __init__(self, k: int = 15, embedding: int = 1024) -> None:
        super().__init__()
        self.k = k
        for i, (channels, width) in enumerate([(6, 64), (128, 64), (128, 128), (256, 256)], start=1):
            setattr(self, f"bn{i}", nn.BatchNorm2d(width))
            setattr(self, f"conv{i}", block(nn.Conv2d, channels, width, getattr(self, f"bn{i}")))
        self.bn5 = nn.BatchNorm1d(embedding)
        self.conv5 = block(nn.Conv1d, 512, embedding, self.bn5)
        self.inv_head = head(2 * embedding, embedding)

    def forward(self, points: Tensor) -> Tensor:
        x, levels = points.transpose(1, 2), []
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x = conv(graph_feature(x, self.k)).amax(dim=3)
            levels.append(x)
        x = self.conv5(torch.cat(levels, dim=1))
        return torch.cat([x.amax(dim=2), x.mean(dim=2)], dim=1)


class OriginalTransformNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn1, self.bn2 = nn.BatchNorm2d(64), nn.BatchNorm2d(128)
        self.bn3 = nn.BatchNorm1d(1024)
        self.conv1 = block(nn.Conv2d, 6, 64, self.bn1)
        self.conv2 = block(nn.Conv2d, 64, 128, self.bn2)
        self.conv3 = block(nn.Conv1d, 128, 1024, self.bn3)
        self.linear1 = nn.Linear(1024, 512, bias=False)
        self.bn3 = nn.BatchNorm1d(512)  # assigned twice, as there
        self.linear2 = nn.Linear(512, 256, bias=False)
        self.bn4 = nn.BatchNorm1d(256)
        self.transform = nn.Linear(256, 9)

    def forward(self, edges: Tensor) -> Tensor:
        x = self.conv3(self.conv2(self.conv1(edges)).amax(dim=3)).amax(dim=2)
        x = F.leaky_relu(self.bn3(self.linear1(x)), 0.2)
        x = F.leaky_relu(self.bn4(self.linear2(x)), 0.2)
        return self.transform(x).view(-1, 3, 3)


class OriginalPartSeg(nn.Module):
    """With parts, the fine-tuned network; without, the pre-trained one."""

    def __init__(self, k: int = 15, parts: int | None = None) -> None:
        super().__init__()
        self.k = k
        self.transform_net = OriginalTransformNet()
        widths = {6: 1024, 7: 64, 8: 256, 9: 256, 10: 128}
        for i in range(1, 11):
            setattr(self, f"bn{i}", nn.BatchNorm2d(64) if i < 6 else nn.BatchNorm1d(widths[i]))
        for i, channels in enumerate([6, 64, 128, 64, 128], start=1):
            setattr(self, f"conv{i}", block(nn.Conv2d, channels, 64, getattr(self, f"bn{i}")))
        self.conv6 = block(nn.Conv1d, 192, 1024, self.bn6)
        self.inv_head = head(1024, 1024)
        if parts is not None:
            for i, channels in zip(range(7, 11), [16, 1280, 256, 256], strict=True):
                setattr(self, f"conv{i}", block(nn.Conv1d, channels, widths[i], getattr(self, f"bn{i}")))
            self.conv11 = nn.Conv1d(128, parts, kernel_size=1, bias=False)

    def forward(self, points: Tensor) -> Tensor:
        matrix = self.transform_net(graph_feature(points.transpose(1, 2), self.k))
        x = (points @ matrix).transpose(1, 2)
        x1 = self.conv2(self.conv1(graph_feature(x, self.k))).amax(dim=3)
        x2 = self.conv4(self.conv3(graph_feature(x1, self.k))).amax(dim=3)
        x3 = self.conv5(graph_feature(x2, self.k)).amax(dim=3)
        return self.conv6(torch.cat([x1, x2, x3], dim=1)).amax(dim=2)
