"""Random networks without end: oracle = C in every forecast and every saved state.

One build of the ref kernels serves all of them (tests/shims/stream.c takes a network as data); the second campaign
generates and compiles each network, and calls the whole API."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantize import ptq
from quantize.oracle import Stream, state_hash, zero_state
from quantize.oracle import step as oracle_step
from quantize.qnetwork import QNetwork, save_qnetwork
from tests.conftest import needs
from tests.kernels import SHIMS, Kernels, runnable
from tests.long.campaign import campaign
from tests.models import assert_same, compile_all, random_calls
from tests.nets import random_network, random_qnetwork, random_raw, random_shape, random_x, series
from toolkit.build import build_kernels
from toolkit.codegen.packers import owner
from toolkit.targets import TARGETS

STEPS = 12
SHIM = """
typedef struct { const tl_lstm_w8a16 *lstm; const tl_gru_w8a16 *gru; } shim_layer;
typedef struct { const shim_layer *layers; const tl_dense_w16a16 *head; const tl_input *inputs;
                 const tl_output *outputs; uint32_t count, save_bytes; uint8_t model[8]; } shim_network;
void shim_run(const shim_network *p, int16_t *state, const int32_t *raw, uint32_t steps, int32_t *forecast,
              uint8_t *saved, uint32_t *hashes);
"""


class Shim:
    """The generic driver."""

    def __init__(self, folder: Path) -> None:
        self.kernels = Kernels(build_kernels(folder, extra=[SHIMS / "twin.c", SHIMS / "stream.c"]))
        self.ffi = self.kernels.ffi
        self.ffi.cdef(SHIM)
        self.lib = self.kernels.lib

    def _array(self, kind: str, array: np.ndarray) -> Any:
        return self.ffi.cast(f"const {kind} *", array.ctypes.data)

    def run(self, q: QNetwork, raw: np.ndarray) -> tuple[np.ndarray, np.ndarray, bytes]:
        """Raw samples [steps, inputs] -> forecasts, state hashes, the last saved state."""
        layers = self.ffi.new("shim_layer[]", len(q.layers) - 1)
        kept = [self.kernels.parameters(x, "ref") for x in q.layers[:-1]]
        for entry, x, p in zip(layers, q.layers[:-1], kept, strict=True):
            setattr(entry, x.op, p)
        head, w = self.ffi.new("tl_dense_w16a16 *"), q.layers[-1].arrays["w"]
        head.w, head.b = self._array("int16_t", w), self._array("int32_t", q.layers[-1].arrays["b"])
        head.outputs, head.inputs = w.shape
        inputs = self.ffi.new("tl_input[]", [(c.low, c.high, c.offset, c.m, c.k, c.s) for c in q.inputs])
        outputs = self.ffi.new("tl_output[]", [(c.offset, c.m, c.s) for c in q.outputs])
        size = len(Stream(q).save())
        model = list(bytes.fromhex(q.digest)[:8])
        network = self.ffi.new("shim_network *", (layers, head, inputs, outputs, len(layers), size, model))
        samples = np.ascontiguousarray(raw, np.int32)
        state = self.ffi.new("int16_t[]", (size - 28) // 2 + 2 * max(p.hidden for p in kept))
        forecast, hashes = np.empty((len(raw), len(q.outputs)), np.int32), np.empty(len(raw), np.uint32)
        saved = self.ffi.new("uint8_t[]", size)
        cast = self.ffi.cast
        pointers = cast("int32_t *", forecast.ctypes.data), saved, cast("uint32_t *", hashes.ctypes.data)
        self.lib.shim_run(network, state, self._array("int32_t", samples), len(raw), *pointers)
        return forecast, hashes, bytes(saved)


def network(seed: int) -> QNetwork:
    """Three of four straight from integers at the edges of their ranges, one through quantization."""
    rng = np.random.default_rng(seed)
    shape = random_shape(rng)
    if seed % 4:
        return random_qnetwork(rng, shape, f"net{seed}")
    floats = random_network(rng, shape, f"net{seed}")
    data = series(rng, floats, 2, max(shape.window, 8))
    q = ptq.quantize(floats, [data], ptq.Options(bool(rng.integers(2)), int(rng.choice([8, 16]))), "0" * 64)
    with tempfile.TemporaryDirectory() as folder:
        return save_qnetwork(q, Path(folder) / "q")


@pytest.fixture(scope="module")
def shim(tmp_path_factory: pytest.TempPathFactory) -> Shim:
    needs("host-cc")
    return Shim(tmp_path_factory.mktemp("shim"))


def test_ref_kernels_are_the_oracle(shim: Shim) -> None:
    def check(seed: int) -> None:
        q = replace(network(seed), mode="stateful", window=0)
        raw = random_raw(np.random.default_rng(seed), q, STEPS)
        forecast, hashes, saved = shim.run(q, raw)
        stream = Stream(q)
        for step in range(STEPS):
            want = stream.predict(raw[step])
            blob = stream.save()
            assert forecast[step].tolist() == want.tolist() and int(hashes[step]) == state_hash(blob), (
                f"seed {seed}, step {step}"
            )
        assert saved == blob, f"seed {seed}"

    assert campaign("parity_ref", check) > 0


def test_every_target_is_the_oracle(tmp_path: Path) -> None:
    """Every state and y of every step, with each target's own layout and kernels (Arm's by their C twins)."""
    needs("host-cc")
    kernels, targets = Kernels.build(tmp_path), [t for t in TARGETS if runnable(t)]

    def check(seed: int) -> None:
        q, rng = network(seed), np.random.default_rng(seed)
        packed = {t: [kernels.parameters(x, t) for x in q.layers[:-1]] for t in targets}
        state = zero_state(q, 1)
        for step in range(STEPS):
            x = random_x(rng, (1, len(q.inputs)))
            y, new = oracle_step(q, x, state)
            for t in targets:
                v = x[0]
                for layer, p in zip(q.layers[:-1], packed[t], strict=True):
                    before = {k: tensor[0] for k, tensor in state[layer.name].items()}
                    got = kernels.cell(t, layer, p, v, before)
                    want = {k: tensor[0].tolist() for k, tensor in new[layer.name].items()}
                    where = f"seed {seed}, step {step}, {t}, {layer.name}"
                    assert {k: tensor.tolist() for k, tensor in got.items()} == want, where
                    v = got["h"]
                dense = kernels.dense(owner(q.layers[-1], t), q.layers[-1], v)
                assert dense.tolist() == y[0].tolist(), f"seed {seed}, step {step}, {t}, head"
            state = new

    print("targets:", ", ".join(targets))
    assert campaign("parity_targets", check) > 0


def test_generated_c_is_the_oracle() -> None:
    needs("host-cc")

    def check(seed: int) -> None:
        """Ten networks in one build."""
        with tempfile.TemporaryDirectory() as folder:
            networks = [network(10 * seed + k) for k in range(10)]
            compiled = compile_all(networks, Path(folder))
            for q in networks:
                assert_same(q, compiled.host(q), random_calls(np.random.default_rng(seed), q, 40))

    assert campaign("parity_generated_by_ten", check) > 0
