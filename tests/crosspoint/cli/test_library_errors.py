"""Faults of the machine and of libraries: one line that says what to do, and exit code 2."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import crosspoint.cli.doctor
from crosspoint.cli.library_errors import advice
from crosspoint.cli.main import main
from crosspoint.renderers.system_faults import is_system_fault


def caused(number: int, path: str | None = "/out") -> OSError:
    return OSError(number, os.strerror(number), path)


FAULTS = [
    (caused(errno.EMFILE), "too many open files at /out.*ulimit -n"),
    (RuntimeError("received 0 items of ancdata"), "too many open files.*compute.workers"),
    (ValueError("found an image that cannot be read, a.png ([Errno 24] Too many open files)"), "ulimit -n"),
    (RuntimeError("Too many open files. Communication with the workers is no longer possible."), "ulimit -n"),
    (caused(errno.EACCES), "found no permission for /out"),
    (caused(errno.EROFS), "cannot be written at /out"),
    (caused(errno.ENOSPC), "no space left at /out.*make room"),
    (caused(errno.ENOTDIR), "found a file at /out where a folder was expected"),
    (RuntimeError("DataLoader worker (pid 3) is killed by signal: Bus error. insufficient shared memory (shm)"), "shm"),
    (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), "lower the batch size"),
    (RuntimeError("A worker process managed by the executor was unexpectedly terminated."), "lower --jobs"),
    (OSError("decoder jpeg not available"), "no jpeg decoder.*pip install"),
    (OSError("Can't read data (required filter 'blosc' is not registered)"), "compressed by blosc.*h5repack"),
]


@pytest.mark.parametrize(("error", "said"), FAULTS, ids=[str(number) for number in range(len(FAULTS))])
def test_a_fault_is_one_line_that_says_what_to_do(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(arguments: object) -> int:
        raise error

    monkeypatch.setattr(crosspoint.cli.doctor, "run", fail)
    assert main(["doctor"]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1 and "found " in printed and "expected" in printed
    pytest.importorskip("re").search(said, printed) or pytest.fail(printed)
    with pytest.raises(type(error)):
        main(["doctor", "--debug"])


def test_other_errors_keep_their_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(arguments: object) -> int:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(crosspoint.cli.doctor, "run", fail)
    assert advice(ValueError("found 3, expected 4")) is None
    assert advice(FileNotFoundError(errno.ENOENT, "No such file", "x")) is None
    with pytest.raises(RuntimeError, match="a mistake of ours"):
        main(["doctor"])


def test_a_folder_that_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "a.off").write_text("OFF\n3 1 0\n0 0 0\n1 0 0\n0 1 0\n3 0 1 2\n")
    words = ("render", tmp_path / "a.off", tmp_path / "file/out", "--views", 1, "--size", 8, "--points", 8)
    assert main([*map(str, words), "--jobs", "1"]) == 2
    printed = capsys.readouterr().err
    assert "where a folder was expected: choose another folder" in printed and "Traceback" not in printed


def test_what_skips_broken_files_does_not_skip_for_a_fault_of_the_machine() -> None:
    wrapped = ValueError("found an image that cannot be read")
    wrapped.__cause__ = caused(errno.EMFILE)
    assert is_system_fault(wrapped) and is_system_fault(MemoryError()) and is_system_fault(caused(errno.EIO))
    for whole in (ValueError("found no PNG"), caused(errno.ENOENT), caused(errno.EACCES)):
        assert not is_system_fault(whole)
