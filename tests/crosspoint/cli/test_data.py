"""`crosspoint data`: what is needed, what is there, what is wrong."""

from __future__ import annotations

import json
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import trimesh
from PIL import Image

from crosspoint.cli.main import main
from crosspoint.plugins import SHORT_NAMES
from tests.scene.datasets.miniatures import write_frames
from tests.scene.datasets.test_needed_files import write_rig
from tests.scene.datasets.test_nuscenes import write as write_nuscenes
from tests.scene.datasets.test_semantickitti import write_sequence

REAL = Path(__file__).parents[4] / "shared" / "data"
NAMES = sorted({*SHORT_NAMES["dataset"], *SHORT_NAMES["labeled_dataset"]})


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]):
    """Runs the command: its exit code, the lines of what is there by split, those of what is wrong, and errors."""

    def run(*words: object) -> tuple[int, dict[str, str], list[str], str]:
        code = main(["data", *map(str, words)])
        shown = capsys.readouterr()
        found = re.search(r"\nthere[^\n]*:\n(.*)\n\nwrong:(.*)", shown.out, re.DOTALL)
        if found is None:
            return code, {}, [], shown.out + shown.err
        lines = [line.strip().partition("  ") for line in found[1].splitlines() if line[:4].strip()]
        wrong = [line.strip() for line in found[2].splitlines() if line.strip()]
        return code, {name: text.strip() for name, _, text in lines}, wrong, shown.out

    return run


def test_all_datasets_are_listed(ask) -> None:
    code, _, _, text = ask()
    assert code == 0
    assert [line.split()[0] for line in text.splitlines() if line.startswith("  ")] == NAMES


@pytest.mark.parametrize("name", [name for name in NAMES if name != "synthetic"])
def test_what_is_needed_is_said_without_a_folder(name: str, ask) -> None:
    code, _, _, text = ask(name)
    assert code == 0 and text.startswith(f"{name}\n\n") and "<root>" in text


@pytest.mark.parametrize("name", [name for name in NAMES if name != "synthetic"])
def test_an_empty_folder_is_wrong_and_no_traceback(name: str, tmp_path: Path, ask) -> None:
    code, there, wrong, _ = ask(name, "--root", tmp_path, "--jobs", 1)
    assert code == 2 and wrong and set(there.values()) == {"cannot be used"}
    code, _, _, text = ask(name, "--root", tmp_path / "no")
    assert code == 2 and f"found no folder {tmp_path / 'no'}, expected that of {name}" in text


def test_the_synthetic_world_needs_nothing(ask) -> None:
    code, there, wrong, text = ask("synthetic", "--sequences", 2, "--frames", 3, "--jobs", 1)
    assert (code, there, wrong) == (0, {"train": "6 frames", "val": "6 frames"}, ["nothing"])
    assert "nothing to download" in text


def test_frames_by_split(tmp_path: Path, ask) -> None:
    write_sequence(tmp_path, "00", 3, images=True)
    write_sequence(tmp_path, "08", 2)
    code, there, wrong, text = ask("semantickitti", "--root", tmp_path, "--jobs", 1)
    assert (code, wrong) == (0, ["nothing"])
    assert there == {
        "train": "3 frames; 1 image each; 3 with labels of 19 classes",
        "val": "2 frames; 2 with labels of 19 classes",
        "test": "not there",
    }
    assert "expected some of 11, 12" in text
    code, there, wrong, _ = ask("semantickitti", "--root", tmp_path, "--split", "test")
    assert (code, there) == (2, {"test": "cannot be used"}) and "expected some of 11, 12" in wrong[0]
    path = "crosspoint.scene.datasets.semantickitti.SemanticKitti"  # as one's own dataset is named
    code, there, _, _ = ask(path, "--root", tmp_path, "--split", "train", "--images", "false", "--jobs", 1)
    assert (code, there) == (0, {"train": "3 frames; 3 with labels of 19 classes"})


def test_all_that_is_wrong_is_named_and_counted(tmp_path: Path, ask) -> None:
    folder = write_frames(tmp_path / "sequences" / "03", [4, 22, 5, 21, 18], count=40)
    (folder / "velodyne" / "000005.bin").write_bytes(b"")
    (folder / "velodyne" / "000006.bin").write_bytes(b"0" * 17)
    (folder / "labels" / "000007.label").write_bytes(b"0" * 8)
    (folder / "labels" / "000008.label").unlink()
    np.full(5, 99, dtype=np.uint32).tofile(folder / "labels" / "000012.label")
    code, there, wrong, _ = ask("semanticposs", "--root", tmp_path, "--jobs", 2)
    assert code == 2 and there == {"train": "not there", "val": "40 frames; 39 with labels of 13 classes"}
    assert all(line.startswith("val    found ") for line in wrong)
    assert "found no file, or an empty one, " in wrong[0] and "000005.bin" in wrong[0]
    assert "found no labels of 1 of 40 frames, the first " in wrong[1] and "000008.label" in wrong[1]
    assert "found 17 bytes in " in wrong[2] and "found 2 labels in " in wrong[3] and "expected 5" in wrong[3]
    assert len(wrong) == 4  # the label that does not exist is in a frame that is not read
    code, _, wrong, text = ask("semanticposs", "--root", tmp_path, "--deep", "--jobs", 1)
    assert code == 2 and len(wrong) == 5 and "found the label 99 in " in wrong[4]
    assert "no point of: rider, car, trunk, " in text
    for path in (folder / "velodyne").iterdir():
        path.write_bytes(b"0" * 17)
    code, _, wrong, _ = ask("semanticposs", "--root", tmp_path, "--jobs", 1)
    assert len(wrong) == 11 and wrong[-1] == "val    and 31 more"


def test_splits_of_nuscenes_are_those_of_the_versions_there(tmp_path: Path, ask) -> None:
    root = write_nuscenes(tmp_path / "train", ["scene-0001", "scene-0003"])
    code, there, wrong, _ = ask("nuscenes", "--root", root, "--cameras", "[CAM_FRONT]", "--jobs", 1)
    assert (code, wrong) == (0, ["nothing"])
    assert there == dict.fromkeys(("train", "val"), "2 frames; 1 image each; 2 with labels of 16 classes")
    # an excerpt whose scenes are of no split of its version
    root = write_nuscenes(tmp_path / "excerpt", ["scene-0061"], version="v1.0-test")
    code, there, wrong, text = ask("nuscenes", "--root", root, "--cameras", "[CAM_FRONT]", "--jobs", 1)
    assert (code, there["test"], wrong) == (0, "not there", ["nothing"])
    assert there["all"].startswith("2 frames; ") and "the split 'test'" in text
    np.zeros(2, dtype=np.uint8).tofile(root / "lidarseg" / "scene-0061-1.bin")
    code, _, wrong, _ = ask("nuscenes", "--root", root, "--cameras", "[CAM_FRONT]", "--jobs", 1)
    assert code == 2 and "found 2 labels in " in wrong[0]
    assert ask("nuscenes", "--root", root, "--cameras", "[CAM_FRONT]", "--split", "test", "--jobs", 1)[0] == 2


def test_lists_of_a_rig(tmp_path: Path, ask) -> None:
    root = write_rig(tmp_path, 4)
    expected = "; 1 image each; {} with labels of 2 classes"
    assert ask("folder", "--root", root, "--jobs", 1)[1] == {"all": "4 frames" + expected.format(4)}
    (root / "splits").mkdir()
    for name, frames in (("train", "0\n2\n3\n"), ("dev", "1\n")):
        (root / "splits" / f"{name}.txt").write_text(frames)
    there = ask("folder", "--root", root, "--jobs", 1)[1]
    assert there == {"dev": "1 frame" + expected.format(1), "train": "3 frames" + expected.format(3)}


def test_labeled_clouds(tmp_path: Path, ask) -> None:
    for name, split in (("a", "train"), ("b", "train"), ("b", "test")):
        folder = tmp_path / "meshes" / name / split
        folder.mkdir(parents=True)
        trimesh.creation.box().export(folder / f"{name}_1.off")
    code, there, wrong, _ = ask("modelnet", "--root", tmp_path / "meshes")
    assert (code, there, wrong) == (0, {"train": "2 clouds", "test": "1 clouds"}, ["nothing"])
    for split, count in (("train", 3), ("test", 2)):
        with h5py.File(tmp_path / f"ply_data_{split}0.h5", "w") as file:
            file["data"], file["label"] = np.zeros((count, 8, 3), np.float32), np.zeros((count, 1), np.int64)
    code, there, _, _ = ask("modelnet40_hdf5", "--root", tmp_path)
    assert (code, there) == (0, {"train": "3 clouds", "test": "2 clouds"})
    code, _, wrong, _ = ask("modelnet40_hdf5", "--root", tmp_path, "--deep")
    assert code == 2 and "found 8 points in a cloud, expected at least 1024" in wrong[0]
    assert ask("modelnet40_hdf5", "--root", tmp_path, "--deep", "--points", 8)[0] == 0
    with h5py.File(tmp_path / "ply_data_test0.h5", "a") as file:
        file["data"][1, 7, 2] = np.nan
    assert ask("modelnet40_hdf5", "--root", tmp_path)[0] == 0
    code, there, wrong, _ = ask("modelnet40_hdf5", "--root", tmp_path, "--deep", "--points", 8)
    assert code == 2 and "found 1 clouds with NaN or infinite coordinates" in wrong[0] and len(wrong) == 1
    assert there == {"train": "3 clouds", "test": "cannot be used"}


def test_pairs(tmp_path: Path, ask) -> None:
    for model in ("m", "n"):
        cloud = tmp_path / "ShapeNet" / "02691156" / f"{model}.ply"
        cloud.parent.mkdir(parents=True, exist_ok=True)
        trimesh.PointCloud(np.eye(3)).export(cloud)
        folder = tmp_path / "ShapeNetRendering" / "02691156" / model / "rendering"
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "00.png")
    assert ask("shapenet", "--root", tmp_path)[:3] == (0, {"all": "2 objects of 1 classes"}, ["nothing"])
    (folder / "00.png").write_bytes(b"no image")
    assert ask("shapenet", "--root", tmp_path)[0] == 0
    code, _, wrong, _ = ask("shapenet", "--root", tmp_path, "--deep", "--jobs", 1)
    assert code == 2 and "n/rendering/00.png that cannot be read whole" in wrong[0] and len(wrong) == 1


def test_what_is_typed_wrong_is_one_line(tmp_path: Path, ask) -> None:
    for words, message in (
        (["modelnt"], "expected one of clouds, daps3d, .*did you mean modelnet"),
        (["semantickitti", "--rot", "x"], "did you mean root"),
        (["semantickitti", "--image", "x"], "did you mean images"),
        (["modelnet", "--root", tmp_path, "--options", json.dumps({"skip": 2})], "expected none for modelnet"),
        (["daps3d", "--root", tmp_path, "--part", "daps-3"], "found daps-3 for part, expected one of daps-1, daps-2"),
        (["mine.No"], "found no class mine.No"),
    ):
        code, _, _, text = ask(*words)
        assert code == 2 and re.search(message, text) and text.count("\n") == 1


@pytest.mark.parametrize(
    ("name", "folder", "expected"),
    [
        ("semantickitti", "semantickitti_scan", {"val": "1 frame; 1 with labels of 19 classes"}),
        ("nuscenes", "nuscenes", {"all": "1 frame; 6 images each"}),
        ("rellis3d", "rellis3d_frame", {"all": "1 frame; 1 image each; 1 with labels of 19 classes"}),
        ("kitti_raw", "kitti_raw", {"all": "26 frames; 1 image each"}),
        ("kitti_object", "kitti_object", {"all": "5 frames; 1 image each"}),
        ("shapenetpart", "labeled_parts_hdf5", {"train": "247 clouds", "val": "38 clouds", "test": "95 clouds"}),
        ("modelnet", "objects40", {"train": "1,020 clouds", "test": "326 clouds"}),
    ],
)
def test_real_data(name: str, folder: str, expected: dict[str, str], ask) -> None:
    if not (REAL / folder).is_dir():
        pytest.skip(f"needs the data in {REAL / folder}")
    code, there, wrong, _ = ask(name, "--root", REAL / folder, "--jobs", 1)
    assert (code, wrong) == (0, ["nothing"])
    assert {split: text for split, text in there.items() if text != "not there"} == expected
