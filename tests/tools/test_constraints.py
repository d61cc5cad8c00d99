from __future__ import annotations

from importlib.metadata import Distribution
from pathlib import Path

import pytest

from tools.constraints import marker, pins
from tools.slow_tests import slow


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (None, ""),
        (">=3.8", ""),
        (">=3.10", ""),
        (">=3.11", ' ; python_version >= "3.11"'),
        ("!=3.14.1,>=3.12", ' ; python_version >= "3.12"'),
    ],
)
def test_a_version_is_pinned_where_it_can_be_installed(asked: str | None, expected: str) -> None:
    assert marker(asked) == expected


def installed(folder: Path, name: str, version: str, python: str) -> Distribution:
    path = folder / f"{name}-{version}.dist-info"
    path.mkdir(parents=True)
    text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nRequires-Python: {python}\n"
    (path / "METADATA").write_text(text)
    return Distribution.at(path)


def test_ourselves_and_second_copies_are_left_out(tmp_path: Path) -> None:
    found = [
        installed(tmp_path / "1", "Some.Name", "2.0", ">=3.11"),
        installed(tmp_path / "1", "crosspoint3d", "0.1.0", ">=3.10"),
        installed(tmp_path / "2", "some_name", "1.0", ">=3.8"),
        installed(tmp_path / "2", "another", "3", ">=3.8"),
    ]
    assert pins(found) == ["another==3", 'some-name==2.0 ; python_version >= "3.11"']


def test_slow_tests_are_those_of_many_seconds_and_of_files_with_long_fixtures() -> None:
    lines = [
        "0.30s call     tests/a.py::test_one[1]",
        "0.30s call     tests/a.py::test_one[2::x]",
        "0.40s call     tests/a.py::test_two",
        "2.50s setup    tests/b.py::test_three",
        "9.00s call     tests/b.py::test_four",
        "1.50s setup    tests/c.py::test_five",
        "2106 passed",
    ]
    assert slow(lines) == ["tests/a.py::test_one", "tests/b.py", "tests/c.py::test_five"]


def test_every_name_in_the_list_of_slow_tests_exists() -> None:
    root = Path(__file__).parents[2]
    for line in (root / "tests" / "slow.txt").read_text().split():
        file, _, name = line.partition("::")
        assert (root / file).is_file(), f"{line} has gone: take it out of tests/slow.txt"
        assert f"def {name}(" in (root / file).read_text() or not name, (
            f"{line} has gone: take it out of tests/slow.txt"
        )
