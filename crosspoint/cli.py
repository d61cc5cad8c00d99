"""The front door: `crosspoint render | pretrain | evaluate | quickstart | doctor`.

This is the composition root: the one place where the rooms meet, each imported inside the command that needs it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from inspect import getdoc
from pathlib import Path
from typing import Any, Literal

from crosspoint.command_line import Parser, run
from crosspoint.configuration import PretrainConfig
from crosspoint.datasets.labelled import DatasetName

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
    from renderers import render_folder

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


def pretrain(config: PretrainConfig, resume: bool) -> int:
    """Pre-train an encoder: crosspoint pretrain CONFIG.yaml [--key value …]."""
    from crosspoint.pretraining import pretrain as run
    from eval import probe_hold_out

    _quieten_lightning()
    best = run(config, probe=probe_hold_out, resume=resume, progress=sys.stderr.isatty())
    log.info("use %s", best)
    return 0


def evaluate_linear(
    checkpoint: Path,
    dataset: DatasetName,
    root: Path,
    points: int = 1024,
    normalise: bool = True,
    protocol: Literal["validated", "paper"] = "validated",
    C: float = 0.1,
    random_init: bool = False,
    k: int | None = None,
    seed: int = 0,
    device: str = "auto",
    cache: Path | None = None,
    jobs: int = -1,
    out: Path | None = None,
) -> int:
    """Linear SVM on frozen features, trained on the train split and scored once on the test split.

    Args:
        checkpoint: of pretrain (.ckpt), an export (.safetensors), or the original CrossPoint's weights (.pth)
        dataset: which labelled clouds
        root: where they lie
        points: points per cloud
        normalise: scale clouds into the unit sphere, as in pre-training; false takes them as stored
        protocol: validated: C and scaling by cross-validation; paper: raw features at the given C
        C: of the paper protocol
        random_init: measure the checkpoint's network with random weights instead
        k: neighbours per point, if not the checkpoint's
        seed: of folds, of sampled points, and of random weights
        device: auto, cpu, cuda, cuda:1, …
        cache: folder that keeps extracted features
        jobs: threads, -1 for one per core
        out: JSON file for the result
    """
    from crosspoint.datasets.labelled import labelled_clouds
    from eval import linear_svm

    _refuse_existing(out)
    encoder = _encoder(checkpoint, random_init, k, seed)
    train, test = (
        labelled_clouds(dataset, root, split, points=points, normalise=normalise, seed=seed)
        for split in ("train", "test")
    )
    train_x, test_x = (_features(encoder, clouds.points, device, cache) for clouds in (train, test))
    result = linear_svm(train_x, train.labels, test_x, test.labels, protocol=protocol, C=C, seed=seed, jobs=jobs)
    return _report(
        result,
        out,
        checkpoint=checkpoint,
        random_init=random_init,
        encoder=encoder.config,
        dataset=train.name,
        points=points,
        normalise=normalise,
    )


def evaluate_fewshot(
    checkpoint: Path,
    dataset: DatasetName,
    root: Path,
    split: str = "train",
    points: int = 1024,
    normalise: bool = True,
    ways: int = 5,
    shots: int = 10,
    queries: int = 20,
    runs: int = 10,
    random_init: bool = False,
    k: int | None = None,
    seed: int = 0,
    device: str = "auto",
    cache: Path | None = None,
    jobs: int = -1,
    out: Path | None = None,
) -> int:
    """Few-shot accuracy of a linear SVM on frozen features (CrossPoint's protocol).

    Args:
        checkpoint: of pretrain (.ckpt), an export (.safetensors), or the original CrossPoint's weights (.pth)
        dataset: which labelled clouds
        root: where they lie
        split: the pool that tasks are drawn from; CrossPoint draws from train
        points: points per cloud
        normalise: scale clouds into the unit sphere, as in pre-training; false takes them as stored
        ways: classes in a task
        shots: labelled samples of each class
        queries: samples of each class to answer
        runs: number of tasks
        random_init: measure the checkpoint's network with random weights instead
        k: neighbours per point, if not the checkpoint's
        seed: of the tasks, of sampled points, and of random weights
        device: auto, cpu, cuda, cuda:1, …
        cache: folder that keeps extracted features
        jobs: threads, -1 for one per core
        out: JSON file for the result
    """
    from crosspoint.datasets.labelled import labelled_clouds
    from eval import few_shot

    _refuse_existing(out)
    encoder = _encoder(checkpoint, random_init, k, seed)
    pool = labelled_clouds(dataset, root, split, points=points, normalise=normalise, seed=seed)
    features = _features(encoder, pool.points, device, cache)
    result = few_shot(features, pool.labels, ways=ways, shots=shots, queries=queries, runs=runs, seed=seed, jobs=jobs)
    return _report(
        result,
        out,
        checkpoint=checkpoint,
        random_init=random_init,
        encoder=encoder.config,
        dataset=f"{pool.name} ({split})",
        points=points,
        normalise=normalise,
    )


def quickstart(out: Path = Path("runs/quickstart"), seeds: int = 3, epochs: int = 12, jobs: int = -1) -> int:
    """Run the whole toolkit on procedural shapes: render, pre-train, probe; prints random against pre-trained.

    Args:
        out: folder for everything it makes; an interrupted run goes on where it stopped
        seeds: independent runs, for mean and deviation
        epochs: of pre-training in each run
        jobs: processes for rendering, -1 for one per core
    """
    from eval.quickstart import quickstart as run

    _quieten_lightning()
    run(out, seeds=seeds, epochs=epochs, jobs=jobs)
    return 0


def doctor() -> int:
    """Say what is installed, which backends work, what is missing and how to get it."""
    from crosspoint.doctor import examine

    return examine()


def main() -> None:
    """Entry point of the `crosspoint` command."""
    arguments = sys.argv[1:]
    if len(arguments) > 1 and arguments[0] == "pretrain" and not arguments[1].startswith("-"):
        arguments.insert(1, "--config")  # pretrain CONFIG.yaml
    parser, dispatch = build_parser()
    sys.exit(run(parser, dispatch, arguments))


def build_parser() -> tuple[Parser, Callable[[Any], int]]:
    """The parser of all commands, and the function that calls the one that was parsed."""
    parser = Parser(prog="crosspoint", description="Cross-modal self-supervised 3D learning.")
    parser.add_argument("--version", action="version", version=f"crosspoint {version('crosspoint')}")
    subcommands = parser.add_subcommands(required=True)
    subcommands.add_subcommand("render", _function_parser(render))
    pretrain_parser = Parser(description=getdoc(pretrain))
    pretrain_parser.add_argument("--config", action="config", help="YAML file of the keys below")
    pretrain_parser.add_class_arguments(PretrainConfig)
    pretrain_parser.add_argument("--resume", type=bool, default=False, help="go on from last.ckpt where there is one")
    subcommands.add_subcommand("pretrain", pretrain_parser)
    evaluate_parser = Parser(description="Measure a frozen encoder.")
    subcommands.add_subcommand("evaluate", evaluate_parser)
    protocols = evaluate_parser.add_subcommands(required=True, dest="protocol")
    evaluations: dict[str, Callable[..., int]] = {"linear": evaluate_linear, "fewshot": evaluate_fewshot}
    for name, function in evaluations.items():
        protocols.add_subcommand(name, _function_parser(function, positional=False))
    subcommands.add_subcommand("quickstart", _function_parser(quickstart))
    subcommands.add_subcommand("doctor", _function_parser(doctor))

    def dispatch(parsed: Any) -> int:
        values = parser.instantiate(parsed)
        name = values.subcommand
        chosen = values[name]
        if name == "pretrain":
            settings = {key: value for key, value in vars(chosen).items() if key not in ("config", "resume")}
            return pretrain(PretrainConfig(**settings), chosen.resume)
        if name == "evaluate":
            function, chosen = evaluations[chosen.protocol], chosen[chosen.protocol]
        else:
            commands: dict[str, Callable[..., int]] = {"render": render, "quickstart": quickstart, "doctor": doctor}
            function = commands[name]
        return function(**{key: value for key, value in vars(chosen).items() if key != "config"})

    return parser, dispatch


def _function_parser(function: Callable[..., int], *, positional: bool = True) -> Parser:
    """Parameters become arguments and YAML keys, the docstring the help."""
    parser = Parser(description=(getdoc(function) or "").split("\nArgs:")[0])
    parser.add_argument("--config", action="config", help="YAML file of the keys below")
    parser.add_function_arguments(function, as_positional=positional)
    return parser


def _quieten_lightning() -> None:
    """No advice, no list of accelerators: what a run does is said by our own log. After its import, which resets it."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)


def _encoder(checkpoint: Path, random_init: bool, k: int | None, seed: int) -> Any:
    import torch

    from crosspoint.checkpoints import load_encoder
    from crosspoint.encoders import build_encoder, encoder_config

    encoder = load_encoder(checkpoint, k=k)
    if not random_init:
        return encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_encoder(encoder_config(encoder)).eval()


def _features(encoder: Any, points: Any, device: str, cache: Path | None) -> Any:
    import torch

    from eval import extract_features

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return extract_features(encoder, points, device=device, cache=cache, progress=True)


def _refuse_existing(out: Path | None) -> None:
    """Before minutes of work, not after them."""
    if out is not None and out.exists():
        raise ValueError(f"found {out} already there, expected a new file: choose another --out")


def _report(result: Any, out: Path | None, **setting: Any) -> int:
    """Print the result with the setting that decided its features, and save it; paths become text, as JSON asks."""
    plain = {key: str(value) if isinstance(value, Path) else value for key, value in setting.items()}
    result = replace(result, constants={**result.constants, **plain})
    sys.stdout.write(f"{result}\n")
    if out is not None:
        result.save(out)
    return 0


if __name__ == "__main__":
    main()
