"""Files of weights: read without unpickling more than tensors and plain containers, and written whole."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from crosspoint.checkpoints.pickles import LEGACY_PARTS, check_pickle
from crosspoint.renderers.archives import ALWAYS, check_zip
from crosspoint.renderers.atomic import atomic_write
from crosspoint.renderers.files import FAULTS, regular_file, short
from crosspoint.renderers.json_object import JsonObject

SAFETENSORS_FAULTS: tuple[type[Exception], ...] = (SafetensorError, *FAULTS)
MOST_RATIO = 2.0  # of an archive's members to its bytes: torch packs none


def require_file(path: str | Path) -> Path:
    """The path, if there is such a file; raises FileNotFoundError if not, ValueError for a folder or a pipe.

    Folders of `save_pretrained`, names of published weights and hf://owner/repo become the file that they stand for.
    """
    from crosspoint.hub.places import located  # which reads files by what lies beside this module

    path = located(path)
    if not path.exists() and not path.is_symlink():
        raise FileNotFoundError(f"found no checkpoint at {path}, expected a file: check the path")
    regular_file(path, "a checkpoint")
    return path


def strip_prefix(weights: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): weight for name, weight in weights.items() if name.startswith(prefix)}


def load_weights_strict(network: nn.Module, weights: Mapping[str, Tensor], path: Path, name: str) -> None:
    """Load weights into a network in place; raises ValueError, which says its name, if they are another one's."""
    own = network.state_dict()
    for key, weight in weights.items():
        if not isinstance(weight, Tensor):
            raise ValueError(f"found {short(weight)} for {key} in {path}, expected a tensor of {name}: save it again")
        counter = key.endswith("num_batches_tracked") and not weight.is_complex()  # which some codes keep as a float
        if key in own and _kind(weight) != _kind(own[key]) and not counter:
            raise ValueError(
                f"found {key} of {weight.dtype} in {path}, expected {own[key].dtype} as {name} has it: save it again"
            )
        if weight.is_floating_point() and key in own and not bool(weight.isfinite().all()):
            raise ValueError(
                f"found NaN or infinity in {key} of {path}, expected finite weights: the training diverged, "
                "take an earlier checkpoint"
            )
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(
            f"found weights in {path} that do not fit {name} ({_first_line(error)}), expected a checkpoint of this "
            "architecture: choose the one it was trained with"
        ) from error


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Everything in a torch file that holds tensors and plain containers only.

    What it would take is looked at before it is loaded: what its archive unpacks to, and what its pickle builds.

    Raises:
        ValueError: if the file is damaged, or would need code of its own to be read, or far more memory than it has
            bytes.
    """
    try:
        _check_sizes(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
        _check_tensors(content, path)
    except UnpicklingError as error:
        said = str(error)
        if said.startswith("it "):  # ours
            raise ValueError(f"found a pickle in {path} that is no checkpoint ({said}), expected tensors") from None
        raise ValueError(
            f"found objects in {path} that only their own code can read, expected tensors and plain containers: "
            "save the network's state_dict instead"
        ) from error
    except FAULTS as error:
        if str(error).startswith("found "):
            raise
        raise ValueError(
            f"found {path} unreadable ({_first_line(error)}), expected a torch checkpoint: fetch or save it again"
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f"found a {type(content).__name__} in {path}, expected a state_dict: save one")
    return content


def _check_sizes(path: Path) -> None:
    """Look at the archive and its pickle, or at the pickles that an older file begins with."""
    with path.open("rb") as file:
        if file.read(4) == b"PK\x03\x04":
            check_zip(file, path, "a torch checkpoint", MOST_RATIO * path.stat().st_size)
            with zipfile.ZipFile(file) as archive:
                for member in archive.infolist():
                    if member.filename.endswith(".pkl"):
                        check_pickle(io.BytesIO(archive.read(member)))
            return
        file.seek(0)
        for part in range(LEGACY_PARTS):
            try:
                check_pickle(file)
            except ValueError:  # an archive of TorchScript, or numbers; of a damaged first part torch says more
                if part == 0:
                    raise
                return


def _check_tensors(content: object, path: Path) -> None:
    """Make sure that no tensor stands for more numbers than are stored: a stride of 0 repeats one for ever."""
    for each in leaves(content):
        if isinstance(each, Tensor) and each.layout == torch.strided:
            size = each.numel() * each.element_size()
            if size > max(ALWAYS, each.untyped_storage().nbytes()):
                raise ValueError(
                    f"found a tensor of shape {tuple(each.shape)} in {path} of which "
                    f"{each.untyped_storage().nbytes():,} bytes are stored, expected {size:,}: save it contiguous"
                )


def leaves(content: object) -> Iterator[object]:
    """All that dicts, lists and tuples hold at any depth, which are none themselves."""
    waiting = [content]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list | tuple):
            waiting += each
        else:
            yield each


def _kind(weight: Tensor) -> str:
    return "complex" if weight.is_complex() else "real" if weight.is_floating_point() else "whole"


def read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Weights and metadata of a safetensors file.

    Raises:
        ValueError: if it cannot be read.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})
    except SAFETENSORS_FAULTS as error:
        raise ValueError(
            f"found {path} unreadable ({_first_line(error)}), expected safetensors: export it again"
        ) from error


def write_safetensors(path: Path, weights: Mapping[str, Tensor], key: str, record: JsonObject) -> None:
    """Write weights, with a record as JSON under a key of the metadata."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}
    with atomic_write(path) as file:
        file.write(save(plain, metadata={key: json.dumps(record)}))


def _first_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]
