"""The command `crosspoint`: one module a subcommand, imported when it is asked for.

This package is the composition root: the one place where the folders of the toolkit meet.
"""

from __future__ import annotations

import difflib
import importlib
import io
import re
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version

from crosspoint.cli.log import start_log  # all that takes time to import is imported where Ctrl-C is awaited

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells have it

COMMANDS = {
    "render": "meshes → a set of views and clouds",
    "embed-views": "views → embeddings of a frozen image network, for pre-training without images",
    "pretrain": "train an encoder without labels, on objects or scenes",
    "evaluate": "measure an encoder",
    "embed": "features of your own data, in one file",
    "predict": "predictions of a fine-tuned network for your own data: classes, parts, labels of points",
    "export": "a trained encoder as ONNX, as a program of torch.export, or as safetensors",
    "show": "draw a LiDAR–camera frame",
    "label": "weak labels of camera images, by vision foundation models",
    "superpixels": "regions of camera images, found before a pre-training that needs them",
    "data": "what a dataset needs, what is there, and what is wrong",
    "models": "published weights, which commands take by their name",
    "synthesize": "write the embedded driving world to disk",
    "quickstart": "the whole toolkit on procedural shapes",
    "replay": "run the step again at which a training diverged",
    "doctor": "what is installed, what works here, what is missing",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point: bad input is one line on standard error and exit code 2; `--debug` shows where it was found.

    Args:
        arguments: what was typed after `crosspoint`; None takes them from the process.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if "" not in sys.path:
        sys.path.append("")  # a user's own modules, after all that is installed
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a pipe on Windows knows few characters: others become ?
            stream.reconfigure(errors="replace")
    start_log()
    try:
        return _run(words)
    except (ValueError, OSError, ImportError) as error:
        if debug:
            raise
        sys.stderr.write(f"crosspoint: error: {told(error)}\n")
        return EXIT_BAD_INPUT
    except (RecursionError, MemoryError) as error:  # what no check of the input has seen
        if debug:
            raise
        what = "nested too deeply" if isinstance(error, RecursionError) else "larger than the memory that there is"
        sys.stderr.write(
            f"crosspoint: error: found something {what}, expected it smaller: --debug shows where it was found\n"
        )
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        sys.stderr.write("crosspoint: interrupted; what was finished is kept\n")
        return EXIT_INTERRUPTED
    except Exception as error:
        from crosspoint.cli.library_errors import advice

        text = advice(error)
        if debug or text is None:
            raise
        sys.stderr.write(f"crosspoint: error: {text}\n")
        return EXIT_BAD_INPUT


def told(error: BaseException) -> str:
    """What an error says, on one line; one of a loader process says it at the end of a traceback of its own."""
    from crosspoint.cli.library_errors import advice  # brings torch along

    known = advice(error)
    if known is not None:
        return known
    text = str(error)
    if text.startswith("Caught ") and "Traceback (most recent call last)" in text:
        last = [*re.finditer(r"^[A-Za-z_][\w.]*(?:Error|Exception): ", text, re.MULTILINE)]
        text = text[last[-1].end() :] if last else text
    return " ".join(text.split())


def _run(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h"):
        sys.stdout.write(_overview())
        return 0 if words else EXIT_BAD_INPUT
    if words[0] == "--version":
        sys.stdout.write(f"crosspoint {version('crosspoint3d')}\n")
        return 0
    from crosspoint.cli.legacy import rename_flags

    with warnings.catch_warnings():
        warnings.simplefilter("default", FutureWarning)
        name, *rest = rename_flags(words)
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f": did you mean {near[0]}?" if near else ""
        raise ValueError(f"found the command {name!r}, expected one of {', '.join(COMMANDS)}{hint}")
    module = importlib.import_module(f"crosspoint.cli.{name.replace('-', '_')}")
    return int(module.run(rest))


def _overview() -> str:
    width = max(map(len, COMMANDS)) + 2
    rows = [f"  {name:<{width}}{text}" for name, text in COMMANDS.items()]
    head = ["usage: crosspoint COMMAND …", "", "Cross-modal self-supervised 3D learning.", ""]
    return "\n".join([*head, *rows, "", "COMMAND --help tells more; --version prints the version.", ""])


if __name__ == "__main__":
    sys.exit(main())
