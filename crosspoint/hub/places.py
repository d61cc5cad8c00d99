"""Places of weights that are called by a name: a folder, the table of published ones, Hugging Face's hub."""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from crosspoint.hub.table import IN_WHEEL, SHIPPED, PublishedModel, published_models
from crosspoint.renderers.atomic import atomic_write

WEIGHTS = "model.safetensors"  # of a folder, and of a repository on the hub
HUB = re.compile(r"hf:/{1,2}(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?")  # a Path has one slash
SECONDS = 30  # until a server must have answered


def located(path: str | Path) -> Path:
    """The file that a user calls by a path, a folder of `save_pretrained`, hf://owner/repo, or a name of the table.

    A path that exists is taken before a name; what is none of these comes back as it is.

    Raises:
        ImportError: if a package for the hub is not installed.
        OSError: if a file is in no cache, and there is no network.
        ValueError: if an address is none, or a file is not the one that was published.
    """
    text = str(path)
    if text.startswith("hf:"):
        return from_hub(text)
    place = Path(path)
    if place.is_dir() and (place / WEIGHTS).is_file():
        return place / WEIGHTS
    if not place.exists() and place.parent == Path("."):
        for model in published_models():
            if model.name == text:
                return fetched(model)
    return place


def from_hub(address: str) -> Path:
    """The weights of a repository on Hugging Face's hub, from its cache where they are there.

    Args:
        address: hf://owner/repo, or hf://owner/repo@revision.
    """
    found = HUB.fullmatch(address)
    if found is None:
        raise ValueError(f"found {address}, expected hf://owner/repo, or hf://owner/repo@revision: check the address")
    hub = import_hub()
    try:
        return Path(hub.hf_hub_download(found["repo"], WEIGHTS, revision=found["revision"]))
    except Exception as error:  # of the hub, of its client, of the network: they have no common class
        raise OSError(
            f"found no {WEIGHTS} of {found['repo']} on Hugging Face's hub ({_why(error)}), expected it there or in its "
            "cache: check the name and the network, or give a file"
        ) from error


def fetched(model: PublishedModel) -> Path:
    """The file of an entry of the table: in the package, or in the cache once it was fetched.

    The cache is $XDG_CACHE_HOME/crosspoint, or ~/.cache/crosspoint.
    """
    if model.file.startswith(IN_WHEEL):
        return _shipped(model)
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = home / "crosspoint" / model.sha256[:16] / WEIGHTS
    if not kept.is_file():
        content = from_hub(model.file).read_bytes() if model.file.startswith("hf:") else _read(model)
        _check(content, model, model.file)
        with atomic_write(kept) as file:
            file.write(content)
    else:
        _check(kept.read_bytes(), model, str(kept))
    return kept


def import_hub() -> Any:
    """The package huggingface_hub; raises ImportError in one line if it is not installed."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"found no huggingface_hub ({error}), expected it for hf:// addresses: pip install 'crosspoint3d[hub]'"
        ) from error
    return huggingface_hub


def _shipped(model: PublishedModel) -> Path:
    file = SHIPPED / model.file.removeprefix(IN_WHEEL)
    if not file.is_file():
        raise FileNotFoundError(
            f"found no {file}, expected the weights called {model.name}, which come with this package: install it again"
        )
    _check(file.read_bytes(), model, str(file), "install this package again")
    return file


def _read(model: PublishedModel) -> bytes:
    try:
        with urllib.request.urlopen(model.file, timeout=SECONDS) as answer:
            content: bytes = answer.read()
            return content
    except (OSError, urllib.error.URLError) as error:
        raise OSError(
            f"found no way to {model.file} ({_why(error)}), expected a network for the weights called {model.name}: "
            "fetch the file elsewhere, and give its path"
        ) from error


def _check(content: bytes, model: PublishedModel, where: str, remedy: str = "remove it, and fetch it again") -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != model.sha256:
        raise ValueError(
            f"found a file of sha256 {digest[:16]}… at {where}, expected {model.sha256[:16]}…, that of {model.name}: "
            f"{remedy}"
        )


def _why(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
