from __future__ import annotations

from pathlib import Path

import pytest

from crosspoint.renderers.layouts import SHAPENET_CLASSES, find_meshes


def touch(root: Path, *paths: str) -> Path:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("OFF\n")
    return root


def test_modelnet_has_splits_classes_and_z_up(tmp_path: Path) -> None:
    source = find_meshes(touch(tmp_path, "bed/train/bed_1.off", "bed/test/bed_2.off", "sofa/train/s.off", "README.txt"))
    assert (source.layout, source.up_axis, source.classes) == ("modelnet", "z", ["bed", "sofa"])
    found = [(item.path, item.key, item.category, item.split, item.bytes) for item in source.items]
    assert found == [
        ("bed/test/bed_2.off", "bed/test/bed_2", "bed", "test", 4),
        ("bed/train/bed_1.off", "bed/train/bed_1", "bed", "train", 4),
        ("sofa/train/s.off", "sofa/train/s", "sofa", "train", 4),
    ]


@pytest.mark.parametrize("model", ["models/model_normalized.obj", "model.obj"])
def test_shapenet_of_both_versions_has_its_names(tmp_path: Path, model: str) -> None:
    paths = [f"02691156/a1/{model}", f"03001627/b2/{model}", "03001627/b2/models/model_normalized.solid.ply"]
    source = find_meshes(touch(tmp_path, *paths))
    assert (source.layout, source.up_axis, source.classes) == ("shapenet", "y", ["airplane", "chair"])
    assert [item.path for item in source.items] == paths[:2]
    assert {item.split for item in source.items} == {"all"}


def test_there_are_55_synsets() -> None:
    assert len(SHAPENET_CLASSES) == 55 == len(set(SHAPENET_CLASSES.values()))


def test_labeled_and_flat_folders(tmp_path: Path) -> None:
    labeled = find_meshes(touch(tmp_path / "a", "cup/1.ply", "cup/deep/2.obj", "hat/3.glb", ".cache/4.off"))
    assert (labeled.layout, labeled.classes, len(labeled.items)) == ("labeled", ["cup", "hat"], 3)
    flat = find_meshes(touch(tmp_path / "b", "1.ply", "2.STL", ".3.off"))
    assert (flat.layout, flat.classes, [item.category for item in flat.items]) == ("flat", [], [None, None])


def test_splits_may_come_before_classes(tmp_path: Path) -> None:
    source = find_meshes(touch(tmp_path, "train/cup/1.ply", "train/hat/2.ply", "test/cup/3.ply"))
    assert (source.layout, source.classes) == ("labeled", ["cup", "hat"])
    assert [(item.category, item.split) for item in source.items] == [
        ("cup", "test"),
        ("cup", "train"),
        ("hat", "train"),
    ]


def test_keys_have_no_dots_and_stay_unique(tmp_path: Path) -> None:
    source = find_meshes(touch(tmp_path, "a/x.v1.off", "a/x_v1.off", "a/y.off", "a/y.obj", "a/y_obj.off", "a/ü z.off"))
    keys = [item.key for item in source.items]
    assert len(set(keys)) == 6 and not any("." in key or " " in key for key in keys)
    assert {"a/y_off", "a/ü_z"} <= set(keys)


def test_mixed_empty_and_missing_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mixed layouts.*flat \(1 meshes, as x.off\), labeled"):
        find_meshes(touch(tmp_path / "mixed", "x.off", "cup/y.off"))
    with pytest.raises(ValueError, match="found no mesh below"):
        find_meshes(touch(tmp_path / "empty", "notes.txt"))
    with pytest.raises(FileNotFoundError, match="found no folder"):
        find_meshes(tmp_path / "missing")
