# %% [markdown]
# # Scenes: from a driving world to a figure
#
# An embedded world gives LiDAR sweeps, camera images and every label. PPKT teaches a sparse 3D network from the images
# without labels: each point should find its own pixel. A linear probe says how much was learned. Nothing is downloaded.
#
# As a script: `python examples/scenes.py --out runs/scenes`

# %%
from argparse import ArgumentParser
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from crosspoint import Compute, TrainingConfig, load_pretrained, pretrain
from crosspoint.eval import semantic_segmentation
from crosspoint.eval.supervised.segmenter import SegmentationConfig
from crosspoint.scene import PPKT, MinkUNet, PixelEncoder, SceneAugmentation, pair_points
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.synthetic import Lidar, write_scenes
from crosspoint.scene.viz.picture import draw_frame

parser = ArgumentParser()
parser.add_argument("--out", type=Path, default=Path("runs/scenes"))
parser.add_argument("--streets", type=int, default=6, help="to learn from; a third as many to measure on")
parser.add_argument("--frames", type=int, default=4, help="of each street")
parser.add_argument("--beams", type=int, default=32, help="of the LiDAR")
parser.add_argument("--height", type=int, default=96, help="of the images; they are three times as wide")
parser.add_argument("--epochs", type=int, default=5)
settings = parser.parse_args([] if "get_ipython" in globals() else None)  # a notebook has no command line

# %% [markdown]
# ## Make the world
# Streets from a seed, written as a plain folder of frames. The files of your own rig may lie in such a folder, too.

# %%
root, size = settings.out / "streets", (settings.height, 3 * settings.height)
write_scenes(root, settings.streets, max(1, settings.streets // 3), settings.frames, size=size,
             lidar=Lidar(beams=settings.beams, columns=32 * settings.beams), jobs=1)  # fmt: skip
train, test = FolderScenes(root, "train"), FolderScenes(root, "val")
print(f"{len(train)} frames to learn from, {len(test)} to measure on, {len(train[0].points):,} points in the first")
draw_frame(pair_points(train[0]), train.classes).savefig(settings.out / "frame.png")  # pairs: who sees whom
axes = plt.figure(figsize=(12, 9)).add_axes((0, 0, 1, 1))
axes.imshow(plt.imread(settings.out / "frame.png"))
axes.axis("off")

# %% [markdown]
# ## Pre-train
# The teacher is a ResNet-18. Its weights are random here, so that nothing is downloaded; with weights of ImageNet or of
# a self-supervised network (`weights="pretrained"`, or a file) the 3D network learns far more.

# %%
torch.manual_seed(0)
teacher = PixelEncoder(network="resnet18", weights="none")
crops = SceneAugmentation(size=(settings.height // 2, settings.height))
method = PPKT(MinkUNet.small(), teacher, pairs=1024, augmentation=crops)
training = TrainingConfig(epochs=settings.epochs, batch_size=2, learning_rate=0.1)
compute = Compute(accelerator="cpu", workers=0)
checkpoint = pretrain(method, train, out=settings.out / "run", training=training, compute=compute, resume=True)

# %% [markdown]
# ## Probe
# One linear layer on the frozen features, trained with labels. Random weights are the figure to beat.

# %%
pretrained = load_pretrained(checkpoint)
recipe = SegmentationConfig(epochs=settings.epochs, batch_size=2, standardize=True, augment=False)
miou = {}
for name, network in (("random", pretrained.encoder.fresh()), ("pre-trained", pretrained.encoder)):
    result = semantic_segmentation(network, train, test, voxels=method.voxels, mode="linear", recipe=recipe)
    miou[name] = result.metrics["miou"]
    print(f"{name:12} {miou[name]:.1f} % mean IoU by a linear probe, {len(test.classes)} classes")
