from __future__ import annotations

import logging
import shutil
import socket
import sys
import time
from collections.abc import Callable
from importlib.metadata import requires
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from crosspoint.scene.labels.foundation_model import LEAST, FoundationModel, import_transformers

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def published(network: Callable[[str], str], hub: Path) -> str:
    """A hub id in the cache, as a download leaves it."""
    repository = hub / "models--lab--segformer"
    shutil.copytree(network("segformer"), repository / "snapshots" / COMMIT)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(COMMIT)
    return "lab/segformer"


@pytest.fixture
def no_network(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody said so beforehand; whoever waits for it to come back fails."""
    import huggingface_hub

    def unknown(*_: object, **__: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setattr(time, "sleep", lambda _: pytest.fail("waits for the network"))


def test_a_hub_id_in_the_cache_is_known_by_its_commit(published: str, no_network: None) -> None:
    import transformers

    for revision in (None, "main", COMMIT):
        model = FoundationModel(published, revision)
        assert model.identity() == {"model": "lab/segformer", "revision": COMMIT}
        assert model.processor(transformers.AutoImageProcessor).size == {"height": 32, "width": 64}
        found = model.network(transformers.AutoModelForSemanticSegmentation, "cpu")
        assert type(found).__name__ == "SegformerForSemanticSegmentation"
        assert not found.training


@pytest.mark.parametrize(("revision", "named"), [(None, "facebook/sam,"), ("v2", "facebook/sam at v2,")])
def test_a_hub_id_without_a_network_is_one_line_that_says_how_to_fetch_it(hub: Path, revision: str, named: str) -> None:
    model = FoundationModel("facebook/sam", revision)
    with pytest.raises(FileNotFoundError, match=rf"found no {named} .*run `hf download facebook/sam`") as error:
        model.identity()
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 600


def test_a_network_that_is_down_is_seen_at_once(no_network: None) -> None:
    with pytest.raises(FileNotFoundError, match=r"found no facebook/sam, .*\(.*Name or service not known\)"):
        FoundationModel("facebook/sam").config()


def test_a_download_that_was_not_finished(published: str, hub: Path) -> None:
    import transformers

    (weights,) = hub.rglob("model.safetensors")
    weights.unlink()
    model = FoundationModel(published)
    assert model.config().model_type == "segformer"
    with pytest.raises(FileNotFoundError, match=r"found no lab/segformer, .*run `hf download lab/segformer`"):
        model.network(transformers.AutoModelForSemanticSegmentation, "cpu")


def test_another_revision_than_the_one_in_the_cache_is_not_taken(published: str) -> None:
    with pytest.raises(FileNotFoundError, match="found no lab/segformer at v2"):
        FoundationModel(published, "v2").identity()


def test_a_folder_is_known_by_what_is_in_it(network: Callable[[str], str], tmp_path: Path) -> None:
    first, second = tmp_path / "one" / "net", tmp_path / "two" / "net"
    for folder in (first, second):
        shutil.copytree(network("segformer"), folder)
    (second / "README.md").write_text("of no account")
    known = FoundationModel(str(first)).identity()
    assert known == FoundationModel(str(second)).identity()
    assert (known["model"], len(known["sha256"])) == ("net", 64)
    weights = second / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x01")
    assert FoundationModel(str(second)).identity() != known


@pytest.mark.parametrize("name", ["/no/such/folder", "./net", "net", "a/b/c", "~/net"])
def test_a_folder_that_is_not_there(hub: Path, name: str) -> None:
    with pytest.raises(FileNotFoundError, match=f"found no folder {name}, expected one, or a hub id"):
        FoundationModel(name).config()


def test_a_folder_has_no_revision_and_must_hold_a_network(hub: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"found the revision v1 of the folder .*, expected it for a hub id"):
        FoundationModel(str(tmp_path), "v1").config()
    with pytest.raises(ValueError, match=r"found no network that can be read in .* \(.*\), .*: fetch it anew"):
        FoundationModel(str(tmp_path)).config()


def test_weights_of_16_bits_are_widened_and_missing_ones_are_named(
    network: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from safetensors.torch import load_file, save_file
    from transformers import AutoModelForSemanticSegmentation

    folder = tmp_path / "net"
    shutil.copytree(network("segformer"), folder)
    weights = {name: tensor.half() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with caplog.at_level(logging.WARNING, "crosspoint"):
        found = FoundationModel(str(folder)).network(AutoModelForSemanticSegmentation, "cpu")
    assert {tensor.dtype for tensor in found.state_dict().values()} <= {torch.float32, torch.int64}
    torch.testing.assert_close(
        found.state_dict()["decode_head.classifier.weight"], weights["decode_head.classifier.weight"].float()
    )
    assert not caplog.records
    del weights["decode_head.classifier.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with caplog.at_level(logging.WARNING, "crosspoint"):
        FoundationModel(str(folder)).network(AutoModelForSemanticSegmentation, "cpu")
    assert "found no weights for 1 parts of" in caplog.text
    assert "decode_head.classifier.weight" in caplog.text


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    remedy = r"expected .* for weak labels: pip install 'crosspoint3d\[labels\]'"
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=f"found no working transformers .*, {remedy}"):
        import_transformers()
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(__version__="4.57.1"))
    with pytest.raises(ImportError, match=f"found transformers 4.57.1, {remedy}"):
        import_transformers()


def test_the_extra_asks_for_the_version_that_is_checked() -> None:
    (asked,) = [each for each in map(Requirement, requires("crosspoint3d")) if each.name == "transformers"]
    assert asked.specifier == SpecifierSet(f">={LEAST}")
