"""Arguments of datasets of frames on the command line: each is a flag where messages name it."""

from __future__ import annotations

import ast
import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

from crosspoint.cli.main import main, told
from crosspoint.cli.pretrain import read_config
from crosspoint.plugins import import_plugin
from crosspoint.scene.data.lidar_dataset import LidarDataset
from crosspoint.scene.datasets.folder import FolderScenes
from tests.scene.datasets.test_needed_files import write_rig
from tests.scene.datasets.test_row_width import rows

READERS = ["folder", "kitti_object", "kitti_raw", "nuscenes", "rellis3d", "semantickitti", "daps3d"]
READERS += ["nuscenes_panoptic", "scribblekitti", "semanticposs", "semanticstf", "synlidar", "synth4d", "waymo"]
SOURCES = Path(inspect.getfile(FolderScenes)).parent


@pytest.mark.parametrize("name", READERS)
def test_every_argument_of_a_reader_is_a_flag_and_a_key(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = set(inspect.signature(import_plugin("dataset", name, LidarDataset)).parameters)
    shown = {}
    for command in (["show", name], ["evaluate", "semseg", "--dataset", name]):
        with pytest.raises(SystemExit):
            main([*command, "--help"])
        shown[command[0]] = set(re.findall(r"^  --(\w+)", capsys.readouterr().out, re.MULTILINE))
    assert arguments <= shown["show"] | {"split"}
    assert arguments <= shown["evaluate"] | {"split"}
    dataset = read_config(["--method", "ppkt", "--data.dataset", name, "--data.dataset.root", "x"]).dataset
    assert arguments == set(dataset.arguments)


def test_messages_name_arguments_that_there_are() -> None:
    """Every word that a message of the readers puts between backquotes is an argument of one of them."""
    classes = [import_plugin("dataset", name, LidarDataset) for name in READERS]
    arguments = {argument for made in classes for argument in inspect.signature(made).parameters}
    named = set()
    for path in SOURCES.glob("*.py"):
        raised = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Raise)]
        for part in [part for node in raised for part in ast.walk(node)]:
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                named |= set(re.findall(r"`(\w+)`", part.value))
    assert {"version", "skip", "columns", "intensity_scale", "sequences", "skip_incomplete"} <= named
    assert named <= arguments


def test_show_takes_arguments_of_the_dataset(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_rig(tmp_path / "rig", 2)
    for number in range(2):
        rows(5, 500, scale=255.0, seed=number).tofile(root / "points" / f"{number}.bin")
    command = ["show", "folder", "--root", str(root), "--out", str(tmp_path / "out")]
    assert main(command) == 2
    assert "expected rows of 4 float32: give 5 as `columns`" in capsys.readouterr().err
    assert main([*command, "--columns", "5"]) == 2
    assert "give the sensor's largest intensity as `intensity_scale`" in capsys.readouterr().err
    assert main([*command, "--columns", "5", "--intensity_scale=255", "--skip_incomplete"]) == 0
    assert main([*command, "--options", json.dumps({"columns": 5, "intensity_scale": 255})]) == 0
    assert main([*command, "--columns", "wide"]) == 2
    assert "found wide for columns, expected a whole number" in capsys.readouterr().err
    assert main([*command, "--colums", "5"]) == 2
    assert "did you mean columns?" in capsys.readouterr().err
    assert main([*command, "--options", json.dumps({"collumns": 5})]) == 2
    assert "collumns" in capsys.readouterr().err


class Broken:
    """A dataset whose items cannot be read."""

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> int:
        raise ValueError("found 0 bytes in a.bin,\nexpected a multiple of 16")


def test_an_error_of_a_loader_process_is_told_in_its_own_words() -> None:
    from torch.utils.data import DataLoader

    with pytest.raises(ValueError, match="Traceback") as raised:
        list(DataLoader(Broken(), num_workers=1))  # type: ignore[arg-type]
    assert told(raised.value) == "found 0 bytes in a.bin, expected a multiple of 16"
    assert told(ValueError("found 1,\n expected 2")) == "found 1, expected 2"


def test_a_training_set_stands_in_for_frames_that_cannot_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from crosspoint.scene.data.training_set import SceneTrainingSet
    from crosspoint.scene.data.transforms import SceneAugmentation

    root = write_rig(tmp_path, 3)
    behind = rows(4, 500)
    behind[:, 0] = -np.abs(behind[:, 0])
    behind.tofile(root / "points" / "1.bin")
    augmentation = SceneAugmentation(size=(60, 100))
    with pytest.raises(ValueError, match=r"found none of 500 points .* 1"):
        SceneTrainingSet(FolderScenes(root), augmentation)[1, 0]
    samples = SceneTrainingSet(FolderScenes(root, skip_incomplete=True), augmentation)
    assert samples[1, 0].name == "2" and samples[0, 0].name == "0"
    assert "left out frame 1: found none of 500 points" in caplog.text
