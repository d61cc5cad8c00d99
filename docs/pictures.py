"""Make the pictures of the documents: `python docs/pictures.py shapes`, `sheet SET`, `curve RUN…`, or `features …`.

Those of scenes are what `crosspoint show` draws, smaller: `features CHECKPOINT ROOT FRAME [X,Y,Z]`.
"""

from __future__ import annotations

import csv
import sys
from io import BytesIO
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from crosspoint import load_pretrained
from crosspoint.datasets.procedural.shapes import FAMILIES, make_shape
from crosspoint.renderers import RenderedSet, Style, normalize, orbit, render
from crosspoint.scene.data.correspondences import pair_points
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.models.frame_features import frame_features
from crosspoint.scene.viz.chosen_point import nearest_point
from crosspoint.scene.viz.picture import draw_frame
from crosspoint.scene.viz.point_features import PointFeatures

IMAGES = Path(__file__).parent / "images"


def shapes(out: Path, size: int = 112, columns: int = 11) -> None:
    """One view of every family of procedural shapes."""
    views = []
    for number, family in enumerate(FAMILIES):
        mesh = normalize(make_shape(family, seed=number).mesh)
        cameras = orbit(1, size=size, seed=3 + number)
        views.append(render(mesh, cameras, style=Style(supersample=3)).images[0].permute(1, 2, 0).numpy())
    Image.fromarray(tile(views, columns)).save(out, optimize=True)


def sheet(root: str, out: Path, objects: int = 10, views: int = 8, size: int = 112) -> None:
    """Some objects of a rendered set, one a row pair: its first views."""
    rendered = RenderedSet(root)
    chosen = np.random.default_rng(2).choice(len(rendered), objects, replace=False)
    rows = []
    for index in chosen:
        for image in rendered.images(int(index), range(views)):
            picture = Image.fromarray(image.permute(1, 2, 0).numpy())
            rows.append(np.asarray(picture.resize((size, size), Image.Resampling.LANCZOS)))
    Image.fromarray(tile(rows, views)).convert("L").save(out, optimize=True)


def curve(runs: list[str], out: Path) -> None:
    """Loss and its parts against the epoch, the mean over runs with their range."""
    figure, axis = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for part, color in (("loss", "tab:blue"), ("cross", "tab:orange"), ("intra", "tab:green")):
        values = np.array([read_metric(Path(run), f"train/{part}") for run in runs])
        epochs = np.arange(1, values.shape[1] + 1)
        axis.plot(epochs, values.mean(axis=0), color=color, label=part)
        axis.fill_between(epochs, values.min(axis=0), values.max(axis=0), color=color, alpha=0.25, linewidth=0)
    axis.set(xlabel="epoch", ylabel="NT-Xent", ylim=(0, None))
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(out, dpi=130)


def features(checkpoint: str, root: str, frame: int, position: str | None, out: Path, width: int = 1280) -> None:
    """A validation frame by a trained encoder's features, with its first camera alone.

    The point that all are compared with is the nearest to `position`, "X,Y,Z" in meters; without it that in the middle
    of the image.
    """
    scenes = FolderScenes(root, "val")
    shown = pair_points(scenes[frame].keep_views(torch.tensor([0])))
    at = None if position is None else np.array([float(number) for number in position.split(",")])
    chosen = None if at is None else nearest_point(shown.points.numpy(), at)
    described = PointFeatures.of(shown, frame_features(load_pretrained(checkpoint), shown), chosen)
    drawn = BytesIO()
    draw_frame(shown, scenes.classes, None, scenes.box_classes, described).savefig(drawn, dpi=120)
    picture = Image.open(drawn).convert("RGB")
    picture = picture.resize((width, round(width * picture.height / picture.width)), Image.Resampling.LANCZOS)
    kept = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)  # rare colors, too
    kept.save(out, optimize=True)


def read_metric(run: Path, name: str) -> list[float]:
    """One value an epoch, over all the versions that a resumed run has left."""
    rows = []
    for path in sorted(run.glob("csv/version_*/metrics.csv"), key=lambda path: int(path.parent.name.split("_")[1])):
        with path.open() as file:
            rows += [(int(row["epoch"]), float(row[name])) for row in csv.DictReader(file) if row.get(name)]
    return list(dict(rows).values())


def tile(pictures: list[np.ndarray], columns: int) -> np.ndarray:
    """Pictures (H, W, 3) side by side, `columns` a row; the last row is filled up with white."""
    pictures = pictures + [np.full_like(pictures[0], 255)] * (-len(pictures) % columns)
    rows = [np.concatenate(pictures[i : i + columns], axis=1) for i in range(0, len(pictures), columns)]
    return np.concatenate(rows)


if __name__ == "__main__":
    what, *arguments = sys.argv[1:]
    IMAGES.mkdir(exist_ok=True)
    if what == "shapes":
        shapes(IMAGES / "shapes.png")
    elif what == "sheet":
        sheet(arguments[0], IMAGES / "objects40_views.png")
    elif what == "features":
        checkpoint, root, number, *position = arguments
        features(checkpoint, root, int(number), next(iter(position), None), IMAGES / "features.png")
    else:
        curve(arguments, IMAGES / "objects40_loss.png")
