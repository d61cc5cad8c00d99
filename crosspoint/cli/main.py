"""The front door: `crosspoint render | pretrain | evaluate | show | synthesize | quickstart | doctor`.

This is the composition root: the one place where the rooms meet, each imported inside the command that needs it.
"""

from __future__ import annotations

import difflib
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from inspect import getdoc
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints

from crosspoint.cli.parser import Parser, dataset_named, run
from crosspoint.training.config import DataConfig, PretrainConfig

log = logging.getLogger("crosspoint")


def render(
    source: Path,
    out: Path,
    views: int = 12,
    size: int = 224,
    points: int = 2048,
    backend: Literal["raycast", "pytorch3d"] = "raycast",
    orbit: Literal["random", "ring", "sphere"] = "random",
    up_axis: Literal["x", "y", "z"] | None = None,
    background: Literal["white", "transparent"] = "white",
    supersample: int = 2,
    jobs: int = -1,
    seed: int = 0,
) -> int:
    """Render a folder of meshes into a set of views and clouds that `pretrain` reads.

    Interrupted runs go on where they stopped. Meshes that cannot be used are listed in OUT/failures.jsonl.

    Args:
        source: folder of meshes: a ModelNet or ShapeNetCore tree, <class>/<mesh>, or meshes alone
        out: folder of the rendered set
        views: views per mesh
        size: height and width of a view in pixels
        points: points sampled on each surface
        backend: renderer; pytorch3d also runs on a GPU
        orbit: where cameras stand: random as in 3D-R2N2, on a fixed ring, or all around
        up_axis: up axis of the meshes; default: z in a ModelNet tree, else y
        background: behind the object
        supersample: rays per pixel side
        jobs: processes, -1 for one per core
        seed: decides cameras and points, whatever the number of jobs
    """
    from crosspoint.renderers import render_folder

    summary = render_folder(
        source,
        out,
        views=views,
        size=size,
        points=points,
        backend=backend,
        orbit=orbit,
        up_axis=up_axis,
        background=background,
        supersample=supersample,
        jobs=jobs,
        seed=seed,
        progress=sys.stderr.isatty(),
    )
    log.info("%s", summary)
    return 0


def pretrain(config: Any, resume: bool) -> int:
    """Pre-train an encoder: crosspoint pretrain CONFIG.yaml [--key value …]."""
    progress = sys.stderr.isatty()
    if isinstance(config, PretrainConfig):
        from crosspoint.eval import probe_hold_out
        from crosspoint.training.pretrain import pretrain as run

        _quieten_lightning()
        best = run(config, probe=probe_hold_out, resume=resume, progress=progress)
    else:
        from crosspoint.scene.training.pretrain import pretrain_scenes

        _quieten_lightning()
        best = pretrain_scenes(config, resume=resume, progress=progress)
    log.info("use %s", best)
    return 0


def show(
    dataset: str,
    root: Path | None = None,
    frame: int = 0,
    split: str | None = None,
    regions: bool = False,
    predictions: Path | None = None,
    out: Path = Path("show"),
) -> int:
    """Draw a LiDAR–camera frame: a PNG (points over each image, bird's eye view), and a page that turns the cloud.

    Args:
        dataset: kitti_raw, kitti_object, semantickitti, nuscenes, rellis3d, folder, or synthetic
        root: folder of the dataset; of synthetic none
        frame: number of the frame
        split: of the dataset; null takes its first, or everything where it has none; with predictions, val
        regions: outline the images' superpixels
        predictions: folder of evaluate semseg --network, whose answers are drawn beside the truth; frame and split are
            those that were measured
        out: folder of the two files
    """
    from crosspoint.scene.datasets.build import open_scenes
    from crosspoint.scene.viz.predictions import frame_predictions
    from crosspoint.scene.viz.show import show as draw

    split = "val" if split is None and predictions is not None else split  # what evaluate measures on
    options: dict[str, Any] = {} if split is None else {"split": split}
    if dataset == "nuscenes":
        options["boxes"] = None  # where there are some; training leaves their large table unread
    scenes = open_scenes(dataset, root, **options)
    if not 0 <= frame < len(scenes):
        raise ValueError(f"found frame {frame}, expected 0 to {len(scenes) - 1}: {scenes.name} has {len(scenes)}")
    shown = scenes[frame]
    outlined, answers = None, None
    if predictions is not None:
        answers = frame_predictions(predictions, frame, frames=len(scenes), points=len(shown.points))
    if regions and len(shown.images):
        import torch

        from crosspoint.scene.data.superpixels import SuperpixelConfig, superpixels

        outlined = torch.stack([superpixels(image, SuperpixelConfig()) for image in shown.images])
    names: list[str] = getattr(scenes, "box_classes", [])
    for path in draw(shown, out, classes=scenes.classes, predictions=answers, regions=outlined, box_classes=names):
        log.info("%s", path)
    return 0


def synthesize(
    out: Path,
    train: int = 100,
    val: int = 20,
    frames: int = 10,
    views: int = 1,
    beams: Literal[32, 64] = 32,
    seed: int = 0,
    jobs: int = -1,
) -> int:
    """Write the embedded driving world to disk: streets with LiDAR, images and all labels; a dataset of kind folder.

    Interrupted runs go on where they stopped.

    Args:
        out: folder of the frames
        train: streets to learn from
        val: streets to judge by
        frames: of each street
        views: cameras: 1 looks ahead, 6 all around
        beams: of the LiDAR; 64 as KITTI's
        seed: decides everything, whatever the number of jobs
        jobs: processes, -1 for one per core
    """
    from crosspoint.scene.synthetic import HDL_64, Lidar, write_scenes

    lidar = HDL_64 if beams == 64 else Lidar()
    written = write_scenes(out, train, val, frames, views=views, lidar=lidar, seed=seed, jobs=jobs)
    log.info("%d frames written, %d in %s", written, (train + val) * frames, out)
    return 0


def quickstart(out: Path = Path("runs/quickstart"), seeds: int = 3, epochs: int = 12, jobs: int = -1) -> int:
    """Run the whole toolkit on procedural shapes: render, pre-train, probe; prints random against pre-trained.

    Args:
        out: folder for everything it makes; an interrupted run goes on where it stopped
        seeds: independent runs, for mean and deviation
        epochs: of pre-training in each run
        jobs: processes for rendering, -1 for one per core
    """
    from crosspoint.eval.quickstart import quickstart as run

    _quieten_lightning()
    run(out, seeds=seeds, epochs=epochs, jobs=jobs)
    return 0


def doctor() -> int:
    """Say what is installed, which backends work, what is missing and how to get it."""
    from crosspoint.cli.doctor import examine

    return examine()


COMMANDS: dict[str, Callable[..., int]] = {
    function.__name__: function for function in (render, show, synthesize, quickstart, doctor)
}


def main() -> None:
    """Entry point of the `crosspoint` command."""
    arguments = sys.argv[1:]
    if len(arguments) > 1 and arguments[0] == "pretrain" and not arguments[1].startswith("-"):
        arguments.insert(1, "--config")  # pretrain CONFIG.yaml
    parser, dispatch = build_parser(arguments)
    sys.exit(run(parser, dispatch, arguments))


def build_parser(arguments: Sequence[str]) -> tuple[Parser, Callable[[Any], int]]:
    """The parser that some arguments need, and the function that calls the command that was parsed."""
    parser = Parser(prog="crosspoint", description="Cross-modal self-supervised 3D learning.")
    parser.add_argument("--version", action="version", version=f"crosspoint {version('crosspoint3d')}")
    subcommands = parser.add_subcommands(required=True)
    pretrain_parser = Parser(description=getdoc(pretrain))
    pretrain_parser.add_argument("--config", action="config", help="YAML file of the keys below")
    pretrained = _pretrain_configuration(arguments)
    pretrain_parser.add_class_arguments(pretrained)
    pretrain_parser.add_argument("--resume", type=bool, default=False, help="go on from last.ckpt where there is one")
    subcommands.add_subcommand("pretrain", pretrain_parser)
    _add_evaluate(subcommands, arguments)
    for command, function in COMMANDS.items():
        subcommands.add_subcommand(command, _function_parser(function))

    def dispatch(parsed: Any) -> int:
        values = parser.instantiate(parsed)
        name = values.subcommand
        chosen = values[name]
        if name == "pretrain":
            settings = _without_config(chosen)
            resume = settings.pop("resume")
            return pretrain(pretrained(**settings), resume)
        if name == "evaluate":
            from crosspoint.eval.cli import run_evaluation

            _quieten_lightning()
            return run_evaluation(chosen)
        return COMMANDS[name](**_without_config(chosen))

    return parser, dispatch


def _pretrain_configuration(arguments: Sequence[str]) -> type:
    """What `pretrain` fills: scenes have other settings than objects, and data.dataset says which these are."""
    named = dataset_named(arguments) if "pretrain" in arguments else None
    objects = get_args(get_type_hints(DataConfig)["dataset"])
    if named is None or named in objects:
        return PretrainConfig
    from crosspoint.scene.training.config import SceneDataConfig, ScenePretrainConfig

    scenes = get_args(get_type_hints(SceneDataConfig)["dataset"])
    nearest = difflib.get_close_matches(named, [*objects, *scenes], n=1, cutoff=0.0)
    return PretrainConfig if nearest[0] in objects else ScenePretrainConfig  # which says what it knows


def _function_parser(function: Callable[..., int]) -> Parser:
    """Parameters become arguments and YAML keys, the docstring the help."""
    parser = _described(function)
    parser.add_function_arguments(function, as_positional=True)
    return parser


def _add_evaluate(subcommands: Any, arguments: Sequence[str]) -> None:
    """One subcommand a protocol; none where they are not asked for, as their libraries take seconds to import."""
    if "evaluate" not in arguments:
        subcommands.add_subcommand("evaluate", Parser(description="Measure an encoder."))
        return
    from crosspoint.eval.cli import EvaluateParser

    parser = EvaluateParser(description="Measure an encoder.")
    subcommands.add_subcommand("evaluate", parser)
    parser.add_protocols(arguments)


def _described(function: Callable[..., int]) -> Parser:
    parser = Parser(description=(getdoc(function) or "").split("\nArgs:")[0])
    parser.add_argument("--config", action="config", help="YAML file of the keys below")
    return parser


def _without_config(chosen: Any) -> dict[str, Any]:
    return {key: value for key, value in vars(chosen).items() if key != "config"}


def _quieten_lightning() -> None:
    """No advice, no list of accelerators: what a run does is said by our own log. After its import, which resets it."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


if __name__ == "__main__":
    main()
