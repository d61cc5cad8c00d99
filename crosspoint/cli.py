"""The front door: `crosspoint render | pretrain | evaluate | quickstart | doctor`.

This is the composition root: the one place where the rooms meet, each imported inside the command that needs it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from inspect import getdoc
from pathlib import Path
from typing import Any, Literal

from crosspoint.command_line import Parser, run
from crosspoint.configuration import PretrainConfig

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
    parser, dispatch = build_parser(arguments)
    sys.exit(run(parser, dispatch, arguments))


def build_parser(arguments: Sequence[str]) -> tuple[Parser, Callable[[Any], int]]:
    """The parser that some arguments need, and the function that calls the command that was parsed."""
    parser = Parser(prog="crosspoint", description="Cross-modal self-supervised 3D learning.")
    parser.add_argument("--version", action="version", version=f"crosspoint {version('crosspoint')}")
    subcommands = parser.add_subcommands(required=True)
    subcommands.add_subcommand("render", _function_parser(render))
    pretrain_parser = Parser(description=getdoc(pretrain))
    pretrain_parser.add_argument("--config", action="config", help="YAML file of the keys below")
    pretrain_parser.add_class_arguments(PretrainConfig)
    pretrain_parser.add_argument("--resume", type=bool, default=False, help="go on from last.ckpt where there is one")
    subcommands.add_subcommand("pretrain", pretrain_parser)
    evaluate_parser = Parser(description="Measure an encoder.")
    subcommands.add_subcommand("evaluate", evaluate_parser)
    if "evaluate" in arguments:  # the protocols' libraries take seconds to import
        _add_protocols(evaluate_parser)
    subcommands.add_subcommand("quickstart", _function_parser(quickstart))
    subcommands.add_subcommand("doctor", _function_parser(doctor))

    def dispatch(parsed: Any) -> int:
        values = parser.instantiate(parsed)
        name = values.subcommand
        chosen = values[name]
        if name == "pretrain":
            settings = _without_config(chosen)
            resume = settings.pop("resume")
            return pretrain(PretrainConfig(**settings), resume)
        if name == "evaluate":
            from eval.commands import call

            _quieten_lightning()
            return call(chosen.protocol, _without_config(chosen[chosen.protocol]))
        commands: dict[str, Callable[..., int]] = {"render": render, "quickstart": quickstart, "doctor": doctor}
        return commands[name](**_without_config(chosen))

    return parser, dispatch


def _function_parser(function: Callable[..., int]) -> Parser:
    """Parameters become arguments and YAML keys, the docstring the help."""
    parser = _described(function)
    parser.add_function_arguments(function, as_positional=True)
    return parser


def _add_protocols(parser: Parser) -> None:
    """One subcommand a protocol, the arguments that all share before its own."""
    from eval.commands import PROTOCOLS, subject

    protocols = parser.add_subcommands(required=True, dest="protocol")
    for name, function in PROTOCOLS.items():
        one = _described(function)
        parameter, measured = subject(name)
        one.add_class_arguments(measured)
        one.add_function_arguments(function, skip={parameter})
        protocols.add_subcommand(name, one)


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
