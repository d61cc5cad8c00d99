"""The encoders in the wheel: what the table says of them is so, and their training gives the same bytes each time."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

import pytest
import torch

from crosspoint import load_pretrained
from crosspoint.hub.table import IN_WHEEL, SHIPPED, PublishedModel, published_models
from tools import shipped_encoders

ROOT = Path(__file__).parents[2]
MODELS = [model for model in published_models() if model.file.startswith(IN_WHEEL)]
MOST = 2_000_000  # bytes of a file
WITHIN = 2.0  # points: other processors and versions add in another order, and the probe learns from that


def test_each_recipe_has_its_file_and_each_file_its_row() -> None:
    assert {model.name for model in MODELS} == {*shipped_encoders.RECIPES}
    assert {path.name for path in SHIPPED.iterdir()} == {model.file.removeprefix(IN_WHEEL) for model in MODELS}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_row_of_the_table_is_true(model: PublishedModel) -> None:
    content = shipped_encoders.file_of(model.name).read_bytes()
    assert hashlib.sha256(content).hexdigest() == model.sha256 and len(content) < MOST
    assert model.license == "mit" and "MIT License" in (ROOT / "LICENSE").read_text()
    for command, only_measured in ((model.command, "false"), (model.measured_by, "true")):
        words = shlex.split(command or "")
        assert words[:3] == ["python", "-m", "tools.shipped_encoders"]
        given = shipped_encoders.arguments(words[3:])
        assert (given.name, given.only_measure) == (model.name, only_measured)
    assert model.figures.keys() == model.random.keys()
    assert all(model.figures[name] > model.random[name] for name in model.figures)


def check_worth(name: str) -> None:
    (model,) = (model for model in MODELS if model.name == name)
    assert shipped_encoders.measure(name, load_pretrained(name)) == pytest.approx(model.figures, abs=WITHIN)


def test_the_encoder_of_shapes_is_worth_what_the_table_says() -> None:
    check_worth("dgcnn-shapes")


def test_the_encoder_of_streets_is_worth_what_the_table_says() -> None:
    check_worth("minkunet-streets")


def test_a_training_gives_the_same_bytes_again(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    digests = set()
    for number in range(2):
        out = tmp_path / str(number)
        last = shipped_encoders.train_shapes(out, epochs=1, shapes=2)
        shipped_encoders._run(["export", last, out / "made.safetensors"])
        digests.add(hashlib.sha256((out / "made.safetensors").read_bytes()).hexdigest())
    assert len(digests) == 1
    (made, other) = (load_pretrained(tmp_path / f"{number}" / "made.safetensors") for number in range(2))
    assert shipped_encoders.distance("dgcnn-shapes", made, other) == 0
    shipped = load_pretrained("dgcnn-shapes")
    assert shipped_encoders.distance("dgcnn-shapes", made, shipped) > 0.01  # so short a training is another network
    assert made.encoder.config == shipped.encoder.config and made.inputs == shipped.inputs
