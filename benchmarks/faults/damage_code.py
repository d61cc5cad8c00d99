"""Damage that attacks: code in pickles, bombs of hashes and zips, names that lead out of an archive."""

from __future__ import annotations

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from benchmarks.faults.damage import Damage

BOMB = 6 * 2**30  # bytes that a zip bomb of some megabytes becomes


class Canary:
    """An object whose unpickling would write a file.

    Args:
        case: folder of the case.
        how: os.system, eval or exec.
    """

    def __init__(self, case: Path, how: str = "system") -> None:
        self.case, self.how = case, how

    def __reduce__(self) -> Any:
        """What unpickling calls."""
        import os

        if self.how == "system":
            return os.system, (f"touch {self.case}/canary",)
        return (eval if self.how == "eval" else exec), (f"open({str(self.case / 'canary')!r}, 'w')",)


def code(path: str, how: str, protocol: int = 2) -> Damage:
    """A pickle that carries code."""

    def change(folder: Path) -> None:
        (folder / path).write_bytes(pickle.dumps({"state_dict": Canary(folder, how)}, protocol=protocol))

    return Damage(f"{path}: a pickle that calls {how}", "refused", change)


def torch_code(path: str) -> Damage:
    """A torch file whose pickle carries code."""

    def change(folder: Path) -> None:
        import torch

        torch.save({"state_dict": Canary(folder)}, folder / path)

    return Damage(f"{path}: a torch file that calls os.system", "refused", change)


def hash_bomb(path: str, levels: int = 60, torch_file: bool = False) -> Damage:
    """A pickle of 300 bytes with a tuple in a tuple, each twice, as a key: its hash takes 2⁶⁰ steps."""
    body = (
        b"\x80\x02}"
        + b")"
        + b"".join(b"q" + bytes([n]) + b"h" + bytes([n]) + b"\x86" for n in range(levels))
        + b"K\x01s."
    )

    def change(folder: Path) -> None:
        if not torch_file:
            (folder / path).write_bytes(body)
            return
        with zipfile.ZipFile(folder / path, "w") as file:
            file.writestr("archive/data.pkl", body)
            file.writestr("archive/version", "3\n")

    return Damage(f"{path}: hash bomb{' in a zip' * torch_file}", "refused", change)


def zip_bomb(path: str, member: str | None = None, head: bytes = b"") -> Damage:
    """The largest member of a zip file, or one of a name, replaced by zeros that fill gigabytes once unpacked."""

    def change(folder: Path) -> None:
        whole = folder / path
        with zipfile.ZipFile(whole) as file:
            members = {name: file.read(name) for name in file.namelist()}
        chosen = member or max(members, key=lambda name: len(members[name]))
        with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for name, content in members.items():
                if name != chosen:
                    file.writestr(name, content)
            with file.open(chosen, "w", force_zip64=True) as stream:
                stream.write(head)
                for _ in range(BOMB // 2**26):
                    stream.write(bytes(2**26))

    return Damage(f"{path}: zip bomb of {BOMB // 2**30} GB", "refused", change)


def traversal(path: str, name: str) -> Damage:
    """A member of a zip or tar file with a name that leads out of it."""

    def change(folder: Path) -> None:
        whole = folder / path
        if path.endswith(".tar"):
            with tarfile.open(whole, "a") as file:
                header = tarfile.TarInfo(name.replace("{case}", str(folder)))
                header.size = 4
                file.addfile(header, io.BytesIO(b"evil"))
            return
        with zipfile.ZipFile(whole, "a") as file:
            file.writestr(name.replace("{case}", str(folder)), b"evil")

    return Damage(f"{path}: a member {name}", "any", change)
