"""Linear classification of points by a teacher's features of their pixels, layer by layer.

    python -m benchmarks.teachers --frames data/streets6 --network tf_efficientnet_lite0 --weights WEIGHTS

No point encoder is trained: this says in minutes which layers a method should distil. Frames are those of a folder of
the embedded world, or of a rig with labels; the first four fifths of its training frames teach the classifier, the last
fifth is measured on. Images are cropped and mirrored as in pre-training. `make bench` leaves it out: it needs weights.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from benchmarks.measure import options, report
from crosspoint.models.image_teacher import ImageTeacher
from crosspoint.scene.data.training_set import SceneTrainingSet
from crosspoint.scene.data.transforms import SceneAugmentation
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.ops.upsampling import upsampled_at
from crosspoint.scene.segmentation_scores import confusion_matrix, segmentation_scores

LAYERS = [(-1,), (-2,), (-3,), (1, 2), (2, 3), (1, 2, 3), (1, 2, 3, 4), (0, 1, 2, 3, 4)]
PAIRS = 1500  # of each frame


class Seen(NamedTuple):
    """The images of a frame, and some of its pairs with the classes of their points."""

    images: Tensor
    view: Tensor
    pixel: Tensor
    label: Tensor


def main() -> None:
    parser = options(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--frames", type=Path, required=True, help="folder of frames with images and labels")
    parser.add_argument("--network", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", required=True)
    parser.add_argument("--size", type=int, nargs=2, default=(128, 224))
    parser.add_argument("--every", type=int, default=3, help="use every n-th frame")
    args = parser.parse_args()
    frames = FolderScenes(args.frames, split="train")
    samples = SceneTrainingSet(frames, SceneAugmentation(size=tuple(args.size)))
    chosen = range(0, len(frames), 20 * args.every if args.quick else args.every)
    seen = [look(samples[index, index]) for index in chosen]
    border, labels = len(seen) * 4 // 5, [frame.label for frame in seen]
    rows: list[dict[str, Any]] = []
    for layers in LAYERS[:2] if args.quick else LAYERS:
        for dilated in (False, True) if len(layers) in (1, 4) and not args.quick else (False,):
            teacher = ImageTeacher(network=args.network, weights=args.weights, layers=layers, dilated=dilated)
            started = time.process_time()
            features = [describe(teacher, frame) for frame in seen]
            seconds = (time.process_time() - started) / len(seen)
            x, y = ((torch.cat(part[:border]), torch.cat(part[border:])) for part in (features, labels))
            figure = linear_miou(*x, *y, len(frames.classes))
            rows.append(
                {
                    "layers": " ".join(map(str, layers)),
                    "dilated": dilated,
                    "channels": teacher.feature_dim,
                    "miou": round(figure, 1),
                    "cpu_seconds_a_frame": round(seconds, 3),
                }
            )
    report("teachers", rows, args)


def look(sample: Any) -> Seen:
    """A frame's images, and pairs of it that its own seed draws."""
    order = torch.randperm(len(sample.pair_point), generator=Generator().manual_seed(0))[:PAIRS]
    label = sample.point_fields["label"][sample.pair_point[order]]
    order, label = order[label >= 0], label[label >= 0]
    return Seen(sample.images, sample.pair_view[order], sample.pair_pixel[order], label)


def describe(teacher: ImageTeacher, seen: Seen) -> Tensor:
    """The teacher's features of length 1 at the pixels of the pairs (P, C)."""
    size = (seen.images.shape[2], seen.images.shape[3])
    return upsampled_at(teacher.features(seen.images), size, seen.view, seen.pixel)


def linear_miou(train: Tensor, test: Tensor, labels: Tensor, truth: Tensor, classes: int) -> float:
    """mIoU in percent of one layer on standardized features, after six epochs of Adam."""
    mean, deviation = train.mean(dim=0), train.std(dim=0) + 1e-6
    train, test = (train - mean) / deviation, (test - mean) / deviation
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layer = nn.Linear(train.shape[1], classes)
        optimizer = torch.optim.Adam(layer.parameters(), lr=2e-3)
        for _ in range(6):
            for rows in torch.randperm(len(train)).split(2048):
                loss = F.cross_entropy(layer(train[rows]), labels[rows])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    with torch.no_grad():
        confusion = confusion_matrix(layer(test).argmax(dim=1), truth, classes)
    return segmentation_scores(confusion.numpy())["miou"]


if __name__ == "__main__":
    main()
