from __future__ import annotations

from pathlib import Path

import pytest

from crosspoint.scene.labels.class_table import numbers_of, read_table


def write(folder: Path, text: str) -> Path:
    (folder / "classes.yaml").write_text(text)
    return folder / "classes.yaml"


def test_a_file_of_classes(tmp_path: Path) -> None:
    table = read_table(write(tmp_path, "vehicle: [car, bus]\nroad: road\n'yes': [y e s]\n"))
    assert table == {"vehicle": ["car", "bus"], "road": ["road"], "yes": ["y e s"]}
    assert list(table) == ["vehicle", "road", "yes"]  # the order is that of the numbers


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "found no YAML"),
        ("[a, b]", "found list"),
        ("", "found NoneType"),
        ("{}", "found no class"),
        ("1: road", "found no list of names"),
        ("yes: road", "found no list of names"),
        ("road:", "found None for the class 'road'"),
        ("road: []", r"found \[\] for the class 'road'"),
        ("road: 3", "found 3 for the class 'road'"),
        ("road: [a, 3]", r"found \['a', 3\] for the class 'road'"),
        ("road: ' '", r"found \[' '\] for the class 'road'"),
        ("road: [a, b]\ncar: b", "found 'b' for the classes 'road' and 'car'"),
    ],
)
def test_a_broken_file_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read_table(write(tmp_path, text))
    assert "\n" not in str(error.value)
    assert "classes.yaml" in str(error.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no file .*none.yaml, expected a YAML file of classes"):
        read_table(tmp_path / "none.yaml")


def test_numbers_follow_the_table_and_what_it_does_not_name_is_0() -> None:
    names = ["sky", "Car", "bus", "road", "bus"]  # a name may stand for several outputs
    assert numbers_of({"flat": ["road"], "vehicle": ["Car", "bus"]}, names, "it").tolist() == [0, 2, 2, 1, 2]
    with pytest.raises(ValueError, match=r"found 'cars' .* one of the classes of it: did you mean 'Car'"):
        numbers_of({"vehicle": ["cars"]}, names, "it")
