"""The commands that write, on inputs so small that they take seconds; each can be given again after an interrupt."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import yaml
from PIL import Image

from benchmarks.faults import inputs_objects, inputs_scenes
from benchmarks.faults.compare import contents
from benchmarks.faults.families_sets import run_config, write_run, write_study
from benchmarks.faults.forked import Ended, Forked, Main, calling, command
from crosspoint.scene.labels.labeler import Labeler, Painter
from crosspoint.scene.labels.manifest import Kind


@dataclass(frozen=True)
class Task:
    """A command that writes.

    Args:
        name: of the row of a table.
        make: writes its input into a folder that is there.
        words: what is typed after `crosspoint`, the first time and again; output goes to `out`.
    """

    name: str
    make: Callable[[Path], None]
    words: str


@dataclass(frozen=True)
class Halves(Labeler):
    """Labels without a network: the left half of an image, and the right; a few milliseconds an image."""

    kind: ClassVar[Kind] = "regions"
    names: ClassVar[list[str]] = []

    def recipe(self) -> dict[str, Any]:
        """All that decides the maps."""
        return {"labels": "halves"}

    def load(self, device: str) -> Painter:
        """What labels images."""

        def paint(images: Any) -> list[np.ndarray]:
            time.sleep(0.02)
            return [1 + (np.indices(each.shape[:2])[1] >= each.shape[1] / 2) for each in images]

        return paint


def _meshes(folder: Path) -> None:
    inputs_objects.write_meshes(folder / "meshes", train=36, test=4)


def _images(folder: Path) -> None:
    for number in range(40):
        path = folder / "frames" / f"drive{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (24, 16), (number, 0, 0)).save(path)


def _scenes(folder: Path) -> None:
    inputs_scenes.write_streets(folder / "s")
    config = run_config(4) | {
        "data": {"dataset": {"class_path": "folder", "init_args": {"root": "in/s"}}},
        "encoder": {"class_path": "minkunet", "init_args": inputs_scenes.TINY},
        "image_encoder": {
            "class_path": "image_teacher",
            "init_args": {"network": "test_efficientnet", "layers": [1, 2]},
        },
        "method": {
            "class_path": "regression",
            "init_args": {
                "standardize": True,
                "voxels": {"kind": "cartesian", "size": 0.5},
                "augmentation": {"size": [32, 64], "pairs": 64},
            },
        },
        "training": {"epochs": 4, "batch_size": 2},
    }
    del config["probe"]
    (folder / "run.yaml").write_text(yaml.safe_dump(config))


RENDER = "render in/meshes out --views 2 --size 48 --points 64 --jobs "
FINETUNE = (
    "evaluate finetune --checkpoint in/e.ckpt --dataset modelnet40_hdf5 --root in/clouds --validation 0.25 --device cpu"
    " --recipe.epochs 12 --recipe.batch_size 4 --resources.accelerator cpu --save_dir out"
)
STUDY = (
    "evaluate all --checkpoint A=in/e.ckpt --checkpoint B=in/e.safetensors --dataset modelnet40_hdf5 --root in/clouds"
    " --protocols knn,linear --device cpu --jobs 1 --out out"
)
SYNTHESIZE = "synthesize out --train 2 --val 1 --frames 2 --jobs "

TASKS = {
    task.name: task
    for task in (
        Task("render, 1 job", _meshes, RENDER + "1"),
        Task("render, 2 jobs", _meshes, RENDER + "2"),
        Task("pretrain, objects", lambda folder: write_run(folder, 4), "pretrain in/run.yaml --resume true"),
        Task(
            "pretrain, objects, 1 loader",
            lambda folder: write_run(folder, 3),
            "pretrain in/run.yaml --resume true --compute.workers 1",
        ),
        Task("pretrain, scenes", _scenes, "pretrain in/run.yaml --resume true"),
        Task("evaluate finetune", write_study, FINETUNE),
        Task("evaluate all", write_study, STUDY),
        Task("synthesize, 1 job", lambda folder: None, SYNTHESIZE + "1"),
        Task("synthesize, 2 jobs", lambda folder: None, SYNTHESIZE + "2"),
        Task("label", _images, "label in/frames out --kind benchmarks.faults.tasks.Halves --device cpu"),
    )
}


class Bench:
    """A folder in which one task runs, again and again at the same place.

    Args:
        root: new folder.
        task: what runs.
        main: the command.

    Raises:
        RuntimeError: if it does not run without a fault.
    """

    def __init__(self, root: Path, task: Task, main: Main = command) -> None:
        self.root, self.task, self.main = root.resolve(), task, main
        self.case, self.out = self.root / "case", self.root / "case" / "out"
        (self.case / "in").mkdir(parents=True)
        made = Forked([], self.case, calling(task.make, self.case / "in"), log="make").wait()
        whole = self.run()
        if made.code or whole.code:
            raise RuntimeError(f"found that {task.name} ends with {whole.code}, expected 0: {made.error}{whole.error}")
        self.seconds, self.right = whole.seconds, contents(self.out)

    def start(self, **options: Any) -> Forked:
        """The command, started."""
        return Forked(self.task.words.split(), self.case, self.main, **options)

    def run(self, **options: Any) -> Ended:
        """The command, to its end."""
        return self.start(**options).wait()

    def fresh(self) -> None:
        """Its output away."""
        shutil.rmtree(self.out, ignore_errors=True)
