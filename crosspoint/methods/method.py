"""The base class of methods: what the trainer asks of a method, and what a method asks of data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Generator, Tensor, nn

from crosspoint.checkpoints.record import Inputs
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.plugins import Recorded
from crosspoint.renderers.json_object import JsonObject


class Method(Recorded, nn.Module):
    """Self-supervised method: networks, settings, a training step, and how samples become a batch.

    A subclass takes `encoder` and `image_encoder` (which may be None) as the first two arguments of its constructor,
    and its settings as keywords: they are the keys below `method` in YAML. `ObjectMethod` and `SceneMethod` are the
    usual bases, as they know the data of objects and of scenes.

    Attributes:
        encoder: what users keep.
        image_encoder: the image branch or teacher, None where there is none.
        default_encoder: short name or import path of the encoder of a run that names none.
        default_image_encoder: the same of the image encoder; None where the method looks at no image.
        recipe: published optimization, for keys of `training` that a run does not give.
        min_batch: samples that a batch needs at least.
        needs: what samples must carry, for example "superpixels".
        health_samples: how many samples are described for the rank of their features, which every epoch logs.
    """

    default_encoder: ClassVar[str] = "dgcnn"
    default_image_encoder: ClassVar[str | None] = None
    recipe: ClassVar[JsonObject] = {}
    min_batch: ClassVar[int] = 1
    needs: ClassVar[frozenset[str]] = frozenset()
    health_samples: ClassVar[int] = 128

    encoder: PointEncoder
    image_encoder: nn.Module | None

    def __init__(self) -> None:
        super().__init__()
        self.image_encoder = None

    @classmethod
    def uses_images(cls, settings: JsonObject) -> bool:
        """Whether a run with these settings builds an image encoder."""
        return cls.default_image_encoder is not None

    def training_samples(self, dataset: Any, *, prepare: bool = True) -> Any:
        """The dataset as samples, indexed by (index, seed): all that an access draws depends on these two numbers.

        Args:
            dataset: what the run reads.
            prepare: compute what takes long and is kept on disk, as superpixels are; False where another process does.

        Raises:
            ValueError: if the dataset is of another kind than the method needs.
        """
        raise ValueError(f"found {type(self).__name__}, expected a method that defines training_samples")

    def collate(self, samples: Sequence[Any]) -> Any:
        """Samples → a batch."""
        raise ValueError(f"found {type(self).__name__}, expected a method that defines collate")

    def training_step(self, batch: Any, generator: Generator) -> dict[str, Tensor]:
        """A batch → "loss" and its named parts, all scalars; every draw comes from the generator."""
        raise ValueError(f"found {type(self).__name__}, expected a method that defines training_step")

    def planned(self, steps: int) -> None:
        """Told before a run how many steps it will have; a method warns where a part of it would never start."""
        return

    def describe(self, batch: Any) -> Tensor | None:
        """A batch → features of the encoder (n, C), a row a sample, point or voxel; None where nothing is watched."""
        return None

    def inputs(self, dataset: Any) -> Inputs:
        """What the encoder was trained on; checkpoints keep it."""
        raise ValueError(f"found {type(self).__name__}, expected a method that defines inputs")

    def networks_to_compile(self) -> list[nn.Module]:
        """The networks that `compute.compile` compiles; none where compilation is not supported."""
        return []

    def labels(self, dataset: Any) -> np.ndarray | None:
        """Class of each sample (n,) int64, -1 where unknown, for the probe; None where nothing can be probed."""
        return None
