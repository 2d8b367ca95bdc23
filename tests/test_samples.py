"""Sample files of imported models: what cannot be read is told in one plain line that names the file."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from toolkit.errors import ToolkitError
from toolkit.samples import read_samples


def saved(values: np.ndarray) -> bytes:
    f = io.BytesIO()
    np.save(f, values)
    return f.getvalue()


WHOLE = saved(np.zeros((4, 3, 2)))
BAD = (
    ("csv", b"", "no numbers in it; expected numbers with commas between them, a row a step"),
    ("csv", b"a,b\n", "no numbers in it"),
    ("csv", b"1,2\n1,x\n", "line 2: ['1', 'x']: expected numbers with commas"),
    ("csv", b"1,2\n1\n", "line 2: 1 values; expected 2"),
    ("csv", b"\xff\xfe\x00", "not text in UTF-8"),
    ("npy", b"", "not a .npy file; expected numbers [windows, time, inputs] or [rows, inputs], as numpy.save"),
    ("npy", b"1,2\n3,4\n", "not a .npy file"),
    ("npy", WHOLE[:20], "its .npy header is damaged"),
    ("npy", WHOLE[:16] + b"!" + WHOLE[17:], "its .npy header is damaged"),
    ("npy", WHOLE[:-8], "cut short: 184 bytes of values, expected 192 (float64 of shape [4, 3, 2])"),
    ("npy", saved(np.zeros((0, 2))), "float64 of shape [0, 2]; expected numbers"),
    ("npy", saved(np.array([["a"]])), "; expected numbers"),
    ("npy", saved(np.array([[None]], object)), "object of shape [1, 1]; expected numbers"),
    ("npy", saved(np.zeros(3)), "float64 of shape [3]; expected numbers"),
    ("npy", saved(np.array([[np.nan]])), "NaN or infinity at [0, 0]"),
)


@pytest.mark.parametrize(("kind", "data", "says"), BAD, ids=[f"{b[0]}-{b[2][:24]}" for b in BAD])
def test_a_bad_file(kind: str, data: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / f"s.{kind}"
    path.write_bytes(data)
    with pytest.raises(ToolkitError) as e:
        read_samples(path)
    assert str(e.value).startswith(f"{path}: ") and says in str(e.value)


def test_good_files(tmp_path: Path) -> None:
    for order in ("C", "F"):
        x = np.asarray(np.arange(24, dtype=np.float32).reshape(4, 3, 2), order=order)
        np.save(tmp_path / "s.npy", x)
        assert (read_samples(tmp_path / "s.npy") == x).all()
    (tmp_path / "s.csv").write_text("a,b\n1,2\n\n3,4\n")
    assert read_samples(tmp_path / "s.csv").tolist() == [[1, 2], [3, 4]]
