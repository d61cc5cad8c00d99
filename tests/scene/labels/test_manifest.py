from __future__ import annotations

import json
from pathlib import Path

import pytest

from crosspoint.scene.labels.manifest import Manifest, read_class_table, read_manifest, write_manifest

OWN = {"format": 1, "kind": "semantic", "classes": ["road", "traffic light"]}


def write(folder: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "manifest.json").write_text(text)
    return folder


def test_what_is_written_is_read(tmp_path: Path) -> None:
    whole = Manifest("semantic", ["Straße", "car"], {"confidence": 0.5}, {"torch": "2"}, 3, "ab")
    for place, manifest in enumerate((whole, Manifest("regions", []))):
        write_manifest(tmp_path / str(place), manifest)
        assert read_manifest(tmp_path / str(place)) == manifest
    assert read_class_table(tmp_path / "0") == ["Straße", "car"]
    assert {"images", "sha256"} & set(json.loads((tmp_path / "1/manifest.json").read_text())) == set()


def test_a_user_writes_three_entries(tmp_path: Path) -> None:
    assert read_class_table(write(tmp_path, OWN)) == OWN["classes"]


def test_a_folder_without_a_manifest_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'found no .*manifest.json, expected .* write {"format": 1, ') as error:
        read_class_table(tmp_path)
    example = str(error.value)
    example = example[example.index("{") : example.index("}") + 1].replace(", …", "")
    assert read_class_table(write(tmp_path, example)) == ["road"]  # what the message shows is right


def test_regions_have_no_class_table(tmp_path: Path) -> None:
    write(tmp_path, {**OWN, "kind": "regions", "classes": []})
    with pytest.raises(ValueError, match=r"found maps of regions .* expected semantic ones"):
        read_class_table(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "found no JSON"),
        ("[" * 100_000, "found \\[|found a list|too deeply"),
        ("9" * 10_000, "out of range"),
        (b"\xff".decode("latin-1"), "found no JSON"),
        ([], r"found \[\] in .*, expected keys and values"),
        ({**OWN, "format": 2}, "found the format 2"),
        ({**OWN, "format": True}, "found True at format"),
        ({"kind": "semantic", "classes": ["a"]}, "found no format"),
        ({**OWN, "kind": "depth"}, "found 'depth' at kind in .*expected one of regions, semantic"),
        ({**OWN, "kind": ["semantic"]}, r"found \['semantic'\] at kind"),
        ({**OWN, "classes": "road"}, "found 'road' at classes in .*, expected a list"),
        ({**OWN, "classes": ["a", 1]}, r"found 1 at classes\[1\] in .*, expected text"),
        ({**OWN, "classes": ["a", " b"]}, "found no list of names"),
        ({**OWN, "classes": ["a", "b\n"]}, "found no list of names"),
        ({**OWN, "classes": ["a", "b", "a"]}, "found the class 'a' twice"),
        ({**OWN, "classes": []}, "found 0 classes of semantic maps"),
        ({**OWN, "kind": "regions"}, "found 2 classes of regions maps"),
        ({**OWN, "classes": list(map(str, range(2**16)))}, "found 65536 classes .* expected at most 65535"),
        ({**OWN, "images": "3"}, "found '3' at images in .*, expected a whole number or nothing"),
        ({**OWN, "recipe": []}, r"found \[\] at recipe in"),
        ({**OWN, "versions": {"torch": 2}}, "found a whole number at versions"),
    ],
)
def test_a_broken_manifest_is_one_line(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read_class_table(write(tmp_path, content))
    assert "\n" not in str(error.value)
    assert "manifest.json" in str(error.value)


def test_a_file_that_is_no_manifest_is_not_read_into_memory(tmp_path: Path) -> None:
    with (tmp_path / "manifest.json").open("wb") as file:
        file.truncate(2**40)  # a terabyte without a byte on disk
    with pytest.raises(ValueError, match=r"found 1,099,511,627,776 bytes in .*at most 16,777,216"):
        read_class_table(tmp_path)
