"""Names of files for methods, whose own names may hold anything."""

from __future__ import annotations

import re
from collections.abc import Sequence


def file_names(names: Sequence[str]) -> list[str]:
    """A plain file name for each, no two alike even where capitals do not count."""
    found: list[str] = []
    taken: set[str] = set()
    for text in names:
        plain = re.sub(r"[^A-Za-z0-9.-]+", "-", text).strip("-.")[:80] or "method"
        name, number = plain, 1
        while name.lower() in taken:
            number += 1
            name = f"{plain}-{number}"
        taken.add(name.lower())
        found.append(name)
    return found
