"""Sample inputs of an imported model, which comes without a series: for its proof and its calibration."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic

from toolkit.errors import ToolkitError

MAGIC = b"\x93NUMPY"
ROWS = "numbers with commas between them, a row a step"
ARRAY = "numbers [windows, time, inputs] or [rows, inputs], as numpy.save writes them"
MOST = 2000  # windows cut of one long series, evenly spaced


def read_samples(path: Path) -> np.ndarray:
    """float64 [rows, inputs] of a .csv (a header line is skipped), [windows, time, inputs] or [rows, inputs] of a .npy.

    Raises: ToolkitError, one line, when the file is missing, damaged, ragged, empty or not finite."""
    if path.suffix not in (".npy", ".csv"):
        raise ToolkitError(f"{path}: expected samples as .csv (a row a step) or .npy [windows, time, inputs]")
    try:
        values = _npy(path) if path.suffix == ".npy" else _csv(path)
    except FileNotFoundError:
        raise ToolkitError(f"{path}: no such file; expected samples as .csv or .npy") from None
    except UnicodeDecodeError:
        raise ToolkitError(f"{path}: not text in UTF-8; expected {ROWS}") from None
    except (OSError, csv.Error) as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else e
        raise ToolkitError(f"{path}: cannot be read as samples: {why}") from None
    found = np.asarray(values, np.float64)
    if not np.isfinite(found).all():
        raise ToolkitError(
            f"{path}: NaN or infinity at {np.argwhere(~np.isfinite(found))[0].tolist()}; fill or drop it"
        )
    return found


def header(path: Path, count: int) -> tuple[str, ...]:
    """The names that stand above the `count` columns of a .csv; () where there are none, or they repeat."""
    if path.suffix != ".csv":
        return ()
    with path.open(encoding="utf-8-sig", newline="") as f:
        names = tuple(c.strip() for c in next(csv.reader(f), []))
    good = len(set(names)) == count and not any(_number(c) for c in names) and all(names)
    return names if good else ()


def _number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _npy(path: Path) -> np.ndarray:
    with path.open("rb") as f:
        if f.read(len(MAGIC)) != MAGIC:
            raise ToolkitError(f"{path}: not a .npy file; expected {ARRAY}")
        f.seek(0)
        try:
            first = read_magic(f) == (1, 0)
            shape, _, dtype = (read_array_header_1_0 if first else read_array_header_2_0)(f)
        except Exception:  # a damaged header is read as Python, whose errors have no common class
            raise ToolkitError(f"{path}: its .npy header is damaged; expected {ARRAY}") from None
        if dtype.kind not in "fiu" or len(shape) not in (2, 3) or not math.prod(shape):
            raise ToolkitError(f"{path}: {dtype} of shape {list(shape)}; expected {ARRAY}")
        want, found = dtype.itemsize * math.prod(shape), path.stat().st_size - f.tell()
    if found < want:
        raise ToolkitError(
            f"{path}: cut short: {found} bytes of values, expected {want} ({dtype} of shape {list(shape)})"
        )
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


def _csv(path: Path) -> np.ndarray:
    rows: list[list[float]] = []
    with path.open(encoding="utf-8-sig", newline="") as f:
        for line, cells in enumerate(csv.reader(f), 1):
            if not any(c.strip() for c in cells):
                continue
            try:
                rows.append([float(c) for c in cells])
            except ValueError:
                if rows or line > 1:
                    raise ToolkitError(f"{path}: line {line}: {cells!r}: expected {ROWS}") from None
            if rows and len(rows[-1]) != len(rows[0]):
                raise ToolkitError(f"{path}: line {line}: {len(rows[-1])} values; expected {len(rows[0])}")
    if not rows:
        raise ToolkitError(f"{path}: no numbers in it; expected {ROWS}")
    return np.array(rows, np.float64)


def as_windows(samples: np.ndarray, steps: int, inputs: int, source: str) -> np.ndarray:
    """[windows, steps, inputs]: as they are, or cut of one series at up to MOST evenly spaced places.

    Raises: ToolkitError when they have other sizes, or are shorter than a window."""
    if samples.shape[-1] != inputs:
        raise ToolkitError(f"{source}: {samples.shape[-1]} values a step; the model takes {inputs}")
    if samples.ndim == 3:
        if samples.shape[1] != steps:
            raise ToolkitError(f"{source}: windows of {samples.shape[1]} steps; the model takes {steps}")
        return samples
    last = len(samples) - steps
    if last < 0:
        raise ToolkitError(f"{source}: {len(samples)} rows; expected at least a window of {steps}")
    starts = np.unique(np.linspace(0, last, min(MOST, last + 1)).astype(int))
    return np.asarray(samples[starts[:, None] + np.arange(steps)])


def as_streams(samples: np.ndarray, inputs: int, source: str) -> np.ndarray:
    """[streams, time, inputs]: each window a stream, or up to 16 equal parts of one series.

    Raises: ToolkitError when they have another number of inputs."""
    if samples.shape[-1] != inputs:
        raise ToolkitError(f"{source}: {samples.shape[-1]} values a step; the model takes {inputs}")
    if samples.ndim == 3:
        return samples
    parts = max(1, min(16, len(samples) // 256))
    length = math.floor(len(samples) / parts)
    return samples[: parts * length].reshape(parts, length, inputs)
