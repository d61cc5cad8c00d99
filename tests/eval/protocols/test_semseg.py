"""`crosspoint evaluate semseg` as a user gives it: a checkpoint, a folder of labeled frames, a result."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from crosspoint import load_pretrained
from crosspoint.checkpoints.record import RECORD_KEY, Inputs, Record
from crosspoint.cli.main import main
from crosspoint.eval.protocols.semseg import SemanticSegmentation
from crosspoint.eval.report.report_model import Report, Section
from crosspoint.eval.results import Result
from crosspoint.eval.study.config import StudyConfig
from crosspoint.eval.study.study import report_study
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.segmenter import SegmentationConfig
from crosspoint.eval.supervised.semantic_segmentation import RESOURCES, semantic_segmentation
from crosspoint.eval.targets import FrameTarget
from crosspoint.plugins import describe
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.checkpoints.minkowski_engine import minkowski_name
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.folder_writing import write_frame
from crosspoint.scene.datasets.rig import write_rig
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.ops.sparse_conv import SparseTensor
from crosspoint.scene.ops.voxels import VoxelConfig

VOXELS = VoxelConfig(kind="cartesian", size=0.5)
TINY = dict(stem=4, encoder=[4, 8], encoder_blocks=[1, 1], decoder=[8, 8], decoder_blocks=[1, 1])
CPU = Resources(accelerator="cpu")
SPLITS = {"train": "0\n1\n2\n", "val": "3\n4\n", "held": "5\n"}
SHORT = ("--recipe.epochs", 2, "--recipe.batch_size", 1, "--resources.accelerator", "cpu")


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ground with walls upon it, before one camera, in three splits."""
    root = tmp_path_factory.mktemp("data") / "streets"
    root.mkdir()
    K = torch.tensor([[[20.0, 0, 16], [0, 20, 12], [0, 0, 1]]])
    R = torch.tensor([[[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]])  # x forward, y left, z up → x right, y down, z forward
    cameras = Cameras(K, R, torch.zeros(1, 3), (24, 32))
    write_rig(root, cameras, ["ground", "wall"])
    for number in range(6):
        rng = np.random.default_rng(number)
        ground = np.column_stack([rng.uniform(-6, 6, (400, 2)), np.full(400, -1.7)])
        wall = np.column_stack([np.full(200, rng.uniform(2, 5)), rng.uniform(-6, 6, 200), rng.uniform(-1.2, 2, 200)])
        points = np.column_stack([np.concatenate([ground, wall]), rng.random(600)]).astype(np.float32)
        images = torch.from_numpy(rng.integers(0, 256, (1, 3, 24, 32), dtype=np.uint8))
        fields = {"intensity": points[:, 3], "label": np.repeat([0, 1], [400, 200])}
        tensors = {name: torch.from_numpy(values.copy()) for name, values in fields.items()}
        xyz = torch.from_numpy(points[:, :3].copy())
        write_frame(root, LidarSample(f"{number}", xyz, tensors, images, cameras=cameras))
    (root / "splits").mkdir()
    for name, frames in SPLITS.items():
        (root / "splits" / f"{name}.txt").write_text(frames)
    return root


@pytest.fixture(scope="module")
def minkunet() -> MinkUNet:
    torch.manual_seed(3)
    return MinkUNet(**TINY).eval()


def weights_of(network: MinkUNet, scale: float) -> dict[str, torch.Tensor]:
    """As a checkpoint names them, those of the layers times a factor."""
    return {
        f"method.encoder.{name}": weight * scale if name.endswith("kernel") else weight
        for name, weight in network.state_dict().items()
    }


def record_of(network: MinkUNet) -> dict[str, object]:
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels=asdict(VOXELS))
    return Record(describe(network), inputs).as_dict()


@pytest.fixture(scope="module")
def checkpoint(minkunet: MinkUNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `crosspoint pretrain` writes it."""
    path = tmp_path_factory.mktemp("run") / "last.ckpt"
    torch.save({"state_dict": weights_of(minkunet, 1.0), RECORD_KEY: record_of(minkunet)}, path)
    return path


def semseg(checkpoint: Path, root: Path, *arguments: object) -> int:
    given = ("--checkpoint", checkpoint, "--dataset", "folder", "--root", root, *SHORT, *arguments)
    words = ["evaluate", "semseg", *map(str, given)]
    return main(words)


@pytest.mark.parametrize(("mode", "views"), [("linear", 1), ("mlp", 1), ("finetuned", 3), ("scratch", 1)])
def test_the_command_is_the_protocol_on_the_checkpoints_network(
    mode: str,
    views: int,
    checkpoint: Path,
    minkunet: MinkUNet,
    streets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "result.json"
    folder = tmp_path / "network"
    given = ("--mode", mode, "--tta", views, "--recipe.layer_decay", 0.5, "--seed", 4)
    assert semseg(checkpoint, streets, *given, "--out", out, "--save_dir", folder) == 0
    result = Result.load(out)
    expected = semantic_segmentation(
        minkunet,
        FolderScenes(streets, "train"),
        FolderScenes(streets, "val"),
        voxels=VOXELS,
        mode=mode,
        recipe=SegmentationConfig(epochs=2, batch_size=1, layer_decay=0.5),
        tta=views,
        seed=4,
        resources=Resources(accelerator="cpu"),
    )
    assert (result.metrics, result.records) == (expected.metrics, expected.records)
    assert f"{result.metrics['miou']:.4g}" in capsys.readouterr().out
    assert result.constants["checkpoint"] == str(checkpoint) and result.constants["mode"] == mode
    assert sorted(path.name for path in folder.iterdir()) == ["network.safetensors", "predictions.npz"]


def test_splits_choose_what_is_learned_chosen_by_and_measured(checkpoint: Path, streets: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    splits = ("--train_split", "val", "--test_split", "train", "--validation_split", "held", "--skip", 2)
    assert semseg(checkpoint, streets, *splits, "--out", out) == 0
    constants = Result.load(out).constants
    assert [constants[name] for name in ("train", "validation", "test", "skip")] == [1, 1, 3, 2]
    assert constants["chosen_by"] == "validation_miou"


def test_random_weights_are_those_of_the_seed_and_not_the_checkpoints(checkpoint: Path, streets: Path) -> None:
    given = FrameTarget(checkpoint, "folder", root=streets)
    random = [replace(given, random_init=True, seed=seed).open().encoder for seed in (0, 0, 1)]
    first, again, other, trained = (
        network.get_parameter("stem.0.kernel") for network in [*random, given.open().encoder]
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other) and not torch.equal(first, trained)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--checkpoint", "nowhere.ckpt"), "found no checkpoint at nowhere.ckpt"),
        (("--test_split", "later"), "later.txt"),
        (("--dataset", "kitty"), "kitty"),
        (("--fraction", 0), "fraction"),
        (("--tta", 0), "tta"),
        (("--dataset", "kitti_raw"), "kitti_raw"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: tuple[object, ...], told: str, checkpoint: Path, streets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert semseg(checkpoint, streets, *arguments) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and told in lines[0] and "expected" in lines[0]


def test_a_result_is_not_overwritten(
    checkpoint: Path, streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "result.json"
    out.write_text("kept")
    assert semseg(checkpoint, streets, "--out", out) == 2
    assert "already there" in capsys.readouterr().err and out.read_text() == "kept"


def test_scenes_in_a_study(
    checkpoint: Path, minkunet: MinkUNet, streets: Path, place: Path, tmp_path: Path, drawn: list[Report]
) -> None:
    out = tmp_path / "study"
    other = tmp_path / "other.ckpt"
    torch.save({"state_dict": weights_of(minkunet, 1.5), RECORD_KEY: record_of(minkunet)}, other)
    words = ["evaluate", "all", "--checkpoint", f"A={checkpoint}", "--checkpoint", f"A={other}"]
    words += ["--checkpoint", f"B={place / 'a0.safetensors'}", "--random_init", "true", "--seed", "4"]
    words += f"--dataset folder --root {streets} --protocols semseg --epochs 2 --device cpu --out {out}".split()
    words += "--settings.semseg.recipe.batch_size 1 --settings.semseg.recipe.standardize true".split()
    words += ["--validation_split", "held"]
    assert main(words) == 0
    found = json.loads((out / "results.json").read_text())
    rows = {row["name"]: row["cells"] for row in found["table"]}
    assert list(rows) == ["A", "B", "random initialization (MinkUNet)", "random initialization (DGCNN)"]
    cell = rows["A"]["linear probe mIoU, streets"]
    train, test, held = (FolderScenes(streets, split) for split in ("train", "val", "held"))
    expected = [
        semantic_segmentation(
            encoder,
            train,
            test,
            voxels=VOXELS,
            mode="linear",
            recipe=SegmentationConfig(epochs=2, batch_size=1, standardize=True),
            validation=held,
            seed=seed,
            resources=replace(RESOURCES, accelerator="cpu"),
        )
        for encoder, seed in ((minkunet, 4), (load_pretrained(other).encoder, 5))
    ]
    mious = [result.metrics["miou"] for result in expected]
    assert mious[0] != mious[1]
    assert (cell["mean"], cell["deviation"], cell["runs"]) == (np.mean(mious), np.std(mious), 2)
    assert rows["random initialization (MinkUNet)"]["linear probe mIoU, streets"]["runs"] == 2
    assert rows["B"] == rows["random initialization (DGCNN)"] == {}
    assert {entry["method"] for entry in found["left_out"]} == {"B", "random initialization (DGCNN)"}
    assert found["runs"][0]["constants"]["checkpoint"] == str(checkpoint)
    (report,) = drawn
    assert list(report.classes) == ["ground", "wall"]
    assert report.facts["data"] == "folder, 2 classes, 3 frames to train, 2 to test on"
    shown = report.sections[0]
    assert [curve.name for curve in shown.curves] == ["segmentation: train loss", "segmentation: validation miou"]
    assert list(shown.curves[1].values) == [row["validation_miou"] for row in expected[0].records if "epoch" in row]
    assert shown.matrix is not None and list(shown.matrix.classes) == ["ground", "wall"]
    counts = [row["points_given"] for row in expected[0].records if "points_given" in row]
    np.testing.assert_array_equal(shown.matrix.counts, counts)
    assert shown.matrix.counts.sum() == sum(len(test[index].points) for index in range(2))
    assert [picture.caption for picture in shown.pictures] == ["3"]
    assert shown.pictures[0].data.startswith(b"\x89PNG")
    assert report.sections[1] == Section("B", curves=[], segmented=[], pictures=[], tables=[])
    before = (out / "results.json").read_bytes()
    assert main(words) == 0  # nothing is measured twice
    assert (out / "results.json").read_bytes() == before


def test_probes_and_fine_tuning_are_columns_of_one_study(
    checkpoint: Path, minkunet: MinkUNet, streets: Path, tmp_path: Path, drawn: list[Report]
) -> None:
    out, names = tmp_path / "study", ("semseg", "semseg_mlp", "semseg_finetuned")
    words = ["evaluate", "all", "--checkpoint", f"A={checkpoint}", "--dataset", "folder", "--root", str(streets)]
    words += ["--protocols", ",".join(names), "--epochs", "1", "--device", "cpu", "--out", str(out)]
    words += [word for name in names for word in (f"--settings.{name}.recipe.batch_size", "1")]
    words += ["--settings.semseg_finetuned.recipe.layer_decay", "0.5", "--settings.semseg_mlp.tta", "2"]
    assert main(words) == 0
    found = json.loads((out / "results.json").read_text())
    titles = ["linear probe mIoU", "MLP probe mIoU, 2 views", "fine-tuned mIoU"]
    cells = found["table"][0]["cells"]
    assert [*cells] == [f"{title}, streets" for title in titles]
    recipe = SegmentationConfig(epochs=1, batch_size=1)
    settings = {"linear": (recipe, 1), "mlp": (recipe, 2), "finetuned": (replace(recipe, layer_decay=0.5), 1)}
    train, test = (FolderScenes(streets, split) for split in ("train", "val"))
    resources = replace(RESOURCES, accelerator="cpu")
    for (mode, (recipe, tta)), cell in zip(settings.items(), cells.values(), strict=True):
        given = {"voxels": VOXELS, "mode": mode, "recipe": recipe, "tta": tta, "resources": resources}
        assert cell["mean"] == semantic_segmentation(minkunet, train, test, **given).metrics["miou"]
    shown = drawn[0].sections[0]
    assert [table.title for table in shown.tables] == [
        f"Classes: {name}" for name in ("segmentation", "MLP probe", "fine-tuned")
    ]
    assert [name for name, _ in shown.tables[0].rows] == ["ground", "wall"]
    ious = [values[0] for _, values in shown.tables[0].rows]
    assert np.mean(ious) == pytest.approx(cells["linear probe mIoU, streets"]["mean"])
    assert [curve.name for curve in shown.curves] == [
        f"{name}: train loss" for name in ("segmentation", "MLP probe", "fine-tuned")
    ]
    assert [picture.caption for picture in shown.pictures] == [f"{name}: 3" for name in names]
    before = (out / "results.json").read_bytes()
    assert main(words) == 0  # nothing is measured twice
    assert (out / "results.json").read_bytes() == before


def test_the_report_of_a_scene_study_is_drawn(checkpoint: Path, streets: Path, tmp_path: Path) -> None:
    protocol = SemanticSegmentation(
        mode="finetuned", fraction=0.5, recipe=SegmentationConfig(epochs=1, batch_size=1), resources=CPU
    )
    study = StudyConfig([f"ours={checkpoint}"], "folder", tmp_path / "study", streets, protocols=[protocol])
    assert report_study(study) == 0
    assert "fine-tuned mIoU, 50 % of labels, streets" in (study.out / "table.md").read_text()
    page = (study.out / "report.html").read_text(encoding="utf-8")
    assert '"counted": "point"' in page or '"counted":"point"' in page
    figures = sorted(path.name for path in (study.out / "figures").iterdir())
    assert figures == ["ours_classes.png", "ours_confusion.png", "ours_frame-1.png", "ours_training.png"]


@pytest.mark.parametrize(("protocol", "told"), [("linear", "an encoder of voxels, which is not for points")])
def test_protocols_of_clouds_refuse_an_encoder_of_scenes(
    protocol: str, told: str, checkpoint: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["evaluate", protocol, "--checkpoint", str(checkpoint), "--dataset", "modelnet40_hdf5"]
    words += ["--root", str(place / "clouds")]
    assert main(words) == 2
    assert told in capsys.readouterr().err


def test_an_encoder_of_other_voxels_is_refused(
    streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wide = MinkUNet(**TINY, in_channels=4)
    torch.save({"state_dict": weights_of(wide, 1.0), RECORD_KEY: record_of(wide)}, tmp_path / "wide.ckpt")
    assert semseg(tmp_path / "wide.ckpt", streets) == 2
    assert "found an encoder for 4 features of a voxel, where frames give 1" in capsys.readouterr().err


def test_weights_of_minkowski_see_the_intensity_as_it_was_stored(
    streets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """0…255 in voxels of 0.1 m and one degree, as SLidR's data code gives it; another scale is a warning."""
    made = MinkUNet.small()
    weights = {minkowski_name(name): weight for name, weight in made.state_dict().items()}
    torch.save({"model_points": weights}, tmp_path / "slidr.pt")
    seen: list[float] = []
    forward = MinkUNet.forward

    def watched(self: MinkUNet, voxels: SparseTensor) -> torch.Tensor:
        seen.append(float(voxels.features.max()))
        return forward(self, voxels)

    monkeypatch.setattr(MinkUNet, "forward", watched)
    cloud = FolderScenes(streets, "val")[0].points_with("intensity")
    pretrained = load_pretrained(tmp_path / "slidr.pt")
    pretrained.encoder(pretrained.transform(cloud))
    assert 200 < seen[-1] <= 255
    seen.clear()
    assert semseg(tmp_path / "slidr.pt", streets, "--out", tmp_path / "result.json") == 0
    assert 200 < min(seen) <= max(seen) <= 255 and "was trained on voxels" not in caplog.text
    voxels = Result.load(tmp_path / "result.json").constants["voxels"]
    assert (voxels["kind"], voxels["size"], voxels["angle"], voxels["intensity_scale"]) == ("cylindrical", 0.1, 1, 255)
    seen.clear()
    assert semseg(tmp_path / "slidr.pt", streets, "--voxels.intensity_scale", 1.0) == 0
    assert max(seen) <= 1
    told = "was trained on voxels of intensity_scale 255.0, and is measured on voxels of intensity_scale 1.0"
    assert told in caplog.text


def test_a_lidar_alone_is_measured_and_incomplete_frames_are_counted(
    checkpoint: Path, streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "lidar"
    shutil.copytree(streets, root, ignore=shutil.ignore_patterns("images"))
    whole, partial = tmp_path / "whole.json", tmp_path / "partial.json"
    assert semseg(checkpoint, streets, "--out", whole) == semseg(checkpoint, root, "--out", partial) == 0
    assert Result.load(whole).metrics == Result.load(partial).metrics
    (root / "labels" / "1.label").unlink()
    assert semseg(checkpoint, root) == 2
    assert "labels/1.label, expected all 3 frames" in capsys.readouterr().err
    partial.unlink()
    assert semseg(checkpoint, root, "--skip_incomplete", "--out", partial) == 0
    constants = Result.load(partial).constants
    assert constants["options"] == {"skip_incomplete": True} and constants["frames_left_out"] == {"train": 1}
