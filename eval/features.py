"""Features of frozen encoders, computed once and kept by the hash of all that decides them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import nn

from crosspoint.renderers.atomic import atomic_write


def extract_features(
    encoder: nn.Module,
    points: np.ndarray,
    *,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Features of `points` under a frozen encoder, in evaluation mode.

    Batch size and device are not part of the cache's key: they move features by rounding only.

    Args:
        encoder: maps (B, N, 3) points to (B, C) features. Its training flags and its device are as before afterwards.
        points: (n, N, 3) finite coordinates, y up.
        batch_size: clouds per forward pass.
        device: where the passes run.
        cache: folder of feature files; a change of weights, settings or points is a miss.
        progress: show a bar, where the output is a terminal.

    Returns:
        (n, C) float32 features.

    Raises:
        ValueError: if `points` are not such clouds, or if the encoder returns another shape or non-finite features.
    """
    if points.ndim != 3 or points.shape[2] != 3 or points.size == 0:
        raise ValueError(f"found points of shape {points.shape}, expected (n, N, 3) with n and N at least 1")
    points = np.ascontiguousarray(points, dtype=np.float32)
    if not np.isfinite(points).all():
        broken = int((~np.isfinite(points).all(axis=(1, 2))).sum())
        raise ValueError(
            f"found {broken} clouds with NaN or infinite coordinates, expected none: repair or remove them"
        )
    if batch_size < 1:
        raise ValueError(f"found batch_size {batch_size}, expected at least 1")
    if cache is None:
        return _forward(encoder, points, batch_size, torch.device(device), progress)
    path = Path(cache) / f"{feature_key(encoder, points)}.npy"
    features = _read(path, rows=len(points))
    if features is None:
        features = _forward(encoder, points, batch_size, torch.device(device), progress)
        with atomic_write(path) as file:
            np.save(file, features, allow_pickle=False)
    return features


def feature_key(encoder: nn.Module, points: np.ndarray) -> str:
    """Hexadecimal sha256 of all that decides the features of `points` (n, N, 3): weights, settings, code, data."""
    kind = type(encoder)
    digest = hashlib.sha256(f"{kind.__module__}.{kind.__qualname__} {getattr(encoder, 'config', None)!r}".encode())
    try:
        digest.update(version("crosspoint3d").encode())
    except PackageNotFoundError:
        digest.update(b"not installed")
    for name, module in encoder.named_modules():
        # Numbers of neighbors, slopes and the like decide features as much as weights do, but are in no state_dict.
        settings = {
            key: value
            for key, value in sorted(vars(module).items())
            if isinstance(value, bool | int | float | str | tuple) and key != "training" and not key.startswith("_")
        }
        digest.update(f"{name} {type(module).__qualname__} {settings!r}".encode())
    for name, tensor in encoder.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    digest.update(f"{points.dtype} {points.shape}".encode())
    digest.update(np.ascontiguousarray(points).data)
    return digest.hexdigest()


@contextmanager
def frozen(encoder: nn.Module, device: torch.device) -> Iterator[None]:
    """Hold the encoder on `device` in evaluation mode; give each module its training flag and its device back."""
    training = {module: module.training for module in encoder.modules()}
    weight = next(encoder.parameters(), None)
    home = device if weight is None else weight.device
    try:
        encoder.to(device).eval()
        yield
    finally:
        for module, flag in training.items():
            module.training = flag
        encoder.to(home)


def _forward(encoder: nn.Module, points: np.ndarray, size: int, device: torch.device, progress: bool) -> np.ndarray:
    console = Console(stderr=True)
    starts = range(0, len(points), size)
    hidden = not (progress and console.is_terminal)
    batches = []
    with frozen(encoder, device), torch.inference_mode():
        for start in track(starts, "features", console=console, disable=hidden):
            cloud = torch.from_numpy(points[start : start + size]).to(device)
            feature = encoder(cloud)
            if feature.ndim != 2 or len(feature) != len(cloud):
                raise ValueError(f"found features of shape {tuple(feature.shape)}, expected ({len(cloud)}, C)")
            batches.append(feature.float().cpu().numpy())
    features = np.concatenate(batches)
    broken = int((~np.isfinite(features).all(axis=1)).sum())
    if broken:
        raise ValueError(
            f"found NaN or infinite features in {broken} of {len(features)} rows, expected finite ones: "
            "the weights have probably diverged; take an earlier checkpoint"
        )
    return features


def _read(path: Path, rows: int) -> np.ndarray | None:
    """Cached features, or None where there are none that can be used."""
    try:
        with path.open("rb") as file:
            features = np.lib.format.read_array(file, allow_pickle=False)
    except (OSError, EOFError, ValueError):
        return None
    usable = features.dtype == np.float32 and features.ndim == 2 and len(features) == rows
    return features if usable and np.isfinite(features).all() else None
