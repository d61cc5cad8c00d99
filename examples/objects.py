# %% [markdown]
# # Objects: from meshes to a figure
#
# Meshes are rendered into views. CrossPoint learns from clouds and views without labels. A linear SVM on the frozen
# features says how much was learned. The meshes are made here, so there is nothing to download.
#
# As a script: `python examples/objects.py --out runs/objects`

# %%
from argparse import ArgumentParser
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from crosspoint import DGCNN, Compute, CrossPoint, ImageEncoder, TrainingConfig, load_pretrained, pretrain
from crosspoint.datasets.procedural.shapes import shapes_clouds, write_shapes
from crosspoint.datasets.rendered import RenderedPairs
from crosspoint.eval import extract_features, linear_svm
from crosspoint.renderers import render_folder
from crosspoint.transforms import CloudAugmentation, ImageAugmentation

parser = ArgumentParser()
parser.add_argument("--out", type=Path, default=Path("runs/objects"))
parser.add_argument("--shapes", type=int, default=16, help="of each of 22 classes, to learn from")
parser.add_argument("--views", type=int, default=6, help="images of each shape")
parser.add_argument("--size", type=int, default=48, help="side of the images in pixels")
parser.add_argument("--points", type=int, default=256, help="of each cloud")
parser.add_argument("--epochs", type=int, default=10)
settings = parser.parse_args([] if "get_ipython" in globals() else None)  # a notebook has no command line

# %% [markdown]
# ## Render
# A tree of meshes, `<class>/train/<file>.ply`, becomes a set of shards: a cloud, views and cameras of each mesh.

# %%
write_shapes(settings.out / "shapes", train=settings.shapes, test=1)
render_folder(settings.out / "shapes", settings.out / "views", views=settings.views, size=settings.size, points=1024,
              up_axis="y", jobs=1)  # fmt: skip
pairs = RenderedPairs(settings.out / "views", "train", views=1, cache=True)
figure, axes = plt.subplots(1, 6, figsize=(9, 1.8))
for axis, index in zip(axes, range(0, len(pairs), max(1, len(pairs) // 6)), strict=False):
    axis.imshow(pairs[index, 0].images[0].permute(1, 2, 0).numpy())
    axis.set_title(pairs.classes[pairs.labels[index]])
    axis.axis("off")
figure.savefig(settings.out / "views.png")

# %% [markdown]
# ## Pre-train
# Two augmentations of a cloud should agree, and their mean should agree with the image. No label is used.

# %%
torch.manual_seed(0)
encoder, images = DGCNN(channels=[32, 32, 64, 128], embedding=256), ImageEncoder("resnet18")
clouds = CloudAugmentation(
    points=settings.points, scale=(0.8, 1.25), stretch=(0.75, 1.33), translation=0.1, dropout=0.25
)
method = CrossPoint(encoder, images, temperature=0.2, clouds=clouds, images=ImageAugmentation(size=settings.size))
checkpoint = pretrain(method, pairs, out=settings.out / "run", compute=Compute(accelerator="cpu", workers=0),
                      training=TrainingConfig(epochs=settings.epochs, batch_size=32), resume=True)  # fmt: skip

# %% [markdown]
# ## Evaluate
# Other shapes, each turned by an angle of its own. The same network with random weights is the figure to beat.

# %%
train, test = (shapes_clouds(split, settings.shapes, settings.points) for split in ("train", "test"))
pretrained = load_pretrained(checkpoint)
accuracy = {}
for name, network in (("random", pretrained.encoder.fresh()), ("pre-trained", pretrained.encoder)):
    x, y = extract_features(network, train.points), extract_features(network, test.points)
    accuracy[name] = linear_svm(x, train.labels, y, test.labels).metrics["accuracy"]
    print(f"{name:12} {accuracy[name]:.1f} % by a linear SVM, {len(test.classes)} classes")
