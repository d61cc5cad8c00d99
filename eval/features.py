"""Features of frozen encoders, computed once and kept by the hash of all that decides them."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from crosspoint.fields import Fields, channels_of, described
from crosspoint.models.point_encoder import PointEncoder
from crosspoint.renderers.atomic import atomic_write, check_writable, clear_drafts
from crosspoint.renderers.cluster import opened_cluster
from crosspoint.renderers.files import FAULTS
from crosspoint.renderers.parallel import in_processes, processes
from crosspoint.transforms import unit_sphere

PART = 256  # clouds that a worker of a cluster gets at once
FAR, NEAR = 10.0, 0.05  # a cloud that reaches farther from the origin, or is smaller, is in units of its own


def extract_features(
    encoder: nn.Module,
    points: np.ndarray | Tensor | Sequence[np.ndarray],
    *,
    normalize: bool = False,
    batch_size: int = 64,
    device: torch.device | str = "cpu",
    cache: Path | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Features of `points` under a frozen encoder, in evaluation mode.

    Batch size and device are not part of the cache's key: they move features by rounding only.

    Args:
        encoder: maps (B, N, 3) points to (B, C) features; with fields behind x y z, if it takes some. Its training
            flags and its device are as before afterwards.
        points: (n, N, 3) finite coordinates, y up, in the unit sphere as in pre-training; or one cloud (N, 3).
        normalize: center each cloud on its mean and scale it into the unit sphere first, as the commands do; give it
            for clouds in units of their own. Without it, clouds far larger, smaller or off the origin cause a warning.
        batch_size: clouds per forward pass.
        device: where the passes run.
        cache: folder of feature files; a change of weights, settings or points is a miss.
        progress: show a bar, where the output is a terminal.

    Returns:
        (n, C) float32 features.

    Raises:
        ValueError: if `points` are not such clouds, or if the encoder returns another shape or non-finite features.
        OSError: if the cache takes no file.
    """
    fields = fields_of(encoder)
    channels = channels_of(fields)
    points = _as_array(points, channels)
    if points.ndim != 3 or points.shape[2] != channels or points.size == 0:
        known = f" ({described(fields)})" if fields else ""
        raise ValueError(
            f"found points of shape {points.shape}, expected (n, N, {channels}){known} with n and N at least 1"
        )
    if not np.isfinite(points).all():
        broken = int((~np.isfinite(points).all(axis=(1, 2))).sum())
        raise ValueError(
            f"found {broken} clouds with NaN or infinite coordinates, expected none: repair or remove them"
        )
    if normalize:
        points = unit_sphere(torch.from_numpy(points)).numpy()  # in float64 if given so: far coordinates need it
    points = np.ascontiguousarray(points, dtype=np.float32)
    if not normalize:
        _warn_of_units(points)
    if batch_size < 1:
        raise ValueError(f"found batch_size {batch_size}, expected at least 1")
    if cache is None:
        return _features(encoder, points, batch_size, torch.device(device), progress)
    path = Path(cache) / f"{feature_key(encoder, points)}.npy"
    features = _read(path, rows=len(points))
    if features is None:
        check_writable(path, "--cache")
        clear_drafts(path.parent)
        features = _features(encoder, points, batch_size, torch.device(device), progress)
        with atomic_write(path) as file:
            np.save(file, features, allow_pickle=False)
    return features


def _as_array(points: np.ndarray | Tensor | Sequence[np.ndarray], channels: int) -> np.ndarray:
    """Points as an array, (1, N, C) for one cloud."""
    if isinstance(points, Tensor):
        points = points.detach().cpu()
        points = (points if points.dtype == torch.float64 else points.float()).numpy()
    try:
        array = np.asarray(points)
        array = array if array.dtype == np.float64 else array.astype(np.float32)
    except (ValueError, TypeError):
        raise ValueError(
            "found clouds of different sizes, expected one array (n, N, 3): draw as many points from each, or pass "
            "them one by one"
        ) from None
    return array[None] if array.ndim == 2 and array.shape[1] == channels else array


def fields_of(network: nn.Module) -> Fields:
    """The fields that the point encoder of a network takes behind x y z; none where it has no such encoder."""
    return next((module.fields for module in network.modules() if isinstance(module, PointEncoder)), ())


def _warn_of_units(points: np.ndarray) -> None:
    """Warn of clouds that lie nowhere near the unit sphere, in which encoders were trained."""
    radius = float(np.abs(points[..., :3]).max())  # along an axis, which no number is too large for
    extent = float(np.ptp(points[..., :3], axis=1).max(initial=0.0))
    if radius > FAR or 0 < extent < NEAR:
        warnings.warn(
            f"found clouds that reach {radius:.3g} from the origin and are {extent:.3g} wide, expected ones in the "
            "unit sphere: pass normalize=True (no --normalize false on the command line)",
            stacklevel=3,
        )


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


def _features(encoder: nn.Module, points: np.ndarray, size: int, device: torch.device, progress: bool) -> np.ndarray:
    """Features of clouds, here or, in parts of whole batches, on the cluster that is open."""
    if opened_cluster() is None:
        return _forward(encoder, points, size, device, progress)
    step = size * max(1, PART // size)
    work = ((encoder, points[start : start + step], size, device, False) for start in range(0, len(points), step))
    return np.concatenate(list(in_processes(_forward, work, processes(-1, device.type))))


def _forward(encoder: nn.Module, points: np.ndarray, size: int, device: torch.device, progress: bool) -> np.ndarray:
    console = Console(stderr=True)
    starts = range(0, len(points), size)
    hidden = not (progress and console.is_terminal)
    batches = []
    with frozen(encoder, device), torch.inference_mode():
        for start in track(starts, "features", console=console, disable=hidden):
            cloud = torch.from_numpy(points[start : start + size]).to(device)
            feature = encoder(cloud)
            if not isinstance(feature, Tensor):
                raise ValueError(
                    f"found an encoder that returns a {type(feature).__name__}, expected one tensor ({len(cloud)}, C): "
                    "wrap it, so that it returns the feature alone"
                )
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
    except FAULTS:
        return None
    usable = features.dtype == np.float32 and features.ndim == 2 and len(features) == rows
    return features if usable and np.isfinite(features).all() else None
