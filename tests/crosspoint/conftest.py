from __future__ import annotations

import numpy as np
import pytest
import torch

from crosspoint.datasets.pairs import ObjectPair, draw_views


class ToyPairs:
    """Boxes of four proportions with pictures of their color: pairs that cost nothing to make."""

    def __init__(self, per_class: int = 6, points: int = 64, size: int = 24, views: int = 1) -> None:
        self.classes = ["cube", "plate", "rod", "ramp"]
        self.labels = np.repeat(np.arange(4), per_class)
        generator = np.random.default_rng(0)
        shapes = np.array([[1, 1, 1], [1, 0.1, 1], [0.1, 1, 0.1], [1, 0.5, 0.2]])
        self.points = (generator.uniform(-1, 1, (len(self.labels), points, 3)) * shapes[self.labels][:, None]).astype(
            np.float32
        )
        self.images = generator.integers(0, 256, (len(self.labels), 3, 3, size, size), dtype=np.uint8)
        self.images[:, :, 0] = (self.labels * 60)[:, None, None, None]
        self.views = views

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, item: tuple[int, int]) -> ObjectPair:
        index, seed = item
        chosen = draw_views(3, self.views, seed)
        return ObjectPair(
            torch.from_numpy(self.points[index]),
            torch.from_numpy(self.images[index][chosen]),
            torch.tensor(self.labels[index]),
        )

    def read_points(self, index: int) -> np.ndarray:
        return self.points[index]


@pytest.fixture
def toy_pairs() -> type[ToyPairs]:
    return ToyPairs
