from __future__ import annotations

from collections import Counter
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


@pytest.mark.parametrize("above", ["ModelNet10", "data/ModelNet10"])
def test_a_folder_above_one_dataset_is_taken_for_it(tmp_path: Path, above: str) -> None:
    touch(tmp_path, *(f"{above}/{name}/{split}/0.off" for name in ("bed", "chair") for split in ("train", "test")))
    touch(tmp_path, "__MACOSX/ModelNet10/bed/train/._0.off")
    source = find_meshes(tmp_path)
    assert (source.layout, source.up_axis, source.classes) == ("modelnet", "z", ["bed", "chair"])
    assert source.root == tmp_path / above and source.items[0].path == "bed/test/0.off"
    assert f"taken from the folder {above}" in str(source)
    touch(tmp_path, "/".join([*above.split("/")[:-1], "ModelNet40/bed/train/0.off"]))
    with pytest.raises(ValueError, match=r"found 2 datasets.*ModelNet10, .*ModelNet40.*give one of these"):
        find_meshes(tmp_path)


def test_a_folder_above_shapenet_and_above_splits(tmp_path: Path) -> None:
    shapenet = find_meshes(touch(tmp_path / "a", "ShapeNetCore.v2/02691156/x/models/model_normalized.obj"))
    assert (shapenet.layout, shapenet.classes) == ("shapenet", ["airplane"])
    own = find_meshes(touch(tmp_path / "b", "own/train/cup/1.ply", "own/test/cup/2.ply"))
    assert (own.classes, {item.split for item in own.items}) == (["cup"], {"train", "test"})


def test_one_class_of_a_tree_is_taken_for_that_class(tmp_path: Path) -> None:
    touch(tmp_path / "m", "bed/train/1.off", "bed/test/2.off", "chair/train/3.off")
    source = find_meshes(tmp_path / "m" / "bed")
    assert (source.layout, source.up_axis, source.classes) == ("modelnet", "z", ["bed"])
    assert sorted(item.split for item in source.items) == ["test", "train"]
    assert f"give {tmp_path / 'm'} for all classes" in str(source)
    touch(tmp_path / "s", "03001627/x/models/model_normalized.obj", "03001627/y/models/model_normalized.obj")
    assert find_meshes(tmp_path / "s" / "03001627").classes == ["chair"]


def test_a_class_folder_above_folders_says_what_else_may_be_meant(tmp_path: Path) -> None:
    source = find_meshes(touch(tmp_path, "own/bed/1.ply", "own/chair/2.ply"))
    assert source.classes == ["own"] and "if bed, chair are the classes" in str(source)


@pytest.mark.parametrize(
    ("folder", "split"),
    [("Train", "train"), ("TRAINING", "train"), ("valid", "val"), ("Validation", "val"), ("testing", "test")],
)
def test_splits_have_their_usual_names_in_any_case(tmp_path: Path, folder: str, split: str) -> None:
    for number, paths in enumerate(([f"{folder}/cup/1.ply", f"{folder}/hat/2.ply"], [f"cup/{folder}/1.off"])):
        source = find_meshes(touch(tmp_path / str(number), *paths))
        assert {item.split for item in source.items} == {split} and source.classes[0] == "cup"


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    source = find_meshes(touch(tmp_path, "car/1.ply", "train/2.ply"))
    assert source.classes == ["car", "train"] and {item.split for item in source.items} == {"all"}


def test_links_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path / "set", "cup/1.ply", "hat/2.ply")
    touch(tmp_path / "elsewhere", "3.ply")
    for name, target in (("cup/up", ".."), ("a cup", "cup"), ("self", "self"), ("out", "..")):
        (tmp_path / "set" / name).symlink_to(target)
    (tmp_path / "set" / "pot").symlink_to("../elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to("../set")
    (tmp_path / "set" / "hat" / "gone.ply").symlink_to("nowhere.ply")
    source = find_meshes(tmp_path / "set")
    assert [item.path for item in source.items] == ["cup/1.ply", "hat/2.ply", "hat/gone.ply", "pot/3.ply"]
    assert source.classes == ["cup", "hat", "pot"] and "a cup" in str(source)


def test_what_a_folder_was_taken_for_is_said(tmp_path: Path) -> None:
    paths = ["bed/train/1.off", "bed/test/2.off", "cup/train/3.obj", "cup/train/3.mtl", "bed/x.fbx", "cup/y.blend"]
    said = str(find_meshes(touch(tmp_path, *paths)))
    assert "ModelNet tree" in said and "2 classes (bed, cup), splits test 1, train 2, z up" in said
    assert "meshes: 2 .off, 1 .obj" in said and "1 .fbx (convert to .glb)" in said and ".mtl" not in said


def test_one_file_is_a_source(tmp_path: Path) -> None:
    touch(tmp_path, "a.off", "b.off", "c.fbx")
    source = find_meshes(tmp_path / "a.off")
    assert (source.layout, [item.path for item in source.items], source.root) == ("flat", ["a.off"], tmp_path)
    with pytest.raises(ValueError, match=r"c\.fbx, expected a mesh .*convert to \.glb"):
        find_meshes(tmp_path / "c.fbx")


def test_a_seed_draws_a_test_split_of_every_class(tmp_path: Path) -> None:
    source = find_meshes(
        touch(tmp_path, *(f"{name}/{i}.off" for name in ("bed", "cup") for i in range(10)), "one/0.off")
    )
    drawn = source.split_by(0.2, 3)
    counts = Counter((item.category, item.split) for item in drawn.items)
    assert counts == {
        ("bed", "train"): 8,
        ("bed", "test"): 2,
        ("cup", "train"): 8,
        ("cup", "test"): 2,
        ("one", "train"): 1,
    }
    assert source.split_by(0.2, 3) == drawn != source.split_by(0.2, 4)
    with pytest.raises(ValueError, match=r"test_share 1\.0"):
        source.split_by(1.0, 3)
    with pytest.raises(ValueError, match="found splits"):
        drawn.split_by(0.2, 3)
