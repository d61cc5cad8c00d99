import json
import sys
import types
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from crosspoint.datasets.shapenetpart import SHAPENETPART, shapenetpart_clouds

DATA = Path(__file__).parents[4] / "shared" / "data" / "labeled_parts_hdf5"


def write(path: Path, labels: list[int], parts: list[list[int]], seed: int = 0) -> np.ndarray:
    data = np.random.default_rng(seed).normal(size=(len(labels), len(parts[0]), 3)).astype(np.float32)
    with h5py.File(path, "w") as file:
        file["data"], file["label"] = data, np.array(labels, np.uint8)[:, None]
        file["pid"] = np.array(parts, np.uint8)
    return data


def test_standard_names_where_they_fit(tmp_path: Path) -> None:
    a = write(tmp_path / "ply_data_train0.h5", [0, 15], [[0, 3, 1], [47, 49, 48]], 1)
    b = write(tmp_path / "ply_data_val0.h5", [10], [[30, 35, 31]], 2)
    write(tmp_path / "ply_data_test0.h5", [3], [[8, 11, 8]], 3)
    clouds = shapenetpart_clouds(tmp_path, "trainval", points=2)
    np.testing.assert_array_equal(clouds.points, np.concatenate([a, b])[:, :2])
    assert clouds.classes == list(SHAPENETPART) and len(clouds.classes) == 16
    assert clouds.part_names is not None and len(clouds.part_names) == 50
    assert clouds.parts is not None
    named = [[clouds.part_names[part] for part in row] for row in clouds.parts]
    assert named == [["Airplane/0", "Airplane/3"], ["Table/0", "Table/2"], ["Motorbike/0", "Motorbike/5"]]
    assert len(shapenetpart_clouds(tmp_path, "train", 2)) == 2
    assert len(shapenetpart_clouds(tmp_path, "val", 2)) == 1


def test_numbers_where_standard_names_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path / "train.h5", [0, 1], [[0, 1], [4, 1]])
    write(tmp_path / "test.h5", [2], [[5, 5]])
    for split in ("train", "test"):  # the same names, whatever is read
        clouds = shapenetpart_clouds(tmp_path, split, 2)
        assert clouds.classes == ["0", "1", "2"]
        assert clouds.part_names == ["0/0", "-/1", "-/2", "-/3", "1/4", "2/5"]


def test_described_names(tmp_path: Path) -> None:
    write(tmp_path / "train.h5", [1, 0], [[2, 0], [1, 1]])
    described = {"categories": ["cup", "hat"], "parts": {"cup": [1], "hat": [0, 2]}}
    (tmp_path / "categories.json").write_text(json.dumps(described))
    assert shapenetpart_clouds(tmp_path, "train", 2).part_names == ["hat/0", "cup/0", "hat/1"]
    described["part_names"] = {"cup": ["cup/handle"], "hat": ["rim", "top"]}  # type: ignore[assignment]
    (tmp_path / "categories.json").write_text(json.dumps(described))
    clouds = shapenetpart_clouds(tmp_path, "train", 2)
    assert (clouds.classes, clouds.part_names) == (["cup", "hat"], ["hat/rim", "cup/handle", "hat/top"])


def test_descriptions_that_do_not_fit_are_named(tmp_path: Path) -> None:
    write(tmp_path / "train.h5", [1, 0], [[2, 0], [1, 1]])
    names = tmp_path / "categories.json"

    def refused(text: str, message: str) -> None:
        names.write_text(text)
        with pytest.raises(ValueError, match=message):
            shapenetpart_clouds(tmp_path, "train", 2)

    refused("{", r"found no JSON in .*categories\.json")
    refused('{"categories": ["a"]}', r"found no parts in .*categories\.json")
    refused('{"categories": ["a", "b"], "parts": {"a": [0, 1], "b": [1]}}', "numbers twice or left out")
    refused('{"categories": ["a", "b"], "parts": {"a": [1], "b": [0]}}', r"found parts 0…2 in pid, expected 0…1")
    refused('{"categories": ["a"], "parts": {"a": [0, 1, 2]}}', "found labels 0…1, expected 0…0")
    swapped = '{"categories": ["a", "b"], "parts": {"a": [0, 2], "b": [1]}}'
    refused(swapped, "found a point of a/1 in cloud 0, expected parts of its category b")


def test_bad_input_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="found the split 'all', expected one of: train, val, trainval, test"):
        shapenetpart_clouds(tmp_path, "all")
    with pytest.raises(FileNotFoundError, match=r"\*train\*\.h5: get shapenet_part_seg_hdf5_data\.zip"):
        shapenetpart_clouds(tmp_path, "train")
    with h5py.File(tmp_path / "train.h5", "w") as file:
        file["data"], file["label"] = np.zeros((1, 4, 3)), np.zeros(1, int)
    with pytest.raises(ValueError, match=r"found the keys \['data', 'label'\], expected \['data', 'label', 'pid'\]"):
        shapenetpart_clouds(tmp_path, "train", 4)


def test_text_files_are_drawn_to_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    shapes = [
        types.SimpleNamespace(
            pos=torch.from_numpy(rng.normal(size=(n, 3)).astype(np.float32)), y=torch.arange(n) % 4, category=0
        )
        for n in (3, 10)
    ]
    fake = types.ModuleType("torch_geometric.datasets")
    fake.ShapeNet = lambda root, include_normals, split: shapes  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch_geometric.datasets", fake)
    clouds = shapenetpart_clouds(tmp_path, "train", points=8, download=True)
    assert clouds.parts is not None
    for cloud, parts, shape in zip(clouds.points, clouds.parts, shapes, strict=True):
        original = [tuple(point) for point in shape.pos.tolist()]
        drawn = [original.index(tuple(point)) for point in cloud.tolist()]
        np.testing.assert_array_equal(parts, shape.y[drawn])
    assert len({tuple(point) for point in clouds.points[1].tolist()}) == 8  # no repeats while there are enough
    again = shapenetpart_clouds(tmp_path, "train", points=8, download=True)
    np.testing.assert_array_equal(clouds.points, again.points)


def test_real_archive() -> None:
    if not DATA.is_dir():
        pytest.skip("no labeled parts beside the repository")
    clouds = shapenetpart_clouds(DATA, "trainval")
    assert (len(clouds), len(clouds.classes)) == (285, 19)
    assert clouds.part_names is not None and len(clouds.part_names) == 94
    assert clouds.part_names[0] == "Airplane/body"


def test_part_labels_may_be_called_seg(tmp_path: Path) -> None:
    write(tmp_path / "train0.h5", [0, 15], [[0, 3, 1], [47, 49, 48]])
    wanted = shapenetpart_clouds(tmp_path, "train", 3)
    with h5py.File(tmp_path / "train0.h5", "a") as file:
        file.move("pid", "seg")
    clouds = shapenetpart_clouds(tmp_path, "train", 3)
    np.testing.assert_array_equal(clouds.points, wanted.points)
    np.testing.assert_array_equal(clouds.parts, [[0, 3, 1], [47, 49, 48]])
    assert clouds.part_names == wanted.part_names


def text_archive(root: Path, normal: bool) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """An archive of one airplane and one bag in train; points and parts (0…49) by synset."""
    (root / "train_test_split").mkdir(parents=True)
    (root / "synsetoffset2category.txt").write_text("Airplane\t02691156\nBag\t02773838\n")
    made = {}
    for synset, first, count in (("02691156", 0, 4), ("02773838", 4, 2)):
        rng = np.random.default_rng(first)
        points, parts = rng.normal(size=(20, 3)).round(4), first + rng.integers(0, count, 20)
        made[synset] = (points.astype(np.float32), parts)
        (root / synset / "points").mkdir(parents=True)
        (root / synset / "points_label").mkdir()
        if normal:
            np.savetxt(root / synset / "a1.txt", np.column_stack([points, np.zeros((20, 3)), parts]), fmt="%.4f")
        else:
            np.savetxt(root / synset / "points" / "a1.pts", points, fmt="%.4f")
            np.savetxt(root / synset / "points_label" / "a1.seg", parts - first + 1, fmt="%d")
    listed = [f"shape_data/{synset}/a1" for synset in made]
    (root / "train_test_split" / "shuffled_train_file_list.json").write_text(json.dumps(listed))
    return made


@pytest.mark.parametrize("normal", [True, False])
@pytest.mark.parametrize("above", [True, False])
def test_text_archives_are_read_where_they_lie(tmp_path: Path, normal: bool, above: bool) -> None:
    root = tmp_path / "shapenetcore_partanno_segmentation_benchmark_v0"
    made = text_archive(root, normal)
    clouds = shapenetpart_clouds(tmp_path if above else root, "train", 12, seed=3)
    assert [clouds.classes[label] for label in clouds.labels] == ["Airplane", "Bag"] and clouds.parts is not None
    for cloud, parts, (points, labels) in zip(clouds.points, clouds.parts, made.values(), strict=True):
        of_point = {tuple(point): label for point, label in zip(points.tolist(), labels.tolist(), strict=True)}
        assert [of_point[tuple(point)] for point in cloud.tolist()] == parts.tolist()
        assert len({tuple(point) for point in cloud.tolist()}) == 12
    with pytest.raises(FileNotFoundError, match=r"shuffled_test_file_list\.json, expected the list of the split test"):
        shapenetpart_clouds(root, "test", 12)
    (root / "02691156" / ("a1.txt" if normal else "points/a1.pts")).write_text("1 2 three 4 5 6 7\n")
    with pytest.raises(ValueError, match=r"02691156/(points/)?a1.\w+ that cannot be read"):
        shapenetpart_clouds(root, "train", 12)
