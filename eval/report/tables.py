"""A study's table in Markdown and LaTeX: a row a method, a column a protocol, papers' figures below measured ones."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from crosspoint.eval.report.report_model import Cell, Row

# https://spec.commonmark.org/0.31.2/#backslash-escapes, and the pipe of tables
MARKDOWN = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|~$&"} | {"\n": " "})
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "→": r"$\rightarrow$",
        "±": r"$\pm$",
        "−": "$-$",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "\n": " ",
        **{character: f"\\{character}" for character in "&%$#_{}"},
    }
)
PUBLISHED = "published"


def markdown_table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """A table of percentages; the best measured figure of a column is bold, and published ones name their source.

    Args:
        columns: titles.
        rows: measured first, published after them.
    """
    best = _best(columns, rows)
    sources = list(dict.fromkeys(row.source for row in rows if row.source is not None))

    def show(cell: Cell, strong: bool) -> str:
        text = _figure(cell, " ± ")
        return f"**{text}**" if strong else text

    def name(row: Row) -> str:
        plain = row.name.translate(MARKDOWN)
        return plain if row.source is None else f"{plain} ({PUBLISHED} \\[{sources.index(row.source) + 1}\\])"

    lines = [["method", *(title.translate(MARKDOWN) for title in columns)], ["---"] * (len(columns) + 1)]
    lines += [[name(row), *_cells(row, columns, best, show)] for row in rows]
    notes = [f"\\[{number}\\] {source.translate(_NOTES)}" for number, source in enumerate(sources, 1)]
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    return "\n\n".join([table, *notes]) + "\n"


_NOTES = str.maketrans({character: f"\\{character}" for character in "\\`*[]<>|"} | {"\n": " "})  # links stay links


def latex_table(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The same as a `tabular`, for the package booktabs; sources stand in comments."""
    best = _best(columns, rows)

    def show(cell: Cell, strong: bool) -> str:
        text = _figure(cell, r" $\pm$ ")
        return rf"\textbf{{{text}}}" if strong else text

    def line(first: str, cells: Sequence[str]) -> str:
        return " & ".join([first, *cells]) + r" \\"

    def named(row: Row) -> str:
        return row.name.translate(LATEX) + ("" if row.source is None else f" ({PUBLISHED})")

    measured = [row for row in rows if row.source is None]
    published = [row for row in rows if row.source is not None]
    lines = [rf"\begin{{tabular}}{{l{'c' * len(columns)}}}", r"\toprule"]
    lines += [line("method", [title.translate(LATEX) for title in columns]), r"\midrule"]
    lines += [line(named(row), _cells(row, columns, best, show)) for row in measured]
    lines += [r"\midrule"] if measured and published else []
    for row in published:
        comment = " ".join(str(row.source).split())
        lines += [f"{line(named(row), _cells(row, columns, best, show))} % {comment}"]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def _cells(row: Row, columns: Sequence[str], best: dict[str, str], show: Callable[[Cell, bool], str]) -> list[str]:
    """One text a column, empty where there is no figure."""
    return [
        show(row.cells[title], row.source is None and best.get(title) == f"{row.cells[title].mean:.1f}")
        if title in row.cells
        else ""
        for title in columns
    ]


def _figure(cell: Cell, sign: str) -> str:
    return f"{cell.mean:.1f}" + ("" if cell.deviation is None else f"{sign}{cell.deviation:.1f}")


def _best(columns: Sequence[str], rows: Sequence[Row]) -> dict[str, str]:
    """The highest measured figure of each column with two or more, as it is printed: what prints alike is alike."""
    found = {
        title: [row.cells[title].mean for row in rows if row.source is None and title in row.cells] for title in columns
    }
    return {title: f"{max(values):.1f}" for title, values in found.items() if len(values) > 1}
