import dataclasses
import json
from importlib.metadata import version

import pytest

from crosspoint.eval import Result


@pytest.fixture
def result():
    return Result(
        "few_shot",
        {"accuracy": 92.456, "accuracy_std": 3.0},
        {"C": 0.1, "grid": [0.1, 1.0], "seed": None, "name": "données"},
        [{"seed": 1, "accuracy": 92.456}],
    )


def test_round_trip_gives_an_equal_result(result, tmp_path):
    result.save(tmp_path / "a" / "result.json")
    assert Result.load(tmp_path / "a" / "result.json") == result
    assert json.loads((tmp_path / "a" / "result.json").read_text("utf-8"))["constants"]["grid"] == [0.1, 1.0]


def test_versions_are_those_installed(result):
    assert result.versions["scikit-learn"] == version("scikit-learn")
    assert set(result.versions) == {"crosspoint", "scikit-learn", "torch", "numpy"}


def test_prints_two_lines_with_deviation_beside_its_mean(result):
    first, second = str(result).splitlines()
    assert "accuracy 92.46 ± 3.00" in first and "accuracy_std" not in first
    assert "C 0.1" in second and "grid" not in second


def test_nothing_is_written_over_unasked(result, tmp_path):
    path = tmp_path / "result.json"
    result.save(path)
    before = path.read_bytes()
    other = dataclasses.replace(result, metrics={"accuracy": 1.0})
    with pytest.raises(ValueError, match=r"result\.json already there"):
        other.save(path)
    assert path.read_bytes() == before
    other.save(path, overwrite=True)
    assert Result.load(path) == other


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_values_that_json_cannot_hold_leave_no_file(result, tmp_path, value):
    with pytest.raises(ValueError, match="JSON cannot hold"):
        dataclasses.replace(result, constants={"C": value}).save(tmp_path / "result.json")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[]", '{"protocol": "x"}'])
def test_other_files_are_refused_in_one_line(tmp_path, text):
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(ValueError, match=r"result\.json") as error:
        Result.load(tmp_path / "result.json")
    assert "\n" not in str(error.value)
    with pytest.raises(FileNotFoundError, match="found no file"):
        Result.load(tmp_path / "absent.json")
