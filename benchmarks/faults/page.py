"""The tables of docs/reliability.md, written from what was measured; the text around them is written by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.__main__ import table
from benchmarks.faults.judge import GOOD, VERDICTS

NOTHING = "None.\n"
TABLES = ("kills", "signals", "imports", "limits", "writers", "workers", "ranks")


def write_page(record: dict[str, Any], page: Path) -> None:
    """Put the tables of a record between the marks `<!-- NAME -->` and `<!-- end of NAME -->` of a page."""
    text = page.read_text(encoding="utf-8")
    for name, made in tables(record).items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        if begin not in text:
            raise ValueError(f"found no mark {begin.strip()} in {page}, expected one for each table")
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}\n{made}\n{end}{rest.partition(end)[2]}"
    page.write_text(text, encoding="utf-8")


def tables(record: dict[str, Any]) -> dict[str, str]:
    """Every table as Markdown, by the name of its marks."""
    made = {name: "\n".join(table(_plain(record[name]))) + "\n" for name in TABLES if record.get(name)}
    fuzz = record.get("fuzz")
    if fuzz:
        rows = [{key: row[key] for key in ("family", "cases", *VERDICTS)} for row in fuzz["rows"]]
        made["fuzz"] = "\n".join(table(rows)) + "\n"
        made["failing"] = "\n".join(table(_plain(fuzz["failing"]))) + "\n" if fuzz["failing"] else NOTHING
        total = fuzz["rows"][-1]
        all_of_them, good = total["cases"], sum(total[kind] for kind in GOOD)
        lines = len(fuzz["lines without a remedy"])
        made["counts"] = (
            f"{all_of_them} cases with seed {record['seed']}: {good} as they should be, {all_of_them - good} not. "
            f"Of {total['one line']} one-line errors, {lines} are a library's words without a remedy.\n"
        )
    made["machine"] = ", ".join(f"{key} {value}" for key, value in record["machine"].items()) + ".\n"
    return made


def _plain(rows: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Cells without the letters that end a cell or a line of Markdown."""
    return [
        {key: " ".join(str(value).replace("|", "¦").replace("<", "‹").split()) or "–" for key, value in row.items()}
        for row in rows
    ]
