"""Run every benchmark in a process of its own, one after the other, and write their tables to RESULTS.md.

`python -m benchmarks [--quick] [NAME …]`; names are those of the scripts. Without --quick it takes about half an hour
on two cores. `faults` measures no time and has a page of its own, docs/reliability.md: it runs where it is named, and
takes further flags.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
SCRIPTS = [
    "edgeconv",
    "partseg",
    "pooling",
    "scaling",
    "neighbors",
    "floor",
    "objects",
    "losses",
    "svm",
    "rendering",
    "loading",
    "sparse",
    "superpixels",
    "detection",
]
if torch.cuda.is_available():
    SCRIPTS.append("gpu")
FAULTS = "faults"
FLAGS = {"gpu": ["--device", "cuda"], "scaling": ["--plot", str(HERE.parent / "docs" / "images" / "scaling.png")]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=SCRIPTS, help=f"of {', '.join(SCRIPTS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, and no RESULTS.md")
    parser.add_argument("--out", type=Path, default=HERE / "results", help="folder of the JSON files")
    args, further = parser.parse_known_args()
    if further and args.names != [FAULTS]:
        parser.error(f"found {further[0]}, expected it after {FAULTS} alone")
    for name in args.names:
        flags = ["--quick"] if args.quick else FLAGS.get(name, [])
        command = [sys.executable, "-m", f"benchmarks.{name}", "--out", str(args.out), *flags, *further]
        subprocess.run(command, check=True)
    if not args.quick and args.names != [FAULTS]:
        (HERE / "RESULTS.md").write_text(page(args.out))


def page(folder: Path) -> str:
    """All tables as Markdown, with the machine that each was measured on."""
    parts = [
        "# Benchmarks\n",
        "Written by `make bench` (`python -m benchmarks`); each table is one script of this folder. Contenders\n"
        "take turns, figures are medians, and ratios are what to read: absolute times belong to the machine.\n",
    ]
    for path in sorted(folder.glob("*.json")):
        if path.stem == FAULTS:
            continue
        record = json.loads(path.read_text())
        facts = ", ".join(f"{key} {value}" for key, value in record["machine"].items())
        parts += [f"## {record['benchmark']}\n", *table(record["rows"]), f"\n{facts}\n"]
    return "\n".join(parts)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of equal keys as a Markdown table."""
    columns = list(rows[0])
    lines = [" | ".join(c.replace("_", " ") for c in columns), " | ".join("---" for _ in columns)]
    lines += [" | ".join(_cell(row.get(column, "–")) for column in columns) for row in rows]
    return [f"| {line} |" for line in lines]


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    main()
