"""A method of your own: what is learned from each batch is one class; the rest of training stays as it is.

    python examples/own_method.py --out runs/own_method

Resume, checkpoints, logs, several GPUs and `crosspoint evaluate` work as for built-in methods.
"""

from __future__ import annotations

from pathlib import Path

import torch
from jsonargparse import auto_cli
from torch import Tensor, nn

from crosspoint import Compute, ObjectMethod, ObjectPair, PointEncoder, PointNet, TrainingConfig, nt_xent, pretrain
from crosspoint.datasets.cloud_folder import CloudFolder
from crosspoint.datasets.procedural.shapes import write_shapes
from crosspoint.eval import CloudTarget, Result, evaluate
from crosspoint.eval.protocols.knn import Knn


class TwoHalves(ObjectMethod):
    """The two halves of a cloud, cut by a plane through its center, should have the same features.

    Args:
        temperature: number that divides the cosines
    """

    default_encoder = "pointnet"
    default_image_encoder = None  # no image is looked at
    recipe = {"epochs": 10, "batch_size": 32, "learning_rate": 1e-3}

    def __init__(self, encoder: PointEncoder, image_encoder: nn.Module | None, *, temperature: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.temperature = temperature

    def training_step(self, batch: ObjectPair, generator: torch.Generator) -> dict[str, Tensor]:
        """points (B, N, 3) → the loss. All that is drawn comes from the generator, so a run can be repeated."""
        points = batch.points
        normal = torch.randn(len(points), 3, 1, generator=generator, device=points.device)
        order = (points @ normal).squeeze(-1).argsort(dim=1)  # from one side of the plane to the other
        half = points.shape[1] // 2
        low, high = (points.gather(1, chosen[..., None].expand(-1, -1, 3)) for chosen in order.split(half, dim=1)[:2])
        return {"loss": nt_xent(self.encoder(low), self.encoder(high), temperature=self.temperature)}


def main(out: Path, train: int = 8, test: int = 8, epochs: int | None = None, points: int = 256) -> dict[str, Result]:
    """Train an encoder by the method, and compare it with its random weights.

    Args:
        out: folder for shapes and the run
        train: number of shapes of each class to learn from
        test: number of shapes of each class to measure on
        epochs: passes over the shapes; by default those of the method's recipe
        points: points of each cloud
    """
    write_shapes(out / "shapes", train=train, test=test)
    clouds = CloudFolder(out / "shapes", "train", points=points, cache=True)

    torch.manual_seed(0)
    method = TwoHalves(PointNet(embedding=128), None)
    compute = Compute(accelerator="cpu", workers=0)
    training = TrainingConfig(epochs=epochs)  # None takes the recipe's
    checkpoint = pretrain(method, clouds, out=out / "run", training=training, compute=compute, resume=True)

    results = {}
    for name, random_init in (("random", True), ("trained", False)):
        target = CloudTarget(checkpoint, "clouds", out / "shapes", random_init=random_init, device="cpu")
        results[name] = evaluate(Knn(), target)
        print(f"{name:8} {results[name].metrics['accuracy']:.1f} % by the nearest neighbors")
    return results


if __name__ == "__main__":
    from own_method import main as run  # so that the checkpoint does not name the class `__main__.TwoHalves`

    auto_cli(run, as_positional=False)
