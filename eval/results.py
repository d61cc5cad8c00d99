"""Results of protocols: the figures, and everything that decides them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.records import as_dataclass, read_json


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a figure depends on, "not installed" for one that is only on the path."""
    versions = {}
    for name, distribution in (
        ("crosspoint", "crosspoint3d"),
        ("scikit-learn", "scikit-learn"),
        ("torch", "torch"),
        ("numpy", "numpy"),
    ):
        try:
            versions[name] = version(distribution)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


@dataclass(frozen=True)
class Result:
    """Outcome of one protocol on one data set; prints on two lines and keeps itself as JSON.

    Values are what JSON holds (numbers, strings, lists, dicts, None), so that `Result.load(path)` equals what was
    saved.
    """

    protocol: str
    # Accuracies in percent, or as the constant "units" says; `x_std` is the standard deviation that belongs to `x`.
    metrics: dict[str, float]
    constants: JsonObject  # all that decides the figures: C, grid, scaler, folds, split sizes, seed, …
    records: list[JsonObject] = field(default_factory=list)  # one row per candidate or task behind the figures
    versions: dict[str, str] = field(default_factory=library_versions)

    def __str__(self) -> str:
        units = self.constants.get("units")
        figures = []
        for name, value in self.metrics.items():
            spread = self.metrics.get(f"{name}_std")
            if units is not None:
                figures.append(f"{name} {value:.4g} {units.get(name, '')}".strip())
            elif not name.endswith("_std"):
                figures.append(f"{name} {value:.2f}" + ("" if spread is None else f" ± {spread:.2f}"))
        short = {name: value for name, value in self.constants.items() if not isinstance(value, list | dict)}
        facts = [
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in short.items()
        ]
        of_all = " (%)" if units is None else ""
        return f"{self.protocol}{of_all}: {', '.join(figures)}\n  with {', '.join(facts)}"

    def save(self, path: Path | str, *, overwrite: bool = False) -> None:
        """Write the result as JSON, atomically.

        Raises:
            ValueError: if `path` exists and may not be overwritten, or a value is not one that JSON holds.
        """
        path = Path(path)
        if path.exists() and not overwrite:
            raise ValueError(f"found {path} already there, expected a new file: choose another name or overwrite=True")
        try:
            text = json.dumps(asdict(self), indent=2, allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise ValueError(f"found a value that JSON cannot hold ({error}), expected plain finite ones") from error
        with atomic_write(path) as file:
            file.write(text.encode() + b"\n")

    @classmethod
    def load(cls, path: Path | str) -> Result:
        """Read a result that `save` wrote.

        Raises:
            FileNotFoundError: if there is no such file.
            ValueError: if it holds something else.
        """
        path = Path(path)
        stored = read_json(path, dict[str, Any], "a saved result")
        names = {entry.name for entry in fields(cls)}
        if set(stored) != names:
            raise ValueError(f"found other keys in {path}, expected {', '.join(sorted(names))}: is it a saved result?")
        return as_dataclass(stored, cls, path, "a saved result")
