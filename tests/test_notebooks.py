"""The notebooks of examples/: they are what their scripts give, and they run on tiny settings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.test_examples import TINY
from tools.notebooks import EXAMPLES, SCRIPTS, notebook_of

REASON = "needs pip install 'crosspoint3d[notebooks]'"
SAID = {"objects": "by a linear SVM, 22 classes", "scenes": "mean IoU by a linear probe, 10 classes"}


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_notebook_is_what_its_script_gives(name: str) -> None:
    pytest.importorskip("jupytext", reason=REASON)
    committed = (EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8")
    assert committed == notebook_of(EXAMPLES / f"{name}.py"), "run: python -m tools.notebooks"


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_notebook_has_no_outputs_and_all_of_its_script(name: str) -> None:
    cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code and all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    script = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
    lines = [re.sub(r"^# ?", "", line) for line in script.splitlines() if not line.startswith("# %%")]
    shown = "\n".join("".join(cell["source"]) for cell in cells).splitlines()
    assert [line for line in shown if line] == [line for line in lines if line]


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_notebook_runs(name: str, tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason=REASON)
    nbclient = pytest.importorskip("nbclient", reason=REASON)
    pytest.importorskip("ipykernel", reason=REASON)
    notebook = nbformat.read(EXAMPLES / f"{name}.ipynb", as_version=4)
    (place,) = [number for number, cell in enumerate(notebook.cells) if "parse_args" in cell.source]
    changes = nbformat.v4.new_code_cell(f"vars(settings).update({TINY[name]!r})")  # as a reader changes them
    notebook.cells.insert(place + 1, changes)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    text = "".join(output.get("text", "") for output in outputs)
    assert text.count(SAID[name]) == 2
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert (tmp_path / "runs" / name / "run" / "last.ckpt").is_file()
