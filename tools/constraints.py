"""Writes a constraints file of what is installed: `python -m tools.constraints > constraints.txt`.

A version that needs a newer Python than the package does is pinned from that Python on; on an older one pip is free.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")  # those that the package claims, and the next
LEFT_OUT = {"crosspoint3d", "pip", "setuptools", "wheel"}  # ourselves, and what every environment brings


def pins(found: Iterable[Distribution]) -> list[str]:
    """One line a package, in alphabetical order; of two copies on the path the first, which is the one imported."""
    lines: dict[str, str] = {}
    for each in found:
        name = canonicalize_name(each.metadata["Name"])
        if name not in LEFT_OUT and name not in lines:
            needed = each.metadata["Requires-Python"] if "Requires-Python" in each.metadata else None
            lines[name] = f"{name}=={each.version}{marker(needed)}"
    return [lines[name] for name in sorted(lines)]


def marker(requires_python: str | None) -> str:
    """Nothing where every Python will do, else which ones."""
    allowed = SpecifierSet(requires_python or "")
    first = next((python for python in PYTHONS if allowed.contains(f"{python}.99")), PYTHONS[0])
    return "" if first == PYTHONS[0] else f' ; python_version >= "{first}"'


def main() -> None:
    """Print the file."""
    print(f"# Written by `make constraints` on Python {sys.version_info.major}.{sys.version_info.minor}.")
    print("# The figures in README.md were made with these versions: `make quickstart` and `make test` install them.")
    print("\n".join(pins(distributions())))


if __name__ == "__main__":
    main()
