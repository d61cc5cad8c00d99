"""Writes the notebooks of examples/, made from scripts in cells: `python -m tools.notebooks`.

The scripts are what is edited. A notebook is committed without outputs: those of another machine would differ, and the
same script gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"
SCRIPTS = ("objects", "scenes")  # those that are written in cells, `# %%`
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def notebook_of(script: Path) -> str:
    """The notebook of a script in cells, as JSON.

    Raises:
        ImportError: if jupytext is not installed.
    """
    try:
        import jupytext
        import nbformat
    except ImportError as error:
        raise ImportError(
            f"found no package {error.name} to write notebooks, expected it: pip install 'crosspoint3d[notebooks]'"
        ) from error
    made = jupytext.read(script, fmt="py:percent")
    made.metadata = nbformat.from_dict({"kernelspec": KERNEL, "language_info": {"name": "python"}})
    for number, cell in enumerate(made.cells):
        cell.id = f"cell-{number}"  # random ones would give other bytes each time
    made.nbformat, made.nbformat_minor = 4, 5
    nbformat.validate(made)
    return f"{nbformat.writes(made, version=nbformat.NO_CONVERT)}\n"


def main() -> None:
    """Write them beside their scripts."""
    for name in SCRIPTS:
        path = EXAMPLES / f"{name}.ipynb"
        path.write_text(notebook_of(path.with_suffix(".py")), encoding="utf-8", newline="\n")
        print(f"wrote {path.relative_to(EXAMPLES.parent)}")


if __name__ == "__main__":
    main()
