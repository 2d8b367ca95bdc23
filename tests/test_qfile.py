"""model.q.safetensors: round trips; truncated, edited, foreign and lying files; and the verifier of networks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize.errors import QuantizeError
from quantize.network import read_file, write_file
from quantize.qnetwork import (
    KIND,
    QNetwork,
    load_qnetwork,
    save_qnetwork,
)
from quantize.verify import verify_network, verify_qnetwork
from tests.nets import random_qnetwork
from tests.test_quantize import SHAPE, quantized, small


def equal(a: QNetwork, b: QNetwork) -> bool:
    for field in ("name", "inputs", "outputs", "mode", "window", "warmup", "missing", "max_gap", "digest", "source"):
        x, y = getattr(a, field), getattr(b, field)
        if repr(x) != repr(y):
            return False
    for p, q in zip(a.layers, b.layers, strict=True):
        if dict(p.params) != dict(q.params) or sorted(p.arrays) != sorted(q.arrays):
            return False
        if any((p.arrays[k] != q.arrays[k]).any() or p.arrays[k].dtype != q.arrays[k].dtype for k in p.arrays):
            return False
    return True


def test_round_trip(tmp_path: Path) -> None:
    saved = save_qnetwork(quantized(small()), tmp_path / "q")
    assert equal(saved, load_qnetwork(tmp_path / "q")) and len(saved.digest) == 64
    again = save_qnetwork(quantized(small()), tmp_path / "r")
    assert again.digest == saved.digest and (tmp_path / "q").read_bytes() == (tmp_path / "r").read_bytes()
    assert not load_qnetwork(tmp_path / "q").layers[0].arrays["wh"].flags.writeable


def test_truncated_files_are_refused(tmp_path: Path) -> None:
    save_qnetwork(quantized(small()), tmp_path / "q")
    whole = (tmp_path / "q").read_bytes()
    for size in (*range(0, len(whole), 97), len(whole) - 1):
        (tmp_path / "cut").write_bytes(whole[:size])
        with pytest.raises(QuantizeError) as e:
            load_qnetwork(tmp_path / "cut")
        assert "\n" not in str(e.value) and "cut" in str(e.value)


def test_an_edited_byte_is_refused_or_means_nothing(tmp_path: Path) -> None:
    saved = save_qnetwork(quantized(small()), tmp_path / "q")
    whole = bytearray((tmp_path / "q").read_bytes())
    rng, accepted = np.random.default_rng(0), 0
    for at in rng.choice(len(whole), 300, replace=False):
        edited = whole.copy()
        edited[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "edited").write_bytes(edited)
        try:
            loaded = load_qnetwork(tmp_path / "edited")
        except QuantizeError as e:
            assert "\n" not in str(e)
        else:
            accepted += 1
            assert equal(saved, loaded), f"byte {at}"
    assert accepted < 10


def test_other_files_are_refused(tmp_path: Path) -> None:
    q = quantized(small())
    save_qnetwork(q, tmp_path / "q")
    d, arrays, _ = read_file(tmp_path / "q", KIND)
    write_file(tmp_path / "two", KIND, {**d, "arithmetic": 2}, arrays)
    with pytest.raises(QuantizeError, match="arithmetic 2; this version computes 1; quantize it again"):
        load_qnetwork(tmp_path / "two")
    write_file(tmp_path / "kind", "tealight-network", d, arrays)
    with pytest.raises(QuantizeError, match="holds a tealight-network; expected a tealight-qnetwork"):
        load_qnetwork(tmp_path / "kind")
    with pytest.raises(QuantizeError, match="no such file"):
        load_qnetwork(tmp_path / "none")
    with pytest.raises(QuantizeError):
        load_qnetwork(tmp_path)
    with pytest.raises(QuantizeError, match="cannot write"):
        save_qnetwork(q, tmp_path / "no" / "q")


LIES: list[tuple[str, Callable[[dict[str, Any], dict[str, np.ndarray]], Any]]] = [
    ("t = 16", lambda d, a: d["layers"][0]["params"].update(t=16)),
    ("frac = 13", lambda d, a: d["layers"][1]["params"].update(frac=13)),
    ("f, with int8", lambda d, a: d["layers"][1]["params"].update(f=1)),
    ("parameters frac, t", lambda d, a: d["layers"][0]["params"].pop("f")),
    ("smallest multiplier = 0", lambda d, a: a.update({"lstm0.m": a["lstm0.m"] * 0})),
    ("lstm0.b: int64", lambda d, a: a.update({"lstm0.b": a["lstm0.b"].astype(np.int64)})),
    ("arrays b", lambda d, a: a.update({"lstm0.b": a["lstm0.b"][1:]})),
    ("row 0 does not fit", lambda d, a: a.update({"lstm1.b": np.full_like(a["lstm1.b"], 2**31 - 1)})),
    ("row 0 does not fit", lambda d, a: a.update({"dense0.b": np.full_like(a["dense0.b"], -(2**31))})),
    ("k = 31", lambda d, a: d["inputs"][0].update(k=31)),
    ("s = 0", lambda d, a: d["inputs"][0].update(s=0)),
    ("range = ", lambda d, a: d["inputs"][0].update(high=2**31 - 1)),
    ("m = 40000", lambda d, a: d["outputs"][0].update(m=40000)),
    ("max_gap", lambda d, a: d.update(max_gap=1000)),
    ("window", lambda d, a: d.update(mode="window")),
    ("expected one or more lstm", lambda d, a: d["layers"].pop()),
]


@pytest.mark.parametrize(("message", "lie"), LIES, ids=[f"{k} {m}" for k, (m, _) in enumerate(LIES)])
def test_files_that_lie_are_refused(tmp_path: Path, message: str, lie: Callable[..., Any]) -> None:
    """Well-formed, with a digest that matches, but with a number that the C is not proven for."""
    save_qnetwork(quantized(small()), tmp_path / "q")
    d, arrays, _ = read_file(tmp_path / "q", KIND)
    d = json.loads(json.dumps(d))
    lie(d, arrays)
    write_file(tmp_path / "lie", KIND, d, arrays)
    with pytest.raises(QuantizeError, match=message) as e:
        load_qnetwork(tmp_path / "lie")
    assert "\n" not in str(e.value)


def test_the_verifier_accepts_every_test_network() -> None:
    """What tests/nets.py draws is inside what the verifier allows: the parity tests test nothing impossible."""
    for seed in range(30):
        rng = np.random.default_rng(seed)
        verify_qnetwork(random_qnetwork(rng, SHAPE, "net"))
        verify_network(small(seed))
