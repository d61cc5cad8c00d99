"""What commands say to somebody who does not know them: what must be given, what is missing, what takes days."""

from __future__ import annotations

from pathlib import Path

import pytest

import crosspoint.cli.pretrain
from crosspoint.cli.main import main


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    """The line of a command that ends with exit code 2."""
    assert main([*map(str, words)]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed.removeprefix("crosspoint: error: ").strip()


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("render", "meshes"), "missing argument OUT: see crosspoint render --help"),
        (("render",), "missing arguments SOURCE, OUT: see crosspoint render --help"),
        (("show",), "missing argument DATASET: see crosspoint show --help"),
        (
            ("evaluate", "linear", "--checkpoint", "a.ckpt"),
            "missing arguments --dataset, --root: see crosspoint evaluate linear --help",
        ),
        (
            ("render", "meshes", "out", "--up_axis", "-y"),
            "found no value after --up_axis, expected one: give --up_axis VALUE, or --up_axis=VALUE where it begins "
            "with -",
        ),
    ],
)
def test_what_is_missing_is_named_as_it_is_typed(
    words: tuple[str, ...], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, *words) == line


def helped(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return " ".join(capsys.readouterr().out.split())


def test_help_marks_what_must_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    printed = helped(capsys, "evaluate", "linear")
    start = "usage: crosspoint evaluate linear --checkpoint CHECKPOINT --dataset DATASET --root ROOT [--key value …]"
    assert printed.startswith(start)
    assert printed.count("(required)") == 3
    assert "--root folder of the dataset (required)" in printed
    assert helped(capsys, "render").startswith("usage: crosspoint render SOURCE OUT [--key value …]")


def test_help_of_pretrain_tells_of_scenes_and_marks_what_the_dataset_needs(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pretrain", "--help"]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "on scenes (methods ppkt, slidr, simipu, olivine, cmcr, regression)" in printed
    assert "--data.dataset.root folder of the set. (required)" in printed


def test_a_published_recipe_is_not_begun_on_a_cpu_by_leaving_out_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(crosspoint.cli.pretrain, "chosen_device", lambda name: "cpu")
    words: tuple[object, ...] = (
        "pretrain",
        "--method",
        "slidr",
        "--data.dataset",
        "synthetic",
        "--out",
        tmp_path / "run",
    )
    words += ("--encoder.stem", 4, "--encoder.encoder", "[4,8]", "--encoder.encoder_blocks", "[1,1]")
    words += ("--encoder.decoder", "[8,8]", "--encoder.decoder_blocks", "[1,1]", "--image_encoder.network", "resnet18")
    line = said(capsys, *words).split("teaches")[-1].splitlines()[-1]
    assert line.startswith("found no GPU and no configuration, so SLidR's published recipe of 50 epochs would run")
    assert "--training.epochs N" in line and "--compute.accelerator cpu" in line and not (tmp_path / "run").exists()
