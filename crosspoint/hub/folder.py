"""A folder with all that belongs to an encoder: weights, settings, and a card that says what it is and what it can."""

from __future__ import annotations

import json
from pathlib import Path

from crosspoint.checkpoints.pretrained import Pretrained, save_encoder
from crosspoint.checkpoints.record import Record
from crosspoint.hub.card import model_card
from crosspoint.hub.places import WEIGHTS, import_hub
from crosspoint.plugins import describe
from crosspoint.renderers.atomic import atomic_write

SETTINGS, CARD = "config.json", "README.md"


def save_pretrained(
    pretrained: Pretrained,
    folder: str | Path,
    *,
    results: str | Path | None = None,
    row: str | None = None,
    license: str | None = None,
    command: str | None = None,
) -> Path:
    """Write an encoder for others: `model.safetensors`, `config.json` and `README.md`, which `load_pretrained` reads.

    Args:
        pretrained: from `load_pretrained`.
        folder: new, or empty.
        results: `results.json` of `crosspoint evaluate all`, whose figures the card has.
        row: name of its row there; None where there is one measured row that is no random initialization.
        license: of the weights; None says that none is given.
        command: that trained them.

    Raises:
        FileNotFoundError: if there are no such results.
        ValueError: if the folder holds files, or the results have no such row.
    """
    out = Path(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ValueError(f"found {out} with files in it, expected a new folder: choose another one")
    record = Record(describe(pretrained.encoder), pretrained.inputs, config=pretrained.config)
    weights = sum(weight.numel() for weight in pretrained.encoder.parameters())
    card = model_card(record, weights=weights, results=results, row=row, license=license, command=command)
    save_encoder(pretrained.encoder, out / WEIGHTS, pretrained.inputs)
    for name, text in ((SETTINGS, json.dumps(record.as_dict(), indent=2)), (CARD, card)):
        with atomic_write(out / name) as file:
            file.write(f"{text.rstrip()}\n".encode())
    return out


def push_to_hub(folder: str | Path, repo: str, *, private: bool = True) -> str:
    """Send a folder of `save_pretrained` to Hugging Face's hub; `load_pretrained("hf://owner/repo")` reads it there.

    Args:
        folder: of `save_pretrained`; its three files are sent.
        repo: owner/name; made where there is none.
        private: whether a new one is seen by its owner alone.

    Returns:
        The address hf://owner/name.

    Raises:
        FileNotFoundError: if the folder lacks a file.
        ImportError: if huggingface_hub is not installed.
        OSError: if there is no network, or no permission.
    """
    path = Path(folder)
    for name in (WEIGHTS, SETTINGS, CARD):
        if not (path / name).is_file():
            raise FileNotFoundError(f"found no {name} in {path}, expected a folder of save_pretrained: write it first")
    hub = import_hub()
    try:
        client = hub.HfApi()
        client.create_repo(repo, private=private, exist_ok=True)
        client.upload_folder(repo_id=repo, folder_path=str(path), allow_patterns=[WEIGHTS, SETTINGS, CARD])
    except Exception as error:  # of the hub, of its client, of the network: they have no common class
        why = " ".join(str(error).split())[:160] or type(error).__name__
        raise OSError(
            f"found that {repo} on Hugging Face's hub cannot be written to ({why}), expected a network and permission: "
            "log in with `hf auth login`"
        ) from error
    return f"hf://{repo}"
