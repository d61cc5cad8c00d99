"""Training of a depth estimator, and its measurement."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any, NamedTuple

import numpy as np
import torch
from lightning.fabric.utilities import move_data_to_device
from torch import Tensor
from torch.nn.utils import clip_grad_norm_
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import OneCycleLR
from torch.utils.data import DataLoader

from crosspoint.eval.features import frozen
from crosspoint.eval.metrics.depth import depth_errors, mean_errors
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.depth_config import DepthConfig
from crosspoint.eval.supervised.depth_frames import DepthBatch, DepthExamples
from crosspoint.eval.supervised.depth_networks import DepthEstimator, depth_loss
from crosspoint.eval.supervised.frame_training import FrameTraining

DIVISORS = 25.0, 100.0  # of the highest rate at the start, and of that at the end


class DepthTraining(FrameTraining):
    """Train a `DepthEstimator` by AdamW in one cycle; what is drawn for a frame comes from its seed in the epoch.

    Args:
        network: with the modes of its modules set.
        frames: of the training.
        recipe: of the mode.
        resources: what it runs on.
        seed: of the order and the augmentation.
    """

    def __init__(
        self, network: DepthEstimator, frames: DepthExamples, recipe: DepthConfig, resources: Resources, seed: int
    ) -> None:
        super().__init__(network, frames, batch_size=recipe.batch_size, resources=resources, seed=seed)
        self.recipe = recipe

    def training_step(self, batch: DepthBatch, batch_idx: int) -> Tensor:
        """One step on all images of some frames."""
        loss = depth_loss(self.network(batch), batch.depth, self.recipe.nearest, self.recipe.farthest)
        images = len(batch.depth)
        self.log(
            "train/loss", loss.detach(), on_epoch=True, on_step=False, prog_bar=True, sync_dist=True, batch_size=images
        )
        return loss

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Limit the norm of the gradient."""
        clip_grad_norm_([weight for weight in self.network.parameters() if weight.requires_grad], self.recipe.clip)

    def configure_optimizers(self) -> Any:
        """AdamW; the rate rises and falls once over all steps, the betas stay."""
        recipe = self.recipe
        assert recipe.learning_rate is not None  # as of a mode
        weights = [weight for weight in self.network.parameters() if weight.requires_grad]
        optimizer = AdamW(weights, lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay)
        steps = math.ceil(self.batches(self.trainer.world_size) / self.resources.accumulation)
        schedule = OneCycleLR(
            optimizer,
            recipe.learning_rate,
            total_steps=recipe.epochs * steps + 1,  # the scheduler steps once more after the last one
            pct_start=recipe.rise,
            cycle_momentum=False,
            div_factor=DIVISORS[0],
            final_div_factor=DIVISORS[1],
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class DepthMeasured(NamedTuple):
    """What a network says of some frames."""

    errors: list[dict[str, float] | None]  # of each image, None where nothing of it is measured
    shown: list[np.ndarray]  # (V, H, W) float16 meters of each frame that was asked for

    def figures(self) -> dict[str, float]:
        """Means over the images."""
        return mean_errors(self.errors)

    def rows(self) -> np.ndarray:
        """(n, 9) float32, a row an image, in the order of `crosspoint.eval.metrics.depth.NAMES`; NaN for None."""
        names = [*next(errors for errors in self.errors if errors is not None)]
        return np.array(
            [[math.nan if errors is None else errors[name] for name in names] for errors in self.errors], np.float32
        )


def measure_depth(
    network: DepthEstimator,
    frames: DepthExamples,
    recipe: DepthConfig,
    resources: Resources,
    device: torch.device,
    *,
    shown: Collection[int] = (),
) -> DepthMeasured:
    """Tell the depth of all images, and compare it where it is known.

    Args:
        network: its training flags and its device are as before afterwards.
        frames: without augmentation.
        recipe: the range and the area that count, and whether mirror images are asked, too.
        resources: how many frames a pass has, and who reads them.
        device: where the passes run.
        shown: frames whose predictions are returned, by their places.

    Raises:
        ValueError: if no pixel of any image counts.
    """
    errors: list[dict[str, float] | None] = []
    kept: list[np.ndarray] = []
    loader: DataLoader = DataLoader(
        frames,  # type: ignore[arg-type] # indexed by (index, seed) pairs
        batch_size=resources.evaluation_batch,
        sampler=[(index, 0) for index in range(len(frames))],
        num_workers=resources.workers,
        collate_fn=_Named(frames),
    )
    place = 0
    with frozen(network, device), torch.inference_mode():
        for batch, counts in loader:
            depth = predicted_depth(network, move_data_to_device(batch, device), mirror=bool(recipe.mirror)).cpu()
            for own in depth.split(counts):
                if place in shown:
                    kept.append(own.clamp(recipe.nearest, recipe.farthest).half().numpy())
                place += 1
            for predicted, truth, (height, width) in zip(depth, batch.depth, batch.sizes.tolist(), strict=True):
                errors.append(
                    depth_errors(
                        predicted[:height, :width].numpy(),
                        truth[:height, :width].numpy(),
                        area=recipe.area,
                        nearest=recipe.nearest,
                        farthest=recipe.farthest,
                    )
                )
    return DepthMeasured(errors, kept)


def predicted_depth(network: DepthEstimator, batch: DepthBatch, *, mirror: bool) -> Tensor:
    """Meters (I, H, W) of a batch; with `mirror` the mean of the images' and of their mirror images'."""
    depth = network(batch).exp()
    if not mirror:
        return depth
    mirrored = network(batch._replace(images=batch.images.flip(3), maps=[])).exp()
    return (depth + mirrored.flip(2)) / 2


class _Named:
    """A batch, and how many images each of its frames has."""

    def __init__(self, frames: DepthExamples) -> None:
        self.frames = frames

    def __call__(self, frames: list[Any]) -> tuple[DepthBatch, list[int]]:
        return self.frames.collate(frames), [len(frame.sizes) for frame in frames]
