"""The command as a user types it: every command end to end on a few meshes, and what happens on bad input."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from crosspoint import DGCNN, save_encoder
from crosspoint.checkpoints.files import read_checkpoint
from tests.crosspoint.cli.commands import call

CONFIGS = Path(__file__).parents[3] / "configs"


def small_run(views: Path, out: Path) -> dict[str, object]:
    return {
        "out": str(out),
        "data": {"dataset": {"class_path": "rendered", "init_args": {"root": str(views), "split": "train"}}},
        "encoder": {"class_path": "dgcnn", "init_args": {"k": 4, "channels": [8, 8], "embedding": 16}},
        "image_encoder": {"class_path": "resnet", "init_args": {"network": "resnet18"}},
        "method": {"class_path": "crosspoint", "init_args": {"images": {"size": 24}}},
        "training": {"epochs": 1, "batch_size": 4},
        "compute": {"accelerator": "cpu", "workers": 0},
        "probe": {"holdout": 0.25, "every": 1},
    }


def test_render_pretrain_evaluate(
    meshes: Path, views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = [json.loads(line) for line in (views / "failures.jsonl").read_text().splitlines()]
    assert len(failures) == 1
    assert "box_9999.off" in json.dumps(failures[0])
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(small_run(views, tmp_path / "run")))
    assert call("pretrain", config) == 0
    checkpoint = tmp_path / "run" / "best.ckpt"
    assert checkpoint.exists()
    capsys.readouterr()
    out = tmp_path / "linear.json"
    shared = ("--checkpoint", checkpoint, "--dataset", "rendered", "--root", views, "--points", 48)
    assert call("evaluate", "linear", *shared, "--out", out, "--jobs", 1) == 0
    assert "linear_svm/validated" in capsys.readouterr().out
    result = json.loads(out.read_text())
    assert result["constants"]["train"] == 16
    assert result["constants"]["test"] == 8
    assert (result["constants"]["points"], result["constants"]["random_init"]) == (48, False)
    assert result["constants"]["encoder"] == {"k": 4, "channels": [8, 8], "embedding": 16, "fields": None}
    assert call("evaluate", "linear", *shared, "--random_init", "true", "--variant", "paper", "--jobs", 1) == 0
    assert call("evaluate", "fewshot", *shared, "--ways", 2, "--shots", 2, "--queries", 4, "--runs", 3) == 0
    assert "few_shot" in capsys.readouterr().out
    assert call("evaluate", "knn", *shared, "--jobs", 1) == 0
    assert call("evaluate", "retrieval", *shared) == 2  # eight clouds have no tenth neighbor
    assert call("evaluate", "retrieval", *shared, "--split", "train") == 0
    training = ("--recipe.epochs", 1, "--recipe.batch_size", 4, "--resources.accelerator", "cpu")
    assert call("evaluate", "finetune", *shared, "--validation", 0.25, *training) == 0
    printed = capsys.readouterr()
    for protocol in ("knn/validated", "retrieval/within", "finetune/finetuned"):
        assert protocol in printed.out
    assert "found 7 other clouds, expected at least 10, as recall@10 counts them" in printed.err
    assert call("evaluate", "partseg", *shared, *training) == 2
    assert "found no --parts and the dataset rendered" in capsys.readouterr().err
    assert call("evaluate", "crossmodal", *shared, "--split", "train", "--out", tmp_path / "across.json") == 0
    assert "retrieval/across" in capsys.readouterr().out
    across = json.loads((tmp_path / "across.json").read_text())["constants"]
    assert (across["images"], across["shapes"], across["image_size"]) == (48, 16, 24)
    check_study(checkpoint, shared[2:], tmp_path / "study", capsys)
    written = out.read_bytes()
    assert call("evaluate", "linear", *shared, "--out", out) == 2
    assert "already there" in capsys.readouterr().err
    assert out.read_bytes() == written


def check_study(checkpoint: Path, data: tuple[object, ...], out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two copies of a checkpoint as two seeds, in one folder; then the same again, and something else."""
    copy = out.with_name("copy.ckpt")
    shutil.copy(checkpoint, copy)
    command = ("evaluate", "all", "--checkpoint", f"A={checkpoint}", f"--checkpoint=A={copy}", *data, "--out", out)
    small = ("--protocols", "linear,fewshot", "--ways", "[2]", "--shots", "[2]", "--queries", 4, "--runs", 3)
    assert call(*command, *small, "--jobs", 1) == 0
    table = (out / "table.md").read_text()
    assert capsys.readouterr().out.strip() == table.strip()
    assert "| A |" in table and "few-shot 2-way 2-shot" in table
    found = json.loads((out / "results.json").read_text())
    assert [run["seed"] for run in found["runs"]] == [0, 0, 1, 1]
    assert found["table"][0]["cells"]["linear SVM, views"]["runs"] == 2
    assert (out / "report.html").read_text(encoding="utf-8").startswith("<!")
    assert {path.suffix for path in (out / "figures").iterdir()} == {".png"}
    assert "% " not in (out / "table.tex").read_text()  # no published figure is of this data
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert call(*command, *small, "--jobs", 2) == 0
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    capsys.readouterr()
    assert call(*command, *small, "--seed", 3) == 2
    assert "found other settings than those the study in" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_stored_folds_as_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = np.random.default_rng(0)
    for fold in range(2):
        entries = [
            ((generator.normal(size=(30, 6)) * (1, 1 + 9 * way, 1, 1, 1, 1)).astype(np.float32), way, way)
            for way in range(2)
            for _ in range(3)
        ]
        file = tmp_path / "folds" / "2way_3shot" / f"{fold}.pkl"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(pickle.dumps({"train": entries, "test": entries}))
    save_encoder(DGCNN(k=4, channels=[8], embedding=8), tmp_path / "encoder.safetensors")
    command = ("evaluate", "folds", "--checkpoint", tmp_path / "encoder.safetensors", "--folds", tmp_path / "folds")
    assert call(*command, "--points", 30, "--count", 2, "--out", tmp_path / "folds.json") == 0
    assert "folds/svm" in capsys.readouterr().out
    result = json.loads((tmp_path / "folds.json").read_text())
    assert result["metrics"] == {"2way_3shot": 100.0, "2way_3shot_std": 0.0}  # what was learnt is asked
    assert (result["constants"]["dataset"], result["constants"]["points"]) == ("modelnet40/folds", 30)
    assert call(*command, "--points", 30) == 2
    assert "8 of 10 folds are missing" in capsys.readouterr().err


def test_flags_override_yaml(views: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(small_run(views, tmp_path / "run")))
    assert call("pretrain", config, "--out", tmp_path / "other", "--seed", 7, "--training.batch_size", 3) == 0
    saved = yaml.safe_load((tmp_path / "other" / "config.yaml").read_text())
    assert (saved["seed"], saved["training"]["batch_size"], saved["encoder"]["init_args"]["k"]) == (7, 3, 4)
    assert call("pretrain", tmp_path / "other" / "config.yaml", "--resume", "true") == 0  # what is saved can be run


def test_what_a_run_without_images_saves_can_be_run(views: Path, tmp_path: Path) -> None:
    tree, config = small_run(views, tmp_path / "run"), tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(tree))
    assert call("pretrain", config, "--method.cross_weight", 0) == 0
    saved = tmp_path / "run" / "config.yaml"
    assert call("pretrain", saved, "--resume", "true") == 0
    kept = yaml.safe_load(saved.read_text())
    assert kept["image_encoder"] is None and "image_encoder" not in kept["method"]["init_args"]
    kept["method"]["init_args"]["image_encoder"] = None  # as earlier versions wrote it
    config.write_text(yaml.safe_dump(kept))
    assert call("pretrain", config, "--resume", "true") == 0


def test_two_processes_share_the_pairs_of_an_epoch(views: Path, tmp_path: Path) -> None:
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(small_run(views, tmp_path / "run")))
    command = [sys.executable, "-m", "crosspoint.cli", "pretrain", str(config), "--compute.devices", "2"]
    done = subprocess.run(
        [*command, "--training.batch_size", "3"],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert read_checkpoint(tmp_path / "run" / "last.ckpt")["global_step"] == 2  # 12 pairs, 6 for each, 3 at a time
    done = subprocess.run(
        [*command, "--training.batch_size", "7", "--out", str(tmp_path / "other")], capture_output=True, text=True
    )
    assert done.returncode == 2
    said = [line for line in done.stderr.splitlines() if line.startswith("crosspoint: error: ")]
    assert len(said) == 1 and "found 12 samples for training, 6 for each of 2 processes" in said[0]
    assert not (tmp_path / "other").exists()


def test_print_config_round_trip(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert call("pretrain", "--training.epochs", 3, "--data.dataset.root", "views", "--print_config") == 0
    printed = capsys.readouterr().out
    assert yaml.safe_load(printed)["training"]["epochs"] == 3
    assert yaml.safe_load(printed)["encoder"]["init_args"]["k"] == 15
    (tmp_path / "printed.yaml").write_text(printed)
    assert call("pretrain", tmp_path / "printed.yaml", "--print_config") == 0
    assert yaml.safe_load(capsys.readouterr().out) == yaml.safe_load(printed)


@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_shipped_configurations_are_valid(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("pretrain", config, "--print_config") == 0
    printed = capsys.readouterr()
    known, shipped = yaml.safe_load(printed.out), yaml.safe_load(config.read_text())
    assert printed.err == ""  # no old names
    assert shipped["out"] == known["out"]


def test_there_are_shipped_configurations() -> None:
    shipped = {path.stem for path in CONFIGS.glob("*.yaml")}
    assert {"crosspoint_shapenet", "objects40_cpu", "objects40_gpu", "scene_ppkt_kitti", "scene_slidr_kitti"} <= shipped


LONG_HELP = {("pretrain",): 86, ("evaluate", "semseg"): 66, ("evaluate", "partseg"): 60}  # lines
LONG_HELP |= {("evaluate", name): 70 for name in ("detection", "panoptic", "depth")}


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("render",),
        ("pretrain",),
        *[("evaluate", name) for name in ("all", "linear", "fewshot", "folds", "knn")],
        *[("evaluate", name) for name in ("retrieval", "crossmodal", "finetune", "partseg", "semseg")],
        *[("evaluate", name) for name in ("detection", "panoptic", "depth")],
        ("show",),
        ("synthesize",),
        ("quickstart",),
    ],
)
def test_help_fits_a_screen(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    try:
        code = call(*command, "--help")
    except SystemExit as exit_:
        code = int(exit_.code or 0)
    assert code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= LONG_HELP.get(command, 58)
    assert max(map(len, lines)) <= 120
    assert lines[0].startswith("usage: crosspoint")


def test_unknown_key_in_yaml_names_the_nearest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "wrong.yaml").write_text("training:\n  batchsize: 3\n")
    assert call("pretrain", tmp_path / "wrong.yaml") == 2
    assert "did you mean training.batch_size?" in capsys.readouterr().err


def test_debug_shows_the_traceback() -> None:
    with pytest.raises(FileNotFoundError, match="found no folder nowhere"):
        call("--debug", "render", "nowhere", "out")


def test_ctrl_c_while_libraries_are_imported_is_one_line() -> None:
    """The command is there before torch is; what is interrupted then is the import that a command asks for."""
    code = (
        "import sys\n"
        "from crosspoint.cli.main import main\n"
        "assert 'torch' not in sys.modules\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "sys.exit(main(['pretrain', '--help']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == "crosspoint: interrupted; what was finished is kept\n"


@pytest.mark.parametrize(("error", "said"), [(RecursionError, "nested too deeply"), (MemoryError, "larger than")])
def test_what_no_check_has_seen_is_one_line(
    error: type[BaseException], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def raises(words: object) -> int:
        raise error

    monkeypatch.setattr("crosspoint.cli.main._run", raises)
    assert call("doctor") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"crosspoint: error: found something {said}") and "--debug" in line
    with pytest.raises(error):
        call("--debug", "doctor")


def test_a_truncated_image_is_named(views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "views"
    shutil.copytree(views, broken)
    for shard in broken.glob("train-*.tar"):
        content = shard.read_bytes()
        marker = content.find(b"IDAT")
        while marker >= 0:
            content = content[: marker + 8] + b"\0" * 8 + content[marker + 16 :]
            marker = content.find(b"IDAT", marker + 8)
        shard.write_bytes(content)
    config = tmp_path / "run.yaml"
    config.write_text(yaml.safe_dump(small_run(broken, tmp_path / "run")))
    assert call("pretrain", config) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "found a damaged image" in lines[-1]
    assert "train-000000.tar" in lines[-1]


def test_doctor_and_version_as_commands() -> None:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    for arguments, expected in ((["--version"], "crosspoint 0."), (["doctor"], "renderer raycast")):
        done = subprocess.run(
            [sys.executable, "-m", "crosspoint.cli", *arguments], capture_output=True, text=True, env=environment
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout


OLD = """
data: {dataset: rendered, root: VIEWS, split: train, workers: 0, holdout: 0.25}
encoder: {network: dgcnn, k: 4, channels: [8, 8], embedding: 16}
image_encoder: {network: resnet18}
method: {images: {size: 24}}
training: {epochs: 1, batch_size: 4, accelerator: cpu, probe_every: 1, optimiser: adam}
"""


def test_keys_and_flags_of_version_0_1_are_read_with_a_warning(
    views: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "old.yaml").write_text(OLD.replace("VIEWS", str(views)))
    (tmp_path / "new.yaml").write_text(yaml.safe_dump(small_run(views, tmp_path / "run")))
    printed = []
    for name, flags in (("old", ("--training.optimiser", "adam")), ("new", ("--training.optimizer", "adam"))):
        assert call("pretrain", tmp_path / f"{name}.yaml", *flags, "--out", tmp_path / "run", "--print_config") == 0
        printed.append(yaml.safe_load(capsys.readouterr().out))
    assert printed[0] == printed[1]
    said = caplog.text
    assert "data.holdout is now probe.holdout" in said and "--training.optimiser is now --training.optimizer" in said
