"""What holds on Windows and macOS, too, as far as it can be seen from here."""

from __future__ import annotations

import ast
import errno
import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path, PureWindowsPath
from types import SimpleNamespace

import pytest

from crosspoint.renderers import atomic, file_lock
from crosspoint.renderers.atomic import atomic_write, clear_drafts
from crosspoint.renderers.sole_writer import LOCK, sole_writer

ROOT = Path(__file__).parents[1]
SOURCES = [path for folder in ("renderers", "crosspoint", "scene", "eval") for path in (ROOT / folder).rglob("*.py")]
POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "syslog", "posix", "readline", "crypt"}
POSIX_NAMES = {
    "os": {"fork", "uname", "getuid", "geteuid", "killpg", "setsid", "getpgid", "mkfifo", "statvfs", "chown", "wait"},
    "signal": {"SIGKILL", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGPIPE", "alarm", "setitimer"},
}
# As on a system without them; other packages may have what they find.
WITHOUT = f"""
import builtins, importlib, pkgutil
known = builtins.__import__
def without(name, globals=None, *rest, **more):
    ours = (globals or {{}}).get("__name__", "").startswith("crosspoint")
    if ours and name in {POSIX_MODULES!r}:
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return known(name, globals, *rest, **more)
builtins.__import__ = without
import crosspoint
for each in pkgutil.walk_packages(crosspoint.__path__, "crosspoint."):
    if not each.name.endswith(("__main__", "renderers.pytorch3d", "spconv_backend")):
        importlib.import_module(each.name)
from crosspoint.renderers import file_lock
assert file_lock.fcntl is None and not file_lock.OPEN_FILES_MOVE
"""


def test_every_module_can_be_imported_without_those_of_posix() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, cwd=ROOT)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("module", POSIX_NAMES)
def test_names_of_posix_are_not_used(module: str) -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == module:
                assert node.attr not in POSIX_NAMES[module], f"{module}.{node.attr} in {path}"


def test_a_stored_name_has_no_backslash() -> None:
    """A place below a folder is told by `as_posix()`: in archives, manifests and results it is the same everywhere."""
    assert str(PureWindowsPath("a", "b")) == "a\\b" and PureWindowsPath("a", "b").as_posix() == "a/b"
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            told: list[ast.expr] = [node.value] if isinstance(node, ast.FormattedValue) else []
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "str":
                told = node.args
            for part in told:
                if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute):
                    assert part.func.attr != "relative_to", f"{path}: {ast.unparse(node)}"


def test_no_start_method_is_asked_for() -> None:
    """Windows and macOS have no safe fork; what is started goes by the interpreter's own choice."""
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert "set_start_method" not in text and 'get_context("fork' not in text, path


@pytest.mark.parametrize("words", [["--help"], ["render", "nowhere→", "out"]])
def test_a_pipe_of_few_characters_takes_what_is_said(words: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "crosspoint.cli", *words]
    environment = {**os.environ, "PYTHONIOENCODING": "cp1252"}
    run = subprocess.run(command, capture_output=True, env=environment, cwd=tmp_path)
    assert run.returncode == (2 if "render" in words else 0), run.stderr
    assert b"charmap" not in run.stderr and (run.stdout or run.stderr)


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No flock, locks of bytes in their place, and open files that can neither be removed nor renamed."""

    def locking(descriptor: int, mode: int, count: int) -> None:
        assert (mode, count, os.lseek(descriptor, 0, os.SEEK_CUR)) == (2, 1, file_lock.FAR)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    def refuse_open(path: object) -> bool:
        for descriptor in Path("/proc/self/fd").iterdir():
            if os.path.realpath(descriptor) == os.path.realpath(str(path)):
                raise PermissionError(errno.EACCES, "used by another process", str(path))
        return False

    unlink, replace = os.unlink, os.replace
    monkeypatch.setattr(os, "unlink", lambda path, **given: refuse_open(path) or unlink(path, **given))
    monkeypatch.setattr(os, "replace", lambda old, new: refuse_open(old) or replace(old, new))
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    monkeypatch.setattr(file_lock, "fcntl", None)
    for module in (file_lock, atomic):
        monkeypatch.setattr(module, "OPEN_FILES_MOVE", False)
    yield


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc/self/fd, to know which files are open")
def test_one_writer_at_a_time_on_windows(windows: None, tmp_path: Path) -> None:
    with pytest.raises(PermissionError), (tmp_path / "open").open("wb"):
        (tmp_path / "open").unlink()  # the fixture is what it says
    (tmp_path / "open").unlink()
    for _ in range(2):
        with sole_writer(tmp_path / "out"):
            with pytest.raises(ValueError, match=r"found .*out in use by process \d+"), sole_writer(tmp_path / "out"):
                raise AssertionError("both write")
            with atomic_write(tmp_path / "out" / "file") as file:
                file.write(b"whole")
        assert [path.name for path in (tmp_path / "out").iterdir()] == ["file"]
    assert (tmp_path / "out" / "file").read_bytes() == b"whole"


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc/self/fd, to know which files are open")
def test_drafts_on_windows(windows: None, tmp_path: Path) -> None:
    dead = tmp_path / f".file.{'0' * 32}"
    dead.write_bytes(b"half")
    with atomic_write(tmp_path / "file") as file:
        file.write(b"ab")
        assert clear_drafts(tmp_path) == [dead]
        assert file.tell() == 2  # the lock leaves the place of writing as it was
        file.write(b"c")
    assert (tmp_path / "file").read_bytes() == b"abc" and [path.name for path in tmp_path.iterdir()] == ["file"]
    with pytest.raises(RuntimeError), atomic_write(tmp_path / "file") as file:
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["file"] and not (tmp_path / LOCK).exists()
