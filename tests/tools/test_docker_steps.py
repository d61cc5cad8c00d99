"""The Dockerfile, and the script that runs its steps without Docker."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path

import pytest

from tools.docker_steps import copy_context, in_context, read_stages, run_stage
from tools.try_wheel import ROOT, expected_files

STAGES = read_stages(ROOT / "Dockerfile")


def steps(name: str, word: str) -> list[str]:
    return [rest for kind, rest in STAGES[name].steps if kind == word]


def test_both_targets_end_alike_and_not_as_root() -> None:
    assert [*STAGES] == ["wheel", "base", "cpu", "cuda"]
    for name in ("cpu", "cuda"):
        assert STAGES[name].base == "base"
        order = [word for word, _ in STAGES[name].steps]
        assert order[-5:] == ["USER", "WORKDIR", "RUN", "ENTRYPOINT", "CMD"]
        assert steps(name, "USER") == ["crosspoint"] and json.loads(steps(name, "ENTRYPOINT")[0]) == ["crosspoint"]
    (cpu,), (cuda,) = ([line for line in steps(name, "RUN") if "pip install" in line] for name in ("cpu", "cuda"))
    assert cpu.replace("--extra-index-url https://download.pytorch.org/whl/cpu ", "") == cuda


def test_what_is_copied_is_the_package_and_nothing_else(tmp_path: Path) -> None:
    copy_context(ROOT, tmp_path)
    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert not {path for path in found if "__pycache__" in path or path.startswith(("tests", "data", "runs", ".git"))}
    assert {*expected_files(tmp_path)} == {*expected_files(ROOT)}
    copied = {each for name in STAGES for line in steps(name, "COPY") if "--from" not in line for each in names(line)}
    assert copied == {path.split("/")[0] for path in found}


def names(line: str) -> list[str]:
    return shlex.split(line)[:-1]


@pytest.mark.parametrize(
    ("path", "kept"),
    [("a", False), ("b", True), ("b/deep/file", True), ("b/deep/__pycache__/x.pyc", False), ("c/b", False)],
)
def test_the_last_rule_that_matches_decides(path: str, kept: bool) -> None:
    assert in_context(path, ["*", "!b", "**/__pycache__"]) is kept


def write(folder: Path, text: str) -> Path:
    (folder / "Dockerfile").write_text(text, encoding="utf-8")
    return folder / "Dockerfile"


def test_steps_run_in_the_folders_of_their_stages(tmp_path: Path) -> None:
    context = tmp_path / "context"
    (context / "kept" / "deep").mkdir(parents=True)
    (context / "kept" / "deep" / "word").write_text("hello", encoding="utf-8")
    text = """
FROM python:3 AS first
WORKDIR /src
COPY kept here
ENV GREETING=good
RUN echo "$GREETING $(cat here/deep/word)" \\
    > said
FROM python:3 AS base
RUN useradd somebody
WORKDIR /opt/all
COPY --from=first /src/said ./
FROM base AS last
RUN python -c "import joblib, sys; open('where', 'w').write(sys.prefix)"
ENTRYPOINT ["sh", "-c"]
CMD ["cp said again"]
"""
    left_out = run_stage(read_stages(write(tmp_path, text)), "last", context, tmp_path / "root")
    assert left_out == ["useradd somebody"]
    place = tmp_path / "root" / "last" / "opt" / "all"
    assert (place / "again").read_text(encoding="utf-8") == "good hello\n"
    assert Path((place / "where").read_text(encoding="utf-8")).is_relative_to(tmp_path)


def test_a_step_that_fails_is_an_error(tmp_path: Path) -> None:
    stages = read_stages(write(tmp_path, "FROM python:3 AS only\nWORKDIR /here\nRUN false\n"))
    with pytest.raises(subprocess.CalledProcessError):
        run_stage(stages, "only", tmp_path, tmp_path / "root")


def test_ours_is_not_seen_before_it_is_installed(tmp_path: Path) -> None:
    text = 'FROM python:3 AS only\nWORKDIR /here\nRUN python -c "import crosspoint"\n'
    with pytest.raises(subprocess.CalledProcessError):
        run_stage(read_stages(write(tmp_path, text)), "only", tmp_path, tmp_path / "root")


@pytest.mark.parametrize("text", ["FROM a AS b\nVOLUME /data\n", "RUN true\n"])
def test_an_unknown_instruction_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"found '(VOLUME|RUN) .*' in .*, expected one of CMD, COPY, .* in a stage"):
        read_stages(write(tmp_path, text))
