"""Part segmentation: fine-tune a part-segmentation encoder on clouds with a part label at every point.

The protocol of CrossPoint (Afham et al., 2022, https://arxiv.org/abs/2203.00680, and its code): the decoder gets the
category, 40 neighbors, 300 epochs, and each point takes the likeliest of all parts of all categories. Other papers
let it choose among the parts of its category alone; both are reported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from torch import Generator, Tensor, nn

from crosspoint.datasets.clouds import Clouds
from crosspoint.eval.metrics.part_iou import part_scores
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.cloud_training import Evaluation, check_free, predict, save_trained, train_supervised
from crosspoint.eval.supervised.config import FinetuneConfig, Resources, ScaleAndShift
from crosspoint.eval.supervised.splits import Splits, split_clouds
from crosspoint.eval.supervised.trainer import seeded
from crosspoint.models.part_segmenter import PartSegmenter
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.training.epoch_sampler import step_seed
from crosspoint.training.loggers import Names, check_loggers
from crosspoint.training.run_folder import writes_alone
from crosspoint.transforms import CloudAugmentation

Mode = Literal["finetuned", "scratch"]

# CrossPoint permutes the points in training, which changes nothing for a network that treats all alike.
PARTS = FinetuneConfig(epochs=300, batch_size=8, augmentation=None)
# RS-CNN (Liu et al., 2019, https://arxiv.org/abs/1904.07601) votes like this, ten times.
VOTING = ScaleAndShift(scale=(0.87, 1.15), shift=0.0)


class Voting(nn.Module):
    """Probabilities of parts, averaged over a cloud and moved copies of it.

    Args:
        segmenter: gives logits.
        votes: passes, of which the first sees the cloud as it is.
        move: how the others see it.
        seed: of the moves; each cloud's are its own, in whatever batch it is.
    """

    def __init__(self, segmenter: PartSegmenter, votes: int, move: ScaleAndShift, seed: int) -> None:
        super().__init__()
        self.segmenter = segmenter
        self.votes = votes
        self.move = move
        self.seed = seed

    def forward(self, points: Tensor, category: Tensor, number: Tensor) -> Tensor:
        """points (B, N, C), category one-hot (B, categories), number of each cloud (B,) → (B, N, parts)."""
        total = self.segmenter(points, category).softmax(dim=-1)
        for vote in range(1, self.votes):
            moved = [self._moved(cloud, vote, int(index)) for cloud, index in zip(points, number, strict=True)]
            total = total + self.segmenter(torch.stack(moved), category).softmax(dim=-1)
        return total / self.votes

    def _moved(self, cloud: Tensor, vote: int, index: int) -> Tensor:
        generator = Generator(cloud.device).manual_seed(step_seed(self.seed, vote, index))
        return self.move(cloud[None], generator, self.segmenter.encoder.fields)[0]


@writes_alone
def segment_parts(
    encoder: PointEncoder,
    train: Clouds,
    test: Clouds,
    *,
    mode: Mode = "finetuned",
    recipe: FinetuneConfig = PARTS,
    k: int = 40,
    validation: Clouds | float = 0.1,
    fraction: float = 1.0,
    votes: int = 1,
    voting: ScaleAndShift = VOTING,
    seed: int = 0,
    resources: Resources | None = None,
    progress: bool = False,
    out: Path | None = None,
    logger: Names | None = None,
) -> Result:
    """Part IoU on the test split of a segmenter that starts from an encoder, in percent.

    - instance_miou, category_miou, point_accuracy: of the epoch with the highest instance mIoU on validation clouds,
      each point taking the likeliest of all parts; `…_own_parts`: of the parts of its cloud's category.
    - instance_miou_best_on_test: the highest of all epochs, which is what CrossPoint reports; no figure to choose by.
    - `…_voted`: with more than one vote, those of the chosen epoch by averaged probabilities.

    `crosspoint.eval.metrics.part_iou` defines the figures. The encoder itself is not changed. The same arguments give
    the same result on a CPU; a GPU adds in varying order.

    Args:
        encoder: a (pre-trained) encoder with `forward_levels`; CrossPoint's is PartSegDGCNN.
        train: the training split, with parts; CrossPoint trains on train and validation together ("trainval").
        test: the test split, with parts.
        mode: "finetuned" trains on from the encoder's weights, "scratch" from random ones in their place.
        recipe: of training; an augmentation must keep every point.
        k: neighbors per point, whatever the encoder was pre-trained with; not read where it has no graph.
        validation: clouds of their own (the dataset's "val" split), or the share of each category of `train`; 0
            trains on all and takes the last epoch.
        fraction: of the labeled clouds of each category that is trained on, after validation clouds are set aside.
        votes: passes over each test cloud, the first of which sees it as it is.
        voting: how the other passes see it.
        seed: of the splits, the decoder, the order, the augmentation, dropout and the votes.
        resources: what it runs on.
        progress: show a progress bar.
        out: new folder for `network.safetensors`, a `PartSegmenter`'s weights of the chosen epoch, its encoder as
            `load_encoder` reads it (`encoder.safetensors`), and `predictions.npz` (parts, own_parts and truth on the
            test split, (n, N) each). Interrupted, the same call goes on from the last whole epoch.
        logger: csv, tensorboard, wandb, mlflow, several of them, which write to `out`; None takes none.

    Raises:
        ImportError: if a logger's package is not installed.
        ValueError: if splits do not fit together or are too small, if clouds have no parts or fewer than k points, if
            the encoder is another one, if `out` is taken or being written to, or if the loss stops being finite.
    """
    check_free(out)
    check_loggers(logger, out)
    check_encoder(encoder)
    resources = resources or Resources()
    splits = split_clouds(train, test, validation, fraction, seed)
    graph = {"k": k} if "k" in encoder.config else {}
    _check(recipe, mode, graph.get("k", 1), votes, splits)
    parts_of_category = category_parts(train, *splits.present.values())
    with seeded(seed):
        start = type(encoder)(**{**encoder.config, **graph})
        if mode == "finetuned":
            start.load_state_dict(encoder.state_dict())
        network = PartSegmenter(
            start, categories=len(parts_of_category), parts=parts_of_category.shape[1], dropout=recipe.dropout
        )
    held = {name: (_inputs(clouds), clouds) for name, clouds in splits.present.items() if name != "train"}
    answer, score = (
        partial(part_answers, parts_of_category=parts_of_category),
        partial(_scores, parts_of_category=parts_of_category),
    )
    trained = train_supervised(
        network,
        [*_inputs(splits.train), _parts(splits.train)],
        Evaluation(held, answer, score, "instance_miou", resources.evaluation_batch),
        recipe=recipe,
        resources=resources,
        seed=seed,
        progress=progress,
        fields=train.fields,
        folder=out,
        logger=logger,
    )
    predicted, voted = trained.predicted, {}
    if votes > 1:
        predicted = _vote(Voting(network, votes, voting, seed), test, answer, resources)
        voted = {f"{name}_voted": value for name, value in score(predicted, test).items()}
    if out is not None:
        answers = {"parts": predicted[:, 0], "own_parts": predicted[:, 1], "truth": _parts(test)}
        own = [np.flatnonzero(row).tolist() for row in parts_of_category]
        head = {"dropout": recipe.dropout, "parts": parts_of_category.shape[1], "parts_of_category": own}
        save_trained(out, network, splits.train, "parts", head, **answers)
    constants = {
        "mode": mode,
        "k": graph.get("k"),
        "fraction": fraction,
        "votes": votes,
        "voting": {"scale": list(voting.scale), "shift": voting.shift} if votes > 1 else None,
        "parts": parts_of_category.shape[1],
        **splits.constants(),
    }
    result = trained.result(f"part_segmentation/{mode}", "instance_miou", constants)
    return replace(result, metrics={**result.metrics, **voted})


def category_parts(*clouds: Clouds) -> np.ndarray:
    """Which parts each category has, (categories, parts) bool.

    Those that are named "<category>/…", and those that occur in its clouds: a part of several categories is named
    after none.

    Args:
        clouds: all splits, so that the answer does not depend on which of them is small.
    """
    names = clouds[0].part_names
    count = len(names) if names is not None else 1 + max(int(_parts(each).max()) for each in clouds)
    parts_of_category = np.zeros((len(clouds[0].classes), count), dtype=bool)
    for category, name in enumerate(clouds[0].classes):
        for part, part_name in enumerate(names or []):
            parts_of_category[category, part] = part_name.startswith(f"{name}/")
    for each in clouds:
        parts_of_category[each.labels[:, None], _parts(each)] = True
    return parts_of_category


def check_encoder(encoder: nn.Module) -> PointEncoder:
    """The encoder, if parts can be segmented from it.

    Raises:
        ValueError: if not.
    """
    if isinstance(encoder, PointEncoder) and encoder.level_dim is not None:
        return encoder
    raise ValueError(
        f"found an encoder of type {type(encoder).__name__}, expected one with forward_levels: pre-train "
        "dgcnn_partseg, dgcnn, pointnet or point_transformer"
    )


def _check(recipe: FinetuneConfig, mode: Mode, k: int, votes: int, splits: Splits) -> None:
    if mode not in get_args(Mode):
        raise ValueError(f"found the mode {mode!r}, expected one of: {', '.join(get_args(Mode))}")
    if votes < 1:
        raise ValueError(f"found {votes} votes, expected at least 1")
    for clouds in splits.present.values():
        count = clouds.points.shape[1]
        if clouds.parts is None or clouds.parts.shape != (len(clouds), count):
            found = "no parts" if clouds.parts is None else f"parts of shape {clouds.parts.shape}"
            raise ValueError(
                f"found {found} in {clouds.name} ({clouds.split}), expected ({len(clouds)}, {count}): take a dataset "
                "with a part label at every point"
            )
        if clouds.part_names != splits.train.part_names:
            raise ValueError(f"found other part names in {clouds.name} ({clouds.split}) than in {splits.train.name}")
        if count < k:
            raise ValueError(f"found clouds of {count} points, expected at least k = {k}: take more, or a smaller k")
    chosen = recipe.augmentation
    if isinstance(chosen, CloudAugmentation) and (chosen.dropout > 0 or chosen.points is not None):
        raise ValueError("found an augmentation that drops points, expected one that keeps them with their parts")


def _parts(clouds: Clouds) -> np.ndarray:
    assert clouds.parts is not None
    return clouds.parts.astype(np.int64)


def _inputs(clouds: Clouds) -> list[np.ndarray]:
    """Points (n, N, 3) and one-hot categories (n, categories)."""
    return [clouds.points.astype(np.float32), np.eye(len(clouds.classes), dtype=np.float32)[clouds.labels]]


def part_answers(scores: Tensor, points: Tensor, category: Tensor, *_: Tensor, parts_of_category: np.ndarray) -> Tensor:
    """scores (B, N, parts) → (B, 2, N): the highest of all parts, and of those of the category."""
    mine = torch.from_numpy(parts_of_category).to(scores.device)[category.argmax(dim=1)]
    own = scores.masked_fill(~mine.unsqueeze(1), -torch.inf)
    return torch.stack([scores.argmax(dim=2), own.argmax(dim=2)], dim=1)


def _scores(predicted: np.ndarray, clouds: Clouds, *, parts_of_category: np.ndarray) -> dict[str, float]:
    """predicted (n, 2, N), as `part_answers` gives it."""
    parts = _parts(clouds)
    of_all, of_own = (part_scores(predicted[:, choice], parts, clouds.labels, parts_of_category) for choice in (0, 1))
    return {**of_all, **{f"{name}_own_parts": value for name, value in of_own.items()}}


def _vote(network: Voting, clouds: Clouds, answer: Callable[..., Tensor], resources: Resources) -> np.ndarray:
    numbers = np.arange(len(clouds), dtype=np.int64)
    arrays = [*_inputs(clouds), numbers]
    return predict(network, arrays, answer, batch_size=resources.evaluation_batch, device=resources.device)
