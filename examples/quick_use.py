"""Quick use: load an encoder, describe clouds, and find which objects resemble each other.

    python examples/quick_use.py --out runs/quick_use

The encoder is a small one that comes with the package. `--weights` takes all that `load_pretrained` reads: a checkpoint
of `crosspoint pretrain`, an exported .safetensors, a name that `crosspoint models` lists, or hf://owner/repo.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jsonargparse import auto_cli
from sklearn.neighbors import NearestNeighbors

from crosspoint import load_pretrained
from crosspoint.datasets.procedural.shapes import shapes_clouds
from crosspoint.eval import extract_features


def main(out: Path, weights: str = "dgcnn-shapes", per_class: int = 4, points: int = 512) -> list[list[str]]:
    """Find the nearest neighbors of procedural shapes, and write the features.

    Args:
        out: folder for the features
        weights: file or name of an encoder
        per_class: number of shapes of each of the 22 classes
        points: points of each cloud
    """
    out.mkdir(parents=True, exist_ok=True)
    pretrained = load_pretrained(weights)

    # One cloud, in its own units. `transform` brings it to what training saw: turned, centered, scaled, thinned.
    cloud = 100 + 80 * np.random.default_rng(0).random((5000, 3))
    feature = pretrained.encoder(pretrained.transform(cloud))
    print(f"one cloud {cloud.shape} → one feature {tuple(feature.shape)}")

    # Many clouds of one size go through in batches. These shapes are made here, so there is nothing to download.
    shapes = shapes_clouds("test", per_class, points)
    features = extract_features(pretrained.encoder, shapes.points, normalize=True)
    np.savez(out / "features.npz", features=features, labels=shapes.labels)
    print(f"{len(shapes)} clouds → features {features.shape} in {out / 'features.npz'}")

    # The nearest neighbor of a shape is the shape itself, so we ask for four and leave out the first.
    nearest = NearestNeighbors(n_neighbors=4, metric="cosine").fit(features).kneighbors(return_distance=True)[1][:, :3]
    names = [[shapes.classes[label] for label in shapes.labels[row]] for row in nearest]
    for label, found in list(zip(shapes.labels, names, strict=True))[::per_class]:
        print(f"{shapes.classes[label]:12} is nearest to {', '.join(found)}")
    right = np.mean(shapes.labels[nearest[:, 0]] == shapes.labels)
    print(f"the nearest neighbor has the same class for {100 * right:.0f} % of the shapes")
    return names


if __name__ == "__main__":
    auto_cli(main, as_positional=False)
