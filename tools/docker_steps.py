"""Runs the steps of the Dockerfile without Docker: `python -m tools.docker_steps cpu`.

Each stage gets a folder in place of its file system, and a fresh environment in place of its Python. Dependencies are
those of the environment that runs this script, so little is downloaded (setuptools): pip still resolves every
requirement of the wheel against constraints.txt. Steps that change the system (`useradd`, `apt-get`) are not run, and
are named.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import NamedTuple

from tools.try_wheel import ROOT, check_content

SYSTEM = ("useradd", "apt-get")  # first words of steps that need the image's own system
KNOWN = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT", "CMD"}


class Stage(NamedTuple):
    """One `FROM … AS name`, with its steps."""

    name: str
    base: str  # an image, or an earlier stage
    steps: list[tuple[str, str]]  # instruction and what follows it


def read_stages(dockerfile: Path) -> dict[str, Stage]:
    """The stages of a Dockerfile, by name.

    Raises:
        ValueError: if a line is an instruction that this script does not know.
    """
    stages: dict[str, Stage] = {}
    text = re.sub(r"\\\n", " ", dockerfile.read_text(encoding="utf-8"))
    for line in filter(None, (each.strip() for each in text.splitlines() if not each.startswith("#"))):
        word, rest = line.split(maxsplit=1)
        if word not in KNOWN or (word != "FROM" and not stages):
            raise ValueError(f"found {line!r} in {dockerfile}, expected one of {', '.join(sorted(KNOWN))} in a stage")
        if word == "FROM":
            base, name = rest.split(" AS ")
            stages[name] = Stage(name, base, [])
        else:
            [*stages.values()][-1].steps.append((word, rest))
    return stages


def in_context(path: str, rules: Sequence[str]) -> bool:
    """Whether .dockerignore lets a file through, as far as our rules go: the last rule that matches decides."""
    kept = True
    for rule in rules:
        pattern = rule.removeprefix("!").removeprefix("**/")
        parts = Path(path).parts if rule.startswith("**/") else Path(path).parts[:1]
        if any(fnmatch(part, pattern) for part in parts):
            kept = rule.startswith("!")
    return kept


def copy_context(context: Path, out: Path) -> None:
    """What `docker build` would send of a folder."""
    lines = (context / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    for folder, folders, files in os.walk(context):
        place = Path(folder).relative_to(context)
        folders[:] = [name for name in folders if in_context((place / name).as_posix(), rules)]
        for name in filter(lambda name: in_context((place / name).as_posix(), rules), files):
            (out / place).mkdir(parents=True, exist_ok=True)
            shutil.copy2(Path(folder, name), out / place / name)


def fresh_python(folder: Path) -> Path:
    """An environment that sees all packages of this one but ours; returns its folder of programs."""
    behind = folder / "behind"
    behind.mkdir(parents=True)
    for place in (path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")):
        for path in Path(place).iterdir():
            ours = path.name.startswith(("crosspoint3d", "__editable__", "crosspoint", "__pycache__"))
            if not ours and path.suffix != ".pth" and not (behind / path.name).exists():
                (behind / path.name).symlink_to(path)
    venv.create(folder / "python", with_pip=False, symlinks=True)
    paths = {"base": str(folder / "python"), "platbase": str(folder / "python")}
    Path(sysconfig.get_path("purelib", "venv", vars=paths), "behind.pth").write_text(f"{behind}\n", encoding="utf-8")
    return Path(sysconfig.get_path("scripts", "venv", vars=paths))


def run_stage(stages: dict[str, Stage], name: str, context: Path, root: Path) -> list[str]:
    """Run a stage after those that it needs, in a folder each below `root`; returns the steps that were left out.

    Raises:
        subprocess.CalledProcessError: if a step fails.
    """
    chain = [stages[name]]
    while chain[0].base in stages:
        chain.insert(0, stages[chain[0].base])
    system, left_out = root / name, list[str]()
    place = system
    environment = {**os.environ, "PATH": f"{fresh_python(root / f'{name}-python')}{os.pathsep}{os.environ['PATH']}"}
    for word, rest in (step for stage in chain for step in stage.steps):
        if word == "WORKDIR":
            place = system / rest.lstrip("/")
            place.mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            *flags, target = shlex.split(rest)
            source = context
            if flags[0].startswith("--from="):
                source = root / flags.pop(0).removeprefix("--from=")
                if not source.is_dir():
                    left_out += run_stage(stages, source.name, context, root)
            for each in flags:
                found = source / each.lstrip("/")
                to = place / target / ("" if found.is_dir() else found.name)
                shutil.copytree(found, to, dirs_exist_ok=True) if found.is_dir() else shutil.copy2(found, to)
        elif word == "ENV":
            environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word == "RUN" and rest.split()[0] in SYSTEM:
            left_out.append(rest)
        elif word in ("RUN", "CMD"):
            entry = next((shlex.join(json.loads(said)) for kind, said in chain[-1].steps if kind == "ENTRYPOINT"), "")
            line = rest if word == "RUN" else f"{entry} {shlex.join(json.loads(rest))}"
            print(f"$ {line}", flush=True)
            here = {"PIP_NO_INDEX": "1"} if "pip install" in line else {}  # what is absent is an error, no download
            subprocess.run(["sh", "-ec", line], cwd=place, env=environment | here, check=True)
    return left_out


def main() -> None:
    """Run a target, and compare the wheel that it built with the checkout."""
    (target,) = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        copy_context(ROOT, root / "context")
        left_out = run_stage(read_stages(ROOT / "Dockerfile"), target, root / "context", root)
        (wheel,) = root.glob("wheel/src/wheels/*.whl")
        check_content(wheel)
    print("not run, as they change the system:", *left_out, sep="\n  ")
    print(f"Dockerfile, target {target}: every other step done without Docker")


if __name__ == "__main__":
    main()
