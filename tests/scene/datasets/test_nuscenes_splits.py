from __future__ import annotations

from pathlib import Path

import pytest

from crosspoint.scene.datasets.nuscenes_splits import SPLITS, choose_scenes, split_scenes

SIZES = {
    "train": 700,
    "val": 150,
    "test": 150,
    "mini_train": 8,
    "mini_val": 2,
    "verifying": 100,
    "parametrizing": 600,
}


def test_splits_have_their_sizes_and_are_disjoint() -> None:
    assert {split: len(split_scenes(split)) for split in SPLITS} == SIZES
    train, val, test = (split_scenes(split) for split in ("train", "val", "test"))
    assert not train & val and not train & test and not val & test
    assert split_scenes("verifying") | split_scenes("parametrizing") == train
    assert split_scenes("mini_train") | split_scenes("mini_val") <= train | val
    # the first and last of the devkit's lists
    assert {"scene-0001", "scene-1110"} <= train
    assert {"scene-0003", "scene-1073"} <= val
    assert {"scene-0077", "scene-1043"} <= test


@pytest.mark.parametrize(("skip", "count"), [(1, 700), (4, 175), (10, 70), (20, 35), (100, 7)])
def test_whole_scenes_are_kept(skip: int, count: int) -> None:
    names = [f"scene-{number:04d}" for number in range(1, 1111)]
    kept = choose_scenes(names, "train", skip)
    assert len(kept) == count
    counter, expected, train = 0, [], split_scenes("train")
    for name in names:  # as SLidR counts
        if name in train:
            counter += 1
            if counter % skip == 0:
                expected.append(name)
    assert kept == expected


def test_all_scenes_or_those_of_a_file(tmp_path: Path) -> None:
    assert choose_scenes(["b", "a"], None) == ["b", "a"]
    (tmp_path / "mine.txt").write_text("a\nc\n")
    assert choose_scenes(["b", "c", "a"], str(tmp_path / "mine.txt")) == ["c", "a"]


def test_splits_without_a_scene_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found the split 'trian', expected one of: train, .* or a file of scenes'"):
        choose_scenes(["scene-0001"], "trian")
    with pytest.raises(
        ValueError, match=r"found 0 scenes of the split 'val' among the 1 .*0001\), expected at least 1:"
    ):
        choose_scenes(["scene-0001"], "val")
    with pytest.raises(ValueError, match=r"found 2 scenes of the split 'train' .*at least 3, as skip takes one of 3"):
        choose_scenes(["scene-0001", "scene-0002"], "train", 3)
    with pytest.raises(ValueError, match=r"found skip -1"):
        choose_scenes(["scene-0001"], None, -1)
    (tmp_path / "empty.txt").touch()
    with pytest.raises(ValueError, match=r"found no scene's name in .*empty.txt"):
        split_scenes(str(tmp_path / "empty.txt"))
