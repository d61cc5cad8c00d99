"""`crosspoint evaluate all`: measure, and write one folder with results, tables, pictures and a page."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from typing import Any

from crosspoint.eval.report.report_model import Report, Row
from crosspoint.eval.report.tables import latex_table, markdown_table
from crosspoint.eval.results import library_versions
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.evaluation_run import EvaluationRun
from crosspoint.eval.study.preflight import check_study
from crosspoint.eval.study.report_sections import Gallery, section
from crosspoint.eval.study.runs import Outcome, run_all
from crosspoint.eval.study.table import columns, measured_row, published_rows
from crosspoint.renderers.atomic import atomic_write

log = logging.getLogger("crosspoint")

INCOMPLETE = 1  # exit code where a protocol failed on the way


def report_study(study: StudyConfig) -> int:
    """Measure what is not measured yet, then write `results.json`, `table.md`, `table.tex`, `report.html`, `figures/`.

    Returns:
        0, or 1 where a protocol failed: `results.json` says which, and why.

    Raises:
        FileNotFoundError: if checkpoints or data are missing, before anything is measured or written.
        ValueError: if one of them cannot be used, or the folder is another study's.
    """
    left_out = check_study(study)
    study.open()
    outcome = run_all(study, left_out)
    table = columns(study)
    rows = [
        measured_row(row.name, [outcome.results[row.name, n] for n in range(len(row.checkpoints))], table)
        for row in study.rows
    ]
    rows += published_rows(table)
    titles = [column.title for column in table]
    text = markdown_table(titles, rows)
    _write(study, "results.json", json.dumps(_summary(study, rows, outcome, left_out), indent=2, ensure_ascii=False))
    _write(study, "table.md", text)
    _write(study, "table.tex", latex_table(titles, rows))
    sys.stdout.write(f"{text}\n")
    _draw(study, titles, rows, outcome)
    log.info("see %s", study.out / "report.html")
    return INCOMPLETE if outcome.failed else 0


def _summary(
    study: StudyConfig, rows: list[Row], outcome: Outcome, left_out: dict[tuple[str, str], str]
) -> dict[str, Any]:
    """`results.json`: neither times nor places, so that the same study gives the same bytes."""
    runs = [
        {
            "method": name,
            "seed": study.seed + number,
            "study_protocol": protocol,
            "protocol": result.protocol,
            "metrics": result.metrics,
            "constants": result.constants,
            "versions": result.versions,
        }
        for (name, number), results in outcome.results.items()
        for protocol, result in results.items()
    ]
    reasons = [{"method": name, "protocol": protocol, "reason": why} for (name, protocol), why in left_out.items()]
    return {
        "settings": study.settings(),
        "deviation": "population, over seeds; of a single seed, over its tasks",
        "table": [asdict(row) for row in rows],
        "runs": runs,
        "left_out": reasons,
        "failed": outcome.failed,
    }


def _draw(study: StudyConfig, titles: list[str], rows: list[Row], outcome: Outcome) -> None:
    """The page and the pictures."""
    from crosspoint.eval.report.figures import save_figures  # matplotlib takes a second to import
    from crosspoint.eval.report.page import write_page

    gallery = Gallery(study)
    sections = [section(EvaluationRun(study, row, 0), outcome.results[row.name, 0], gallery) for row in study.rows]
    classes = study.clouds("test").classes
    report = Report(f"Study of {study.root.name or study.dataset}", classes, titles, rows, sections, _facts(study))
    save_figures(report, study.out / "figures")
    write_page(report, study.out / "report.html")


def _facts(study: StudyConfig) -> dict[str, str]:
    """What decided the figures."""
    train, test = study.clouds("train"), study.clouds("test")
    seeds = {row.name: len(row.checkpoints) for row in study.rows}
    facts = {
        "data": f"{study.dataset}, {len(test.classes)} classes, {len(train)} clouds to train, {len(test)} to test on",
        "clouds": f"{study.cloud_points:,} points, " + ("in the unit sphere" if study.normalize else "as stored"),
        "neighbors": "the checkpoints' own" if study.k is None else str(study.k),
        "seeds": ", ".join(f"{name}: {count}" for name, count in seeds.items()),
        "figures": "percent; mean ± population deviation over seeds, or over tasks where there is one seed",
    }
    if "linear" in study.chosen:
        facts["linear SVM"] = (
            "C and scaling by cross-validation" if study.svm == "validated" else "raw features, C = 0.1"
        )
    if "fewshot" in study.chosen:
        facts["few-shot"] = f"{study.runs} tasks of {study.queries} queries a class, drawn from {study.split}"
    return {**facts, "versions": ", ".join(f"{name} {number}" for name, number in library_versions().items())}


def _write(study: StudyConfig, name: str, text: str) -> None:
    with atomic_write(study.out / name) as file:
        file.write(text.encode() + b"\n")
