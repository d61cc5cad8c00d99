"""An encoder of your own: write a class, train it, load it from its checkpoint, and measure it.

    python examples/own_encoder.py --out runs/own_encoder

Nothing in the package is edited. A checkpoint holds the class's import path and the arguments that built it.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jsonargparse import auto_cli
from torch import Tensor, nn

from crosspoint import CloudAugmentation, Compute, CrossPoint, PointEncoder, TrainingConfig, load_pretrained, pretrain
from crosspoint.datasets.cloud_folder import CloudFolder
from crosspoint.datasets.procedural.shapes import write_shapes
from crosspoint.eval import CloudTarget, Result, evaluate
from crosspoint.eval.protocols.linear_svm import Linear


class TwoLayers(PointEncoder):
    """Two layers at every point, then the maximum over points: a small PointNet.

    Args:
        width: features of the cloud
        hidden: features between the layers
    """

    def __init__(self, width: int = 64, hidden: int = 32) -> None:
        super().__init__()
        self.feature_dim = width  # the one attribute that every encoder must set
        self.layers = nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, width))

    def forward_features(self, points: Tensor) -> Tensor:
        """Features of every point, (B, N, 3) → (B, N, width); optional."""
        return self.layers(points)

    def forward(self, points: Tensor) -> Tensor:
        """Features of every cloud, (B, N, 3) → (B, width)."""
        return self.forward_features(points).amax(dim=1)


def main(out: Path, train: int = 8, test: int = 8, epochs: int = 10, points: int = 256) -> dict[str, Result]:
    """Train the encoder on clouds alone, and compare it with its random weights.

    Args:
        out: folder for shapes and the run
        train: number of shapes of each class to learn from
        test: number of shapes of each class to measure on
        epochs: passes over the shapes
        points: points of each cloud
    """
    write_shapes(out / "shapes", train=train, test=test)  # a tree of meshes, <class>/{train,test}/<file>.ply
    clouds = CloudFolder(out / "shapes", "train", points=points, cache=True)

    # Without images (cross_weight 0), CrossPoint contrasts two augmentations of each cloud.
    torch.manual_seed(0)
    method = CrossPoint(TwoLayers(width=64), None, cross_weight=0.0, clouds=CloudAugmentation(points=points))
    training, compute = TrainingConfig(epochs=epochs, batch_size=32), Compute(accelerator="cpu", workers=0)
    checkpoint = pretrain(method, clouds, out=out / "run", training=training, compute=compute, resume=True)

    encoder = load_pretrained(checkpoint).encoder
    print(f"{type(encoder).__module__}.{type(encoder).__name__}{encoder.config} from {checkpoint}")
    results = {}
    for name, random_init in (("random", True), ("trained", False)):
        target = CloudTarget(checkpoint, "clouds", out / "shapes", random_init=random_init, device="cpu")
        results[name] = evaluate(Linear(), target)
        print(f"{name:8} {results[name].metrics['accuracy']:.1f} % by a linear SVM")
    return results


if __name__ == "__main__":
    # A checkpoint says where its class is imported from. Here the class would be `__main__.TwoLayers`, which no other
    # program can import, so this file imports itself under its own name.
    from own_encoder import main as run

    auto_cli(run, as_positional=False)
