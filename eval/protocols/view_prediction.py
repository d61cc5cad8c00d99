"""Clouds and views in the space of a frozen teacher, for methods that predict what it makes of a view.

CrossJEPA (https://arxiv.org/abs/2511.18424) has no image branch. Its predictor says what the teacher would make of a
cloud, seen by a camera; views are there as the teacher's embeddings, which `crosspoint embed-views` wrote.
"""

from __future__ import annotations

import numpy as np
import torch

from crosspoint.datasets.embedded.pairs import EmbeddedPairs, check_embeddings
from crosspoint.datasets.embedded.view_facts import camera_facts
from crosspoint.eval.features import extract_features, frozen
from crosspoint.methods.crossjepa import CrossJEPA
from crosspoint.renderers import RenderedSet


def place_in_teacher_space(
    method: CrossJEPA,
    points: np.ndarray,
    rendered: RenderedSet,
    *,
    views: int,
    embeddings: str | None = None,
    device: torch.device | str = "cpu",
    progress: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """What the teacher makes of views, and what the method says that it would make of clouds.

    A cloud stands at the mean of its predictions for all cameras of its object, with the mean colors of the whole
    split: the colors of its own views would tell more of it than a cloud knows.

    Args:
        method: trained.
        points: (n, N, 3) float32, the clouds of the set in its order, y up.
        rendered: the split that they are of, embedded by the teacher.
        views: of each object, the first ones.
        embeddings: name of the embeddings; None where there are some alone.
        device: where the networks run.
        progress: show a bar, where the output is a terminal.

    Returns:
        Embeddings of views (n, views, D) and predictions of clouds (n, D), float32, both as the method compares them.

    Raises:
        FileNotFoundError: if the set has no embeddings.
        ValueError: if they are of another length than those of training, or damaged.
    """
    pairs = EmbeddedPairs(rendered.root, rendered.split, views=views, embeddings=embeddings)
    check_embeddings(pairs, method.embedding, "method.embedding")
    count, first, everything = len(rendered), [*range(views)], [*range(rendered.views)]
    targets = torch.stack([pairs.stored.embeddings(index, first) for index in range(count)])
    colors = torch.stack([pairs.stored.colors(index, everything).mean(dim=0) for index in range(count)]).mean(dim=0)
    features = torch.from_numpy(extract_features(method.encoder, points, device=device, progress=progress))
    device, predictions = torch.device(device), []
    with frozen(method, device), torch.inference_mode():
        for index in range(count):
            cameras = camera_facts(rendered.cameras(index))[None].to(device)
            shares = colors.expand(1, len(everything), -1).to(device)
            predictions.append(method.predict(features[index][None].to(device), cameras, shares)[0].mean(dim=0).cpu())
        compared = method.targets(targets.to(device)).cpu()
    return compared.numpy(), torch.stack(predictions).numpy()
