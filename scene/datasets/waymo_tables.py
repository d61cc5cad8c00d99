"""Tables of Waymo Open's version 2: a parquet file for each kind of data and segment, read by pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np

from crosspoint.scene.datasets.waymo_ranges import Calibration

TOP = 1  # key.laser_name of the LiDAR on the roof
_TIME, _LASER = "key.frame_timestamp_micros", "key.laser_name"
_MOUNT = "[LiDARCalibrationComponent]"


def list_frames(folder: Path) -> list[tuple[str, int]]:
    """The frames that a table has of the LiDAR on the roof, by the names of segments and by time.

    Raises:
        FileNotFoundError: if there is no such folder or no file in it.
        ImportError: if pyarrow is not installed.
        ValueError: if a file cannot be read.
    """
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise FileNotFoundError(
            f"found no .parquet file in {folder}, expected one for each segment of Waymo Open 2: give the folder of "
            "training and validation as `root`"
        )
    times = joblib.Parallel(n_jobs=-1, prefer="threads")(joblib.delayed(_times)(path) for path in paths)
    return [(path.stem, time) for path, found in zip(paths, times, strict=True) for time in found]


def read_range_image(path: Path, time: int, number: int, component: str, channels: int) -> np.ndarray:
    """A range image of the LiDAR on the roof.

    Args:
        path: the table.
        time: of the frame, in microseconds.
        number: of the return, 1 or 2.
        component: the name that the table's columns begin with.
        channels: that a pixel should have.

    Returns:
        (H, W, channels), of the type that is stored.

    Raises:
        FileNotFoundError: if there is no such table.
        ValueError: if it cannot be read, or has no such image.
    """
    column = f"[{component}].range_image_return{number}"
    row = _row(path, [f"{column}.values", f"{column}.shape"], time, laser=True)
    values, shape = row[f"{column}.values"], row[f"{column}.shape"]
    size = tuple(shape.tolist())
    if len(size) != 3 or size[2] != channels or len(values) != np.prod(size):
        raise ValueError(
            f"found {len(values)} numbers of shape {size} in {column} of {path}, expected (H, W, {channels}): fetch it "
            "anew"
        )
    image: np.ndarray = values.reshape(size)
    return image


def read_calibration(path: Path) -> Calibration:
    """How the LiDAR on the roof is mounted; errors as of `read_range_image`."""
    names = [f"{_MOUNT}.{name}" for name in ("extrinsic.transform", "beam_inclination.min", "beam_inclination.max")]
    row = _row(path, [*names, f"{_MOUNT}.beam_inclination.values"], None, laser=True)
    transform, lowest, highest, values = row.values()
    if values is not None and len(values) == 0:
        values = None
    return Calibration(_matrix(transform, path), float(lowest), float(highest), values)


def read_vehicle_pose(path: Path, time: int) -> np.ndarray:
    """(4, 4) from the vehicle to the world at a frame's time; errors as of `read_range_image`."""
    column = "[VehiclePoseComponent].world_from_vehicle.transform"
    return _matrix(_row(path, [column], time, laser=False)[column], path)


def import_parquet() -> Any:
    """pyarrow.parquet; ImportError that says how to get it."""
    try:
        import pyarrow.parquet
    except ImportError:
        raise ImportError(
            "found no pyarrow, expected it for the tables of Waymo Open: pip install 'crosspoint3d[waymo]'"
        ) from None
    return pyarrow.parquet


def _times(path: Path) -> list[int]:
    """The times of a table's frames of the LiDAR on the roof, in order."""
    table = _read(path, [_TIME, _LASER])
    times, lasers = (table.column(name).to_numpy() for name in (_TIME, _LASER))
    return sorted({*times[lasers == TOP].tolist()})


def _row(path: Path, columns: list[str], time: int | None, *, laser: bool) -> dict[str, Any]:
    """The one row of a frame, columns by name: arrays, numbers, or None."""
    asked = [(_TIME, "==", time)] * (time is not None) + [(_LASER, "==", TOP)] * laser
    table = _read(path, columns, asked)
    if len(table) != 1:
        frame = "the roof's LiDAR" if time is None else f"frame {time}"
        raise ValueError(f"found {len(table)} rows of {frame} in {path}, expected one: fetch it anew")
    cells = {name: table.column(name)[0] for name in columns}
    return {name: cell.values.to_numpy() if _is_list(cell) else cell.as_py() for name, cell in cells.items()}


def _is_list(cell: Any) -> bool:
    return hasattr(cell, "values") and cell.is_valid


def _read(path: Path, columns: list[str], asked: list[tuple] | None = None) -> Any:
    parquet = import_parquet()
    if not path.is_file():
        raise FileNotFoundError(f"found no file {path}, expected a table of Waymo Open 2 for this segment")
    try:
        # No threads: loader processes are forked from this one.
        return parquet.read_table(path, columns=columns, filters=asked or None, use_threads=False, pre_buffer=False)
    except (OSError, ValueError, KeyError) as error:  # pyarrow's own errors are some of these
        what = " ".join(str(error).split())[:200]
        raise ValueError(f"found {path} that cannot be read ({what}), expected a table of Waymo Open 2") from None


def _matrix(numbers: np.ndarray, path: Path) -> np.ndarray:
    if numbers is None or len(numbers) != 16 or not np.isfinite(numbers).all():
        raise ValueError(f"found no transform of 16 numbers in {path}, expected one: fetch it anew")
    return np.asarray(numbers, dtype=np.float64).reshape(4, 4)
