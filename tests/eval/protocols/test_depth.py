"""`crosspoint evaluate depth` as a user gives it: a checkpoint or a network, a folder of frames, a result."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import timm
import torch

from crosspoint import ImageEncoder
from crosspoint.checkpoints.record import RECORD_KEY, Inputs, Record
from crosspoint.cli.main import main
from crosspoint.eval.checkpoint import Checkpoint
from crosspoint.eval.image_networks import image_stages
from crosspoint.eval.image_target import ImageTarget
from crosspoint.eval.report.report_model import Report
from crosspoint.eval.results import Result
from crosspoint.eval.supervised.config import Resources
from crosspoint.eval.supervised.depth_config import DepthConfig
from crosspoint.eval.supervised.depth_estimation import depth_estimation
from crosspoint.eval.supervised.trainer import seeded
from crosspoint.models.image_stages import ImageStages
from crosspoint.models.image_teacher import ImageTeacher
from crosspoint.models.timm_encoder import TimmEncoder
from crosspoint.plugins import describe
from crosspoint.renderers.cameras import Cameras
from crosspoint.scene.data.sample import LidarSample
from crosspoint.scene.datasets.folder import FolderScenes
from crosspoint.scene.datasets.folder_writing import write_frame
from crosspoint.scene.datasets.rig import write_rig
from crosspoint.scene.models.minkunet import MinkUNet
from crosspoint.scene.models.pixel_encoder import PixelEncoder, ResNetMaps

TINY = dict(stem=4, encoder=[4, 8], encoder_blocks=[1, 1], decoder=[8, 8], decoder_blocks=[1, 1])
SPLITS = {"train": "0\n1\n2\n", "val": "3\n4\n", "held": "5\n"}
SHORT = ("--recipe.epochs", 2, "--recipe.batch_size", 1, "--resources.accelerator", "cpu")


@pytest.fixture(scope="module")
def streets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Walls before two cameras, at distances that their brightness says."""
    root = tmp_path_factory.mktemp("data") / "streets"
    root.mkdir()
    K = torch.tensor([[40.0, 0, 32], [0, 40, 32], [0, 0, 1]]).repeat(2, 1, 1)
    forward = torch.tensor([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    back = torch.tensor([[0.0, 1, 0], [0, 0, -1], [-1, 0, 0]])
    cameras = Cameras(K, torch.stack([forward, back]), torch.zeros(2, 3), (64, 64))
    write_rig(root, cameras, ["wall"])
    for number in range(6):
        rng = np.random.default_rng(number)
        far = rng.uniform(3, 30, 2)
        points, images = [], torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
        for view, sign in enumerate((1, -1)):
            aside = rng.uniform(-0.7, 0.7, (300, 2)) * far[view]
            points.append(np.column_stack([np.full(300, sign * far[view]), aside]))
            images[view] = int(8 * far[view])
        xyz = torch.from_numpy(np.concatenate(points).astype(np.float32))
        fields = {"intensity": torch.rand(600), "label": torch.zeros(600, dtype=torch.int64)}
        write_frame(root, LidarSample(f"{number}", xyz, fields, images, cameras=cameras))
    (root / "splits").mkdir()
    for name, frames in SPLITS.items():
        (root / "splits" / f"{name}.txt").write_text(frames)
    return root


def write_checkpoint(path: Path, images: torch.nn.Module | None, config: dict | None = None) -> Path:
    """As `crosspoint pretrain` writes it: a point encoder, and an image network beside it."""
    encoder = MinkUNet(**TINY)
    weights = {f"method.encoder.{name}": weight for name, weight in encoder.state_dict().items()}
    described = None
    if images is not None:
        described = describe(images)
        weights |= {f"method.image_encoder.{name}": weight for name, weight in images.state_dict().items()}
    inputs = Inputs(kind="voxels", up_axis="z", unit_sphere=False, voxels={"kind": "cartesian", "size": 0.5})
    record = Record(describe(encoder), inputs, described, config or {}).as_dict()
    torch.save({"state_dict": weights, RECORD_KEY: record}, path)
    return path


@pytest.fixture(scope="module")
def branch() -> PixelEncoder:
    with seeded(1):
        return PixelEncoder(network="test_efficientnet", dilated=True, projection=4)


@pytest.fixture(scope="module")
def checkpoint(branch: PixelEncoder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_checkpoint(tmp_path_factory.mktemp("run") / "last.ckpt", branch)


def depth(root: Path, *arguments: object) -> int:
    return main(["evaluate", "depth", *map(str, ("--dataset", "folder", "--root", root, *SHORT, *arguments))])


@pytest.mark.parametrize("mode", ["linear", "finetuned"])
def test_the_command_is_the_function_on_the_checkpoints_image_network(
    mode: str,
    branch: PixelEncoder,
    checkpoint: Path,
    streets: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out, folder = tmp_path / "result.json", tmp_path / "network"
    given = ("--checkpoint", checkpoint, "--mode", mode, "--seed", 4, "--out", out, "--save_dir", folder)
    assert depth(streets, *given) == 0
    result = Result.load(out)
    encoder = ImageStages("test_efficientnet").eval()
    encoder.trunk.load_state_dict(branch.trunk.state_dict())
    train, test = (FolderScenes(streets, split) for split in ("train", "val"))
    recipe, resources = DepthConfig(epochs=2, batch_size=1), Resources(accelerator="cpu")
    expected = depth_estimation(encoder, train, test, mode=mode, recipe=recipe, seed=4, resources=resources)
    assert (result.metrics, result.records) == (expected.metrics, expected.records)
    told = capsys.readouterr().out
    assert f"depth/{mode}: abs_rel {result.metrics['abs_rel']:.4g}, sq_rel" in told and " m, " in told
    assert result.constants["checkpoint"] == str(checkpoint) and result.constants["test_images_measured"] == 4
    assert sorted(path.name for path in folder.iterdir()) == ["network.safetensors", "predictions.npz"]


@pytest.mark.parametrize(
    ("make", "network"),
    [
        (lambda: ResNetMaps(network="resnet18"), "resnet18"),
        (lambda: PixelEncoder(network="resnet18", dilated=True, projection=4), "resnet18"),
        (lambda: ImageTeacher(network="test_efficientnet", layers=[3]), "test_efficientnet"),
        (lambda: ImageEncoder("resnet18"), "resnet18"),
        (lambda: TimmEncoder("test_efficientnet"), "test_efficientnet"),
    ],
)
def test_image_networks_of_all_methods_give_their_stages(make: object, network: str, tmp_path: Path) -> None:
    """Those of SimIPU; of PPKT, SLidR, OLIVINE and CMCR; of ScaLR; and of CrossPoint on objects."""
    with seeded(7):
        images = make()  # type: ignore[operator] # a function
    images.eval()
    checkpoint = Checkpoint.read(write_checkpoint(tmp_path / "last.ckpt", images))
    stages = image_stages(checkpoint)
    trunk = getattr(images, "trunk", getattr(images, "resnet", images))
    trained = {name.removeprefix("model."): weight for name, weight in trunk.state_dict().items()}
    found = {name.removeprefix("model."): weight for name, weight in stages.trunk.state_dict().items()}
    assert {*found} <= {*trained} and all(torch.equal(weight, trained[name]) for name, weight in found.items())
    pixels = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
    with torch.no_grad():
        maps = stages(pixels)
        if isinstance(images, ImageTeacher) and not images.arguments["dilated"]:
            torch.testing.assert_close(maps[-1], images.features(pixels))
        if isinstance(images, ResNetMaps):
            mean, std = (torch.tensor(values).view(3, 1, 1) for values in (stages.trunk.mean, stages.trunk.std))
            torch.testing.assert_close(maps[-1], images((pixels / 255 - mean) / std))
    random = [image_stages(checkpoint, seed) for seed in (0, 0, 1)]
    first, again, other = (next(each.parameters()) for each in random)
    assert (
        torch.equal(first, again)
        and not torch.equal(first, other)
        and not torch.equal(first, next(stages.parameters()))
    )
    assert stages.arguments["network"] == network


def test_a_network_by_its_name(streets: Path, tmp_path: Path) -> None:
    with seeded(9):
        network = ImageStages("test_efficientnet")
    whole = timm.create_model("test_efficientnet").state_dict()
    whole |= {name.removeprefix("trunk.model."): weight for name, weight in network.state_dict().items()}
    torch.save(whole, tmp_path / "w.pth")
    named = ("--image_network", "test_efficientnet")
    for name, given in {
        "file": ("--weights", tmp_path / "w.pth"),
        "random": ("--seed", 9),
        "other": ("--seed", 8),
    }.items():
        assert depth(streets, *named, *given, "--out", tmp_path / f"{name}.json") == 0
    results = {name: Result.load(tmp_path / f"{name}.json") for name in ("file", "random", "other")}
    assert [results[name].constants["random_init"] for name in results] == [False, True, True]
    assert results["file"].constants["checkpoint"] == str(tmp_path / "w.pth")
    assert results["random"].metrics != results["other"].metrics
    stages = replace(ImageTarget("folder", image_network="test_efficientnet"), seed=9).open()
    assert torch.equal(
        next(image_stages(stages.checkpoint, stages.weights_seed).parameters()), next(network.parameters())
    )


def test_splits_choose_what_is_learned_chosen_by_and_measured(checkpoint: Path, streets: Path, tmp_path: Path) -> None:
    splits = ("--train_split", "val", "--test_split", "train", "--validation_split", "held", "--fraction", 0.5)
    assert depth(streets, "--checkpoint", checkpoint, *splits, "--out", tmp_path / "result.json") == 0
    constants = Result.load(tmp_path / "result.json").constants
    assert [constants[name] for name in ("train", "validation", "test", "fraction")] == [1, 1, 3, 0.5]
    assert constants["chosen_by"] == "validation_delta1"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--checkpoint", "nowhere.ckpt"), "found no checkpoint at nowhere.ckpt"),
        ((), "found neither --checkpoint nor --image_network, expected one of them"),
        (
            ("--checkpoint", "x.ckpt", "--image_network", "resnet18"),
            "found both --checkpoint and --image_network, expected one",
        ),
        (("--checkpoint", "x.ckpt", "--weights", "w.pth"), "found the weights w.pth without a network, expected"),
        (("--image_network", "test_vit"), "found an image network with 1 stage, expected maps of two strides or more"),
        (("--image_network", "resnet18", "--weights", "nowhere.pth"), "found no file nowhere.pth, expected weights"),
        (("--image_network", "resnet18", "--test_split", "later"), "later.txt"),
        (("--image_network", "resnet18", "--images", "false"), "found no image in 0, expected at least one"),
        (
            ("--image_network", "resnet18", "--recipe.cut", "[352,1216]"),
            "found an image of 64×64 pixels in 0, expected at",
        ),
        (("--image_network", "resnet18", "--test_split", "train"), "in 'train', too, expected splits that share none"),
        (("--image_network", "resnet18", "--fraction", "0.3"), "found a label fraction of 0.3"),
    ],
)
def test_what_cannot_be_measured_is_one_line(
    arguments: tuple[object, ...], told: str, streets: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert depth(streets, *arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert told in line and "expected" in line


def test_a_file_without_an_image_network(streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert depth(streets, "--checkpoint", write_checkpoint(tmp_path / "last.ckpt", None)) == 2
    assert "found a point encoder without an image network" in capsys.readouterr().err


def test_frames_of_the_pre_training_are_refused(
    branch: PixelEncoder, streets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"data": {"dataset": {"class_path": "folder", "init_args": {"root": str(streets), "split": "val"}}}}
    path = write_checkpoint(tmp_path / "last.ckpt", branch, config)
    assert depth(streets, "--checkpoint", path) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "found 2 frames of streets in what" in line and "--allow_overlap true" in line
    assert depth(streets, "--checkpoint", path, "--allow_overlap", "true") == 0
    assert depth(streets, "--checkpoint", path, "--random_init", "true") == 0
    assert depth(streets, "--checkpoint", path, "--test_split", "held") == 0


def test_the_configuration_of_kitti_is_read(capsys: pytest.CaptureFixture[str]) -> None:
    config = Path(__file__).parents[3] / "configs" / "evaluate" / "depth_kitti.yaml"
    assert main(["evaluate", "depth", "--config", str(config), "--image_network", "resnet18"]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "data/kitti_depth_annotated" in line or "data/kitti_eigen_train.txt" in line


def test_depth_in_a_study(
    branch: PixelEncoder, checkpoint: Path, streets: Path, tmp_path: Path, drawn: list[Report]
) -> None:
    out, bare = tmp_path / "study", write_checkpoint(tmp_path / "bare.ckpt", None)
    words = ["evaluate", "all", "--checkpoint", f"A={checkpoint}", "--checkpoint", f"B={bare}", "--random_init", "true"]
    words += f"--dataset folder --root {streets} --protocols depth --epochs 2 --device cpu --out {out}".split()
    words += "--settings.depth.recipe.batch_size 1".split()
    assert main(words) == 0
    found = json.loads((out / "results.json").read_text())
    rows = {row["name"]: row["cells"] for row in found["table"]}
    assert list(rows) == ["A", "B", "random initialization (MinkUNet)"]
    title = "linear probe depth δ1, streets"
    assert rows["B"] == {} and [entry["method"] for entry in found["left_out"]] == ["B"]
    folders = {run["method"]: run["metrics"] for run in found["runs"]}
    assert rows["A"][title]["mean"] == folders["A"]["delta1"]
    assert folders["random initialization (MinkUNet)"]["abs_rel"] != folders["A"]["abs_rel"]
    section = drawn[0].sections[0]
    assert [picture.caption for picture in section.pictures] == ["3"]
    assert section.pictures[0].data.startswith(b"\x89PNG")
    assert [curve.name for curve in section.curves] == ["depth: train loss"]
