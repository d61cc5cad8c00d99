"""Gathers the wheels that a node without a network lacks: `python -m tools.wheels --python 3.12 --present FREEZE.txt`.

It follows the requirements of this package and its tests, leaves out what FREEZE.txt (the node's `pip freeze`) names,
and fetches wheels for Linux and that Python, or builds them where they are pure Python. Versions are those of
constraints.txt where it has one. pip alone would fetch what is present, too: torch and its libraries are gigabytes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from email.parser import Parser
from pathlib import Path

from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PIP = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
ALWAYS = ("setuptools>=77",)  # installs the checkout there
LINUX = {
    "sys_platform": "linux",
    "os_name": "posix",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "implementation_name": "cpython",
    "platform_python_implementation": "CPython",
}
SIZE_WARNING = 200 * 2**20  # bytes: such a wheel is torch's, or one that should be present


class Node:
    """A machine that is not here: its Python, its glibc, the packages it has."""

    def __init__(self, python: str, glibc: str, present: Iterable[str]) -> None:
        self.python = python
        major, minor = map(int, glibc.split("."))
        platforms = [f"manylinux_{major}_{number}_x86_64" for number in range(minor, 4, -1)]
        self.platforms = [*platforms, "manylinux2014_x86_64", "manylinux2010_x86_64", "manylinux1_x86_64"]
        self.present = dict(map(name_and_version, filter(is_named, map(str.strip, present))))

    def has(self, asked: Requirement) -> bool:
        """Whether the node has it, in a version that will do; one without a version will."""
        name = canonicalize_name(asked.name)
        version = self.present.get(name)
        return name in self.present and (version is None or asked.specifier.contains(version, prereleases=True))

    def holds(self, marker: Marker, extra: str = "") -> bool:
        """Whether a marker of a requirement is true there, with an extra."""
        there = {"python_version": self.python, "python_full_version": f"{self.python}.0", "extra": extra}
        return marker.evaluate({**LINUX, **there})


def is_named(line: str) -> bool:
    """Whether a line of `pip freeze` names a package: no comment, no option, no editable install."""
    return bool(line) and not line.startswith(("#", "-"))


def name_and_version(line: str) -> tuple[str, str | None]:
    """`name==version`, `name @ where`, or `name` alone."""
    name, _, version = line.split(";")[0].partition("==")
    return canonicalize_name(name.partition("@")[0].partition("[")[0].strip()), version.strip() or None


def needs(wheel: Path, extras: Iterable[str], node: Node) -> Iterator[Requirement]:
    """What a wheel asks for on the node."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (each for each in file.namelist() if each.count("/") == 1 and each.endswith(".dist-info/METADATA"))
        lines = Parser().parsestr(file.read(name).decode()).get_all("Requires-Dist") or []
    for asked in map(Requirement, lines):
        if asked.marker is None or any(node.holds(asked.marker, extra) for extra in ("", *extras)):
            yield asked


def pins(node: Node) -> dict[str, str]:
    """By name, the versions of constraints.txt that the node's Python can have."""
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if is_named(line)]
    pinned = [Requirement(line) for line in lines]
    return {
        canonicalize_name(each.name): str(each.specifier)
        for each in pinned
        if each.marker is None or node.holds(each.marker)
    }


def fetch(asked: Requirement, node: Node, out: Path) -> Path:
    """Download one wheel, or build it if it turns out to be pure Python.

    Raises:
        ValueError: if there is no wheel that the node can use.
    """
    wanted = f"{asked.name}{asked.specifier}"
    with tempfile.TemporaryDirectory() as folder:
        platforms = [flag for platform in node.platforms for flag in ("--platform", platform)]
        flags = ["--no-deps", "--quiet", "--python-version", node.python, "--implementation", "cp", *platforms]
        command = [*PIP, "download", "--only-binary=:all:", *flags, "--dest", folder, wanted]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode:
            command = [*PIP, "wheel", "--no-deps", "--quiet", "--wheel-dir", folder, wanted]
            subprocess.run(command, capture_output=True)
        made = [each for each in Path(folder).glob("*.whl") if not found.returncode or "-none-any" in each.name]
        if not made:
            raise ValueError(f"found no wheel of {wanted} for Python {node.python} ({found.stderr.strip()[-300:]})")
        return made[0].rename(out / made[0].name)


def gather(wheel: Path, node: Node, out: Path, extras: Iterable[str]) -> list[Path]:
    """Fetch all that a wheel needs and the node lacks, and all that these need.

    Raises:
        ValueError: if something has no wheel.
    """
    pinned, fetched = pins(node), dict[str, Path]()
    waiting = [*map(Requirement, ALWAYS), *needs(wheel, extras, node)]
    done: set[tuple[str, str]] = set()
    while waiting:
        asked = waiting.pop(0)
        name = canonicalize_name(asked.name)
        if node.has(asked) and not asked.extras:
            continue
        if name not in fetched and not node.has(asked):
            exact = pinned.get(name, "")
            if exact and all(asked.specifier.contains(each.version) for each in SpecifierSet(exact)):
                asked = Requirement(f"{asked.name}[{','.join(asked.extras)}]{exact}")
            fetched[name] = fetch(asked, node, out)
            print(f"{fetched[name].stat().st_size / 2**20:8.1f} MB  {fetched[name].name}", flush=True)
            if fetched[name].stat().st_size > SIZE_WARNING:
                print(f"          large: if the node has {name}, name it in the file of --present")
        for extra in {"", *asked.extras}:
            if name in fetched and (name, extra) not in done:
                done.add((name, extra))
                waiting += needs(fetched[name], [extra] if extra else [], node)
    return [*fetched.values()]


def main() -> None:
    """Gather, and say what to do next."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--python", default="3.12", help="version of Python on the node")
    parser.add_argument("--glibc", default="2.28", help="of the node, as `ldd --version` says")
    parser.add_argument("--present", type=Path, help="file with the node's `pip freeze`, or names alone")
    parser.add_argument("--out", type=Path, default=Path("wheels"), help="a new or empty folder")
    args = parser.parse_args()
    if args.out.exists() and any(args.out.iterdir()):
        raise SystemExit(f"found files in {args.out}, expected a new or empty folder: remove it first")
    args.out.mkdir(parents=True, exist_ok=True)
    node = Node(args.python, args.glibc, args.present.read_text().splitlines() if args.present else [])
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*PIP, "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, str(ROOT)], check=True)
        (ours,) = Path(folder).glob("*.whl")
        try:
            wheels = gather(ours, node, args.out, ["test"])
        except ValueError as error:
            raise SystemExit(str(error)) from None
    total = sum(each.stat().st_size for each in wheels) / 2**20
    print(f"{len(wheels)} wheels, {total:.0f} MB in {args.out}: copy it with the checkout to the node, there: make gpu")


if __name__ == "__main__":
    main()
