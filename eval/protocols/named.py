"""Protocols by their names: a short name or an import path, and the settings that differ from the defaults."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crosspoint.eval.protocols.protocol import Protocol
from crosspoint.plugins import SHORT_NAMES, import_plugin


def protocol_class(name: str) -> type[Protocol]:
    """The class of a short name or an import path; raises ValueError if there is none."""
    return import_plugin("protocol", name, Protocol)


def named_protocols(
    names: str | Sequence[str], settings: Mapping[str, Mapping[str, Any]] | None = None
) -> list[Protocol]:
    """Protocols in the order of their names.

    Args:
        names: short names or import paths; a string has commas between them.
        settings: of some protocols, by the protocol's own name: `{"linear": {"variant": "paper"}}`.

    Raises:
        ValueError: if there is no such protocol, or no name.
    """
    given = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
    if not any(given):
        raise ValueError(f"found the protocols {names!r}, expected some of {', '.join(SHORT_NAMES['protocol'])}")
    classes = [protocol_class(name) for name in given]
    return [made(**(settings or {}).get(made.name, {})) for made in classes]
