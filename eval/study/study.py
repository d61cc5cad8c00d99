"""A study: measure several checkpoints by several protocols, and write one folder with results, tables and a page."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

from crosspoint.eval.evaluation_data import POINTS, EvaluationData
from crosspoint.eval.evaluation_run import EvaluationRun
from crosspoint.eval.protocols.protocol import Protocol
from crosspoint.eval.report.report_model import Report, Row
from crosspoint.eval.report.tables import latex_table, markdown_table
from crosspoint.eval.results import library_versions
from crosspoint.eval.study.checks import check_study
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.lock import open_folder, with_digests
from crosspoint.eval.study.report_sections import Gallery, section
from crosspoint.eval.study.runs import Outcome, run_all
from crosspoint.eval.study.table import measured_row, published_rows
from crosspoint.eval.study.table_rows import TableRow, methods
from crosspoint.fields import described
from crosspoint.ops.device import chosen_device
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.cluster import opened_cluster
from crosspoint.renderers.json_object import JsonObject
from crosspoint.renderers.parallel import processes
from crosspoint.renderers.sole_writer import sole_writer

log = logging.getLogger("crosspoint")

INCOMPLETE = 1  # exit code where a protocol failed on the way


def report_study(config: StudyConfig) -> int:
    """Measure what is not measured yet, then write `results.json`, `table.md`, `table.tex`, `report.html`, `figures/`.

    Returns:
        0, or 1 where a protocol failed: `results.json` says which, and why.

    Raises:
        FileNotFoundError: if checkpoints or data are missing, before anything is measured or written.
        ValueError: if one of them cannot be used, or the folder is another study's, or is being written to.
    """
    protocols, rows = config.protocols, methods(config.checkpoint, config.random_init, config.k)
    data = study_data(config, rows)
    open_run = partial(_open_run, config, data)
    left_out = check_study(protocols, rows, data, open_run)
    settings = _record(config, rows, data)
    processes(config.jobs, chosen_device(config.device))  # no cluster and GPU at once
    with sole_writer(config.out):
        open_folder(config.out, settings)

        unread = replace(data, _clouds={}, _frames={})  # what goes to a cluster: its workers read for themselves
        measured = open_run if opened_cluster() is None else partial(_open_run, config, unread)
        outcome = run_all(protocols, rows, measured, left_out)

        columns = [column for protocol in protocols for column in protocol.columns(data)]
        table = [measured_row(row.name, outcome.of(row), columns) for row in rows] + published_rows(columns)
        gallery = Gallery(data)
        report = Report(
            title=f"Study of {data.label}",
            classes=data.classes,
            columns=[column.title for column in columns],
            rows=table,
            sections=[section(row.name, open_run(row, 0), protocols, outcome.of(row)[0], gallery) for row in rows],
            facts=_facts(protocols, rows, data, config.k),
        )
        _write(config.out, report, _summary(settings, table, outcome, left_out))
    log.info("see %s", config.out / "report.html")
    return INCOMPLETE if outcome.failed else 0


def study_data(config: StudyConfig, rows: Sequence[TableRow]) -> EvaluationData:
    """The data of a study, which all its runs share: read when they are first asked for."""
    trained = {checkpoint.points for row in rows for checkpoint in row.checkpoints}
    fields = sorted({checkpoint.fields for row in rows for checkpoint in row.checkpoints})
    if len(fields) > 1:
        raise ValueError(
            f"found encoders of {' and of '.join(map(described, fields))}, expected one kind, as the rows of a study "
            "share their clouds: make a study of each"
        )
    return EvaluationData(
        config.dataset,
        config.root,
        config.inputs,
        points=config.points or (trained.pop() if len(trained) == 1 else None) or POINTS,
        normalize=config.normalize,
        up_axis=config.up_axis,
        seed=config.seed,
        train_split=config.train_split,
        test_split=config.test_split,
        validation_split=config.validation_split,
        skip=config.skip,
        options=config.options or {},
        allow_overlap=config.allow_overlap,
        fields=fields[0] if fields else (),
    )


def _open_run(config: StudyConfig, data: EvaluationData, row: TableRow, number: int) -> EvaluationRun:
    """The network of a row and the number of its seed."""
    seed = config.seed + number
    return EvaluationRun(
        row.checkpoints[number],
        data,
        row.random_init,
        seed,
        config.device,
        config.cache,
        config.jobs,
        config.sparse_backend,
        results_dir=config.out / "runs" / row.folder / f"seed-{seed}",
    )


def _record(config: StudyConfig, rows: Sequence[TableRow], data: EvaluationData) -> JsonObject:
    """All that decides figures, the bytes of the checkpoints among it."""
    device = chosen_device(config.device).split(":")[0]
    paths = [checkpoint.path for row in rows for checkpoint in row.checkpoints]
    return with_digests({**config.settings(), "points": data.points, "device": device}, paths)


def _summary(
    settings: JsonObject, table: Sequence[Row], outcome: Outcome, left_out: dict[tuple[str, str], str]
) -> JsonObject:
    """`results.json`: neither times nor places, so that the same study gives the same bytes."""
    runs = [
        {
            "method": name,
            "seed": settings["seed"] + number,
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
        "settings": settings,
        "deviation": "population, over seeds; of a single seed, over its tasks",
        "table": [asdict(row) for row in table],
        "runs": runs,
        "left_out": reasons,
        "failed": outcome.failed,
    }


def _facts(
    protocols: Sequence[Protocol], rows: Sequence[TableRow], data: EvaluationData, k: int | None
) -> dict[str, str]:
    """What decided the figures."""
    facts = data.facts()
    if data.inputs == "points":
        facts["neighbors"] = "the checkpoints' own" if k is None else str(k)
    facts["seeds"] = ", ".join(f"{row.name}: {len(row.checkpoints)}" for row in rows)
    facts["figures"] = "percent; mean ± population deviation over seeds, or over tasks where there is one seed"
    for protocol in protocols:
        facts |= protocol.facts()
    return {**facts, "versions": ", ".join(f"{name} {number}" for name, number in library_versions().items())}


def _write(folder: Path, report: Report, summary: JsonObject) -> None:
    """The files of a study; the table goes to standard output, too."""
    from crosspoint.eval.report.figures import save_figures  # matplotlib takes a second to import
    from crosspoint.eval.report.page import write_page

    text = markdown_table(report.columns, report.rows)
    for name, content in (
        ("results.json", json.dumps(summary, indent=2, ensure_ascii=False)),
        ("table.md", text),
        ("table.tex", latex_table(report.columns, report.rows)),
    ):
        with atomic_write(folder / name) as file:
            file.write(content.encode() + b"\n")
    sys.stdout.write(f"{text}\n")
    save_figures(report, folder / "figures")
    write_page(report, folder / "report.html")
