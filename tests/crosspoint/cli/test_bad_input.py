"""Bad input, as a user types it: one line and exit code 2, and nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from crosspoint import DGCNN, save_encoder
from crosspoint.renderers.sole_writer import sole_writer
from tests.crosspoint.cli.commands import call

CPU = ("--compute.accelerator", "cpu", "--compute.workers", "0")
PRETRAIN = ("pretrain", "--out", "run", "--data.dataset.root")
SMALL = ("--encoder.k", "4", "--encoder.channels", "[8]", "--image_encoder.network", "resnet18", *CPU)
UNWRITABLE = ("--points", "48", "--out", "text.ckpt/a.json")
STUDY = ("evaluate", "all", "--dataset", "rendered", "--root", "VIEWS", "--points", "48", "--out", "study")
BAD = [
    (("rendr",), "found the command 'rendr', expected one of render, embed-views, pretrain"),
    (("render", "a"), "missing argument OUT"),
    (("render", "nowhere", "out"), "found no folder nowhere"),
    (("render", "EMPTY", "out"), "found no mesh"),
    (
        ("render", "MESHES", "out", "--backend", "opengl"),
        "found the backend 'opengl', expected one of raycast, pytorch3d",
    ),
    (("render", "MESHES", "out", "--view", "3"), "did you mean views?"),
    (("render", "MESHES", "out", "--size", "0"), "found size 0"),
    (("pretrain", "nowhere.yaml"), "nowhere.yaml"),
    (("pretrain",), "found no data.dataset.root, expected all that RenderedPairs requires"),
    (("pretrain", "--training.epoch", "3"), "did you mean training.epochs?"),
    (("pretrain", "--encodr", "dgcnn"), "did you mean encoder?"),
    (("pretrain", "--training.epochs", "many"), "found many for training.epochs, expected a whole number"),
    ((*PRETRAIN, "VIEWS", "--training.epochs", "0"), "found training.epochs 0, expected a whole number from 1"),
    ((*PRETRAIN, "VIEWS", "--method.clouds.dropout", "2"), "found dropout 2.0, expected a number from 0 to 1"),
    ((*PRETRAIN, "VIEWS", "--method.projection", "0"), "found projection 0, expected a whole number from 1 to 65,536"),
    ((*PRETRAIN, "VIEWS", "--method.temperature", "1e-30"), "found temperature 1e-30, expected a number from 0.001"),
    ((*PRETRAIN, "VIEWS", "--method.clouds.jitter", ".nan"), "found jitter nan, expected a number from 0"),
    ((*PRETRAIN, "VIEWS", "--method.clouds.jitter", "-1"), "found jitter -1.0, expected a number from 0"),
    ((*PRETRAIN, "VIEWS", "--method.clouds.points", "0"), "found points 0, expected a whole number from 1"),
    ((*PRETRAIN, "VIEWS", "--method.images.size", "1000000"), "found size 1000000, expected a whole number from 1"),
    ((*PRETRAIN, "VIEWS", "--data.dataset.views", "1000000"), "found views 1000000, expected a whole number from 1"),
    ((*PRETRAIN, "VIEWS", "--encoder.embedding", "1000000000000"), "found embedding 1000000000000, expected"),
    ((*PRETRAIN, "VIEWS", "--encoder.embedding", "-4"), "found embedding -4, expected"),
    ((*PRETRAIN, "VIEWS", "--encoder.channels", "[8, 0]"), "found channels 0, expected"),
    ((*PRETRAIN, "VIEWS", "--encoder.channels", "[]"), "found no channels, expected one or more"),
    ((*PRETRAIN, "VIEWS", "--encoder.k", "0"), "found k 0, expected"),
    (
        (*PRETRAIN, "VIEWS", "--encoder.fields", "[normal]"),
        "expected a list, each entry one of normals, colors",
    ),
    ((*PRETRAIN, "VIEWS", "--config", "WRONG"), "found 7 for image_encoder.init_args, expected the arguments as keys"),
    (
        (*PRETRAIN, "VIEWS", "--training.epochs", "1", "--training.learning_rate", ".nan"),
        "found training.learning_rate nan, expected",
    ),
    ((*PRETRAIN, "VIEWS", "--method.clouds.dropot", "2"), "did you mean method.clouds.dropout?"),
    ((*PRETRAIN, "VIEWS", "--method.pairs", "2"), "found the unknown key 'method.pairs', expected one of CrossPoint's"),
    ((*PRETRAIN, "VIEWS", "--encoder", "pointnet", "--encoder.k", "5"), "found the unknown key 'encoder.k'"),
    ((*PRETRAIN, "VIEWS", "--encoder", "dgcn"), "did you mean dgcnn?"),
    ((*PRETRAIN, "VIEWS", "--encoder", "mine.Net"), "found no class mine.Net (No module named 'mine')"),
    ((*PRETRAIN, "VIEWS", "--encoder", "pathlib.Path"), "found pathlib.Path, expected a class that extends"),
    ((*PRETRAIN, "VIEWS", "--encoder.k", "few"), "found few for encoder.k, expected a whole number"),
    ((*PRETRAIN, "VIEWS", "--training.epochs"), "training.epochs"),
    ((*PRETRAIN, "nowhere"), "found no folder nowhere"),
    ((*PRETRAIN, "EMPTY"), "found no set.json"),
    ((*PRETRAIN, "VIEWS", "--data.dataset.split", "val"), "found no split 'val'"),
    ((*PRETRAIN, "VIEWS", "--data.dataset", "shapenet"), "found "),
    (
        (*PRETRAIN, "VIEWS", "--method", "ppkt", "--training.epochs", "1"),
        "found a dataset RenderedPairs, expected LiDAR frames for PPKT",
    ),
    (
        (*PRETRAIN, "VIEWS", *SMALL, "--training.batch_size", "12", "--compute.devices", "2"),
        "found 22 samples for training, 11 for each of 2 processes, and a batch size of 12, expected a batch size from "
        "2 to 11",
    ),
    (("replay", "no.pt"), "found no file"),
    (("evaluate", "linear"), "missing arguments --checkpoint, --dataset, --root"),
    (("evaluate", "linear", "--checkpoint", "no.ckpt", "--dataset", "rendered", "--root", "VIEWS"), "no checkpoint at"),
    (("evaluate", "linear", "--checkpoint", "ENCODER", "--dataset", "modelnet40", "--root", "x"), "expected one of"),
    (
        ("evaluate", "linear", "--checkpoint", "ENCODER", "--dataset", "modelnet40_hdf5", "--root", "VIEWS"),
        "ply_data_train",
    ),
    (("evaluate", "linear", "--checkpoint", "ENCODER", "--dataset", "rendered", "--root", "VIEWS"), "found 64 points"),
    (
        ("evaluate", "linear", "--checkpoint", "ENCODER", "--dataset", "rendered", "--root", "VIEWS", *UNWRITABLE),
        "text.ckpt not writable (Not a directory), expected a folder for a.json: choose another --out",
    ),
    (
        ("evaluate", "linear", "--checkpoint", "ENCODER", "--dataset", "rendered", "--root", "VIEWS", "--points", "0"),
        "found points 0, expected a whole number from 1",
    ),
    (
        ("evaluate", "linear", "--checkpoint", "ENCODER", "--dataset", "rendered", "--root", "VIEWS", "--points", "10"),
        "found clouds of 10 points, expected at least k = 15",
    ),
    (
        ("evaluate", "crossmodal", "--checkpoint", "ENCODER", "--dataset", "rendered", "--root", "VIEWS"),
        "found no image branch in the checkpoint (encoder.safetensors)",
    ),
    (
        ("evaluate", "crossmodal", "--checkpoint", "ENCODER", "--dataset", "modelnet", "--root", "VIEWS"),
        "found no --rendered and the dataset modelnet, expected",
    ),
    (("evaluate", "folds", "--checkpoint", "ENCODER", "--folds", "EMPTY"), "found no folder like 5way_10shot in empty"),
    (("evaluate", "folds", "--checkpoint", "ENCODER"), "found no --folds, expected the folder"),
    (("evaluate", "all", "--checkpoint", "ENCODER"), "missing arguments --dataset, --out"),
    (
        (*STUDY, "--checkpoint", "ENCODER", "--protocols", "linear,svm"),
        "found the protocol 'svm', expected one of linear, knn, retrieval, fewshot, folds, crossmodal",
    ),
    ((*STUDY, "--checkpoint", "ENCODER", "--protocols", "folds"), "found no --folds"),
    ((*STUDY, "--checkpoint", "ENCODER"), "retrieval: found 7 other clouds, expected at least 10"),
    ((*STUDY, "--checkpoint", "ENCODER", "--protocols", "fewshot"), "fewshot: found 8 samples of class 0 (2 such"),
    ((*STUDY, "--checkpoint", "ENCODER", "--checkpoint", "no.ckpt"), "found no checkpoint at no.ckpt"),
    ((*STUDY, "--checkpoints", "ENCODER"), "did you mean checkpoint?"),
    ((*PRETRAIN, "EMPTY", "--data.dataset", "kitti_rew"), "did you mean kitti_raw?"),
    ((*PRETRAIN, "EMPTY", "--data.dataset", "kitti_raw", "--method", "ppkt"), "found no "),
    ((*PRETRAIN, "EMPTY", "--method", "slidr", "--probe.every", "3"), "found "),
    ((*PRETRAIN, "EMPTY", "--data.dataset=renderd"), "expected one of rendered, embedded, shapenet"),
    (("evaluate", "linear", "--checkpoint", "TEXT", "--dataset", "rendered", "--root", "VIEWS"), "found "),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[" ".join(a)[:60] for a, _ in BAD])
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: tuple[str, ...],
    message: str,
    views: Path,
    meshes: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.ckpt").write_text("no checkpoint")
    save_encoder(DGCNN(channels=[8], embedding=8), tmp_path / "encoder.safetensors")
    (tmp_path / "wrong.yaml").write_text("image_encoder: {class_path: resnet, init_args: 7}\n")
    before = sorted(tmp_path.rglob("*"))
    places = {"VIEWS": views, "MESHES": meshes, "EMPTY": "empty", "TEXT": "text.ckpt", "ENCODER": "encoder.safetensors"}
    places["WRONG"] = "wrong.yaml"
    assert call(*(places.get(word, word) for word in arguments)) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    lines = captured.err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("crosspoint: error: ")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "command",
    [("render", "MESHES", "OUT", "--views", 1), ("synthesize", "OUT", "--train", 1, "--val", 1, "--frames", 1)],
    ids=lambda command: command[0],
)
def test_the_second_writer_of_a_folder_is_one_line(
    command: tuple[object, ...], meshes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"MESHES": meshes, "OUT": tmp_path / "out"}
    with sole_writer(tmp_path / "out"):
        before = sorted(tmp_path.rglob("*"))
        assert call(*(places.get(str(word), word) for word in command)) == 2
        assert sorted(tmp_path.rglob("*")) == before
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"found {tmp_path / 'out'} in use by process {os.getpid()} on " in line
