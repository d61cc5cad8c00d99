"""`export_encoder`: a file of weights → a file for another runtime, compared with the network before it is written."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from crosspoint.checkpoints.files import read_safetensors
from crosspoint.checkpoints.pretrained import Pretrained, save_encoder
from crosspoint.checkpoints.record import Record
from crosspoint.export.formats import FORMATS, require_onnx
from crosspoint.export.tracing import EXAMPLE, CloudNetwork
from crosspoint.export.verification import Agreement, compare
from crosspoint.plugins import describe
from crosspoint.renderers.atomic import atomic_write

SAFETENSORS = "safetensors"
SUFFIXES = {SAFETENSORS: ".safetensors", **{name: each.suffix for name, each in FORMATS.items()}}


class Exported(NamedTuple):
    """What was written.

    Attributes:
        path: the file.
        size: of it in bytes.
        least: points that a cloud needs; None where the file holds weights alone.
        agreement: with the network; None where it was not looked at, or where weights alone were compared.
    """

    path: Path
    size: int
    least: int | None
    agreement: Agreement | None


def export_encoder(
    pretrained: Pretrained,
    out: str | Path,
    *,
    format: str | None = None,
    per_point: bool = False,
    unit: bool = False,
    verify: bool = True,
) -> Exported:
    """Write an encoder for another runtime.

    "onnx" and "torch-export" are graphs for any number of clouds and points, with the search for neighbors in them:
    clouds (B, N, 3) float32 → features (B, feature_dim). "safetensors" holds the weights of any encoder, of scenes,
    too, for `load_pretrained`.

    Args:
        pretrained: from `load_pretrained`.
        out: the file.
        format: "onnx", "torch-export" or "safetensors"; None takes what the file's name ends in.
        per_point: give features of points as a second output.
        unit: center clouds and scale them into the unit sphere in the graph, as training had them; else that is up to
            whoever runs it.
        verify: compare the file with the network: features on random clouds, or every weight.

    Raises:
        FileExistsError: if the file is there.
        ImportError: if a package for the format is not installed.
        ValueError: if there is no such format, it cannot hold the network, or the two do not agree; then nothing is
            written.
    """
    path = Path(out)
    chosen = _format(path, format)
    if path.exists():
        raise FileExistsError(f"found {path} already there, expected a new file: choose another name")
    if chosen == SAFETENSORS:
        if per_point or unit:
            raise ValueError(
                "found per_point or unit for safetensors, expected neither: the file holds weights, and "
                "load_pretrained gives both"
            )
        save_encoder(pretrained.encoder, path, pretrained.inputs)
        if verify:
            _compare_weights(pretrained, path)
        return Exported(path, path.stat().st_size, None, None)
    if chosen == "onnx" and verify:
        require_onnx("onnxruntime")
    encoder = pretrained.encoder.cpu().eval()
    network = CloudNetwork(encoder, per_point=per_point, unit=unit).eval()
    made = FORMATS[chosen].make(network, Record(describe(encoder), pretrained.inputs))
    agreement = None
    if verify:
        agreement = compare(made.run(), network, least=made.least, usual=pretrained.inputs.points or EXAMPLE[1])
        if not agreement.holds:
            raise ValueError(
                f"found that {chosen} and the network do not agree ({agreement}), expected the same but for rounding: "
                "nothing was written"
            )
    with atomic_write(path) as file:
        file.write(made.content)
    return Exported(path, len(made.content), made.least, agreement)


def _format(path: Path, format: str | None) -> str:
    """The format that was asked for, or that of a file's name."""
    ends = {suffix: name for name, suffix in SUFFIXES.items()}
    if format is None:
        format = ends.get(path.suffix.lower())
    if format is None:
        raise ValueError(f"found {path}, expected a name that ends in {', '.join(ends)}, or a format")
    if format not in SUFFIXES:
        raise ValueError(f"found the format {format!r}, expected one of {', '.join(SUFFIXES)}")
    if path.suffix.lower() != SUFFIXES[format]:
        raise ValueError(f"found {path} for the format {format}, expected a name that ends in {SUFFIXES[format]}")
    return format


def _compare_weights(pretrained: Pretrained, path: Path) -> None:
    written, own = read_safetensors(path)[0], pretrained.encoder.state_dict()
    changed = [name for name, weight in own.items() if not torch.equal(written[name], weight.cpu())]
    if changed or written.keys() != own.keys():
        path.unlink()
        raise ValueError(
            f"found other weights in {path} than were written ({', '.join(changed[:3])}), expected the same: check the "
            "disk, and export it again"
        )
