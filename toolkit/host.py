"""HostModel: the generated C, called from Python through cffi like the model that it came from."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

import cffi
import numpy as np

from quantize import oracle
from quantize.graph import layered
from quantize.qnetwork import QNetwork, load_qnetwork
from toolkit.boards import load_board
from toolkit.build import build_host
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination, state_bytes
from toolkit.codegen.render import generate, write_folder
from toolkit.errors import ToolkitError
from toolkit.toolchain import CACHE, SUFFIX, host_toolchain

API = """
void {n}_reset(void *s);
void {n}_step(void *s, const int16_t *x, int32_t *y);
void {n}_step_begin(void *s, const int16_t *x);
bool {n}_step_poll(void *s, uint32_t budget, int32_t *y);
void {n}_run(void *s, const int16_t *x, uint32_t steps, int32_t *y);
void {n}_predict(void *s, const int32_t *raw, int32_t *forecast);
void {n}_predict_missing(void *s, int32_t *forecast);
bool {n}_warmed_up(const void *s);
void {n}_save(const void *s, uint8_t *out);
int {n}_restore(void *s, const uint8_t *in);
"""
API_F32 = "void {n}_predict_f32(void *s, const float *in, float *forecast);"
REASONS = {
    1: "not a saved state",
    2: "saved by another model",
    3: "damaged: its CRC-32 does not match",
    4: "impossible values",
}


def load_model(path: str | Path, *, target: str = "best") -> HostModel:
    """A model.q.safetensors, or the run that holds it, ready to run here: generated, built (once) and loaded.

    target: the kernels; `best` are the fastest that this processor has, `ref` run anywhere.
    Raises: QuantizeError or ToolkitError: the file is bad, the processor cannot run them, or there is no compiler."""
    path = Path(path)
    q = load_qnetwork(path / "model.q.safetensors" if path.is_dir() else path)
    board = load_board("host")
    choices = choose(q, board, optimize="speed", wanted=target, tune=None)
    files = generate(q, destination(board, choices, True))
    key = hashlib.sha256("\0".join([host_toolchain("auto").version, *sorted(files), *files.values()]).encode())
    folder = CACHE / "models" / f"{q.name}-{key.hexdigest()[:16]}"
    library = folder / f"model{SUFFIX}"
    if not library.is_file():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:  # two processes may build it at once
            write_folder(files, Path(work) / "c")
            folder.mkdir(exist_ok=True)
            os.replace(build_host(Path(work) / "c", Path(work) / "out"), library)
    return HostModel(q, library, float_api=True)


class HostModel:
    """One stream of a generated model, built as a shared library by `toolkit.build.build_host`; see `load_model`.

    Arrays in and out as in the C header: x int16 [inputs], y int32 [outputs], raw int32 [raws] (a raw column is an
    input, but for a model with features), forecast int32 [outputs]."""

    def __init__(self, q: QNetwork, library: str | Path, *, float_api: bool = False) -> None:
        self.q = q
        self._ffi = cffi.FFI()
        self._ffi.cdef((API + (API_F32 if float_api else "")).replace("{n}", q.name))
        try:
            self._library = self._ffi.dlopen(str(library))
        except OSError as e:
            raise ToolkitError(
                f"{library}: cannot load: {e}; build it again with `toolkit build --board host`"
            ) from None
        self._state = self._ffi.new("uint32_t[]", state_bytes(q) // 4)
        try:
            self.reset()
        except AttributeError:
            raise ToolkitError(f"{library}: holds no {q.name}_reset; delete its folder and build again") from None

    def _call(self, function: str, *arguments: object) -> int | None:
        if layered(self.q) and function in ("step", "step_begin", "run"):
            raise ToolkitError(f"{self.q.name}: a network of two directions has no single step; use predict")
        result: int | None = getattr(self._library, f"{self.q.name}_{function}")(self._state, *arguments)
        return result

    def _in(self, kind: str, values: np.ndarray, dtype: type, shape: tuple[int, ...]) -> object:
        array = np.ascontiguousarray(values)
        if array.shape != shape:
            raise ToolkitError(f"{self.q.name}: an array of shape {list(array.shape)}; expected {list(shape)}")
        narrow: np.ndarray = array.astype(dtype)
        if dtype is not np.float32 and not (narrow == array).all():
            raise ToolkitError(f"{self.q.name}: {array.ravel().tolist()[:4]} do not fit {kind}")
        return self._ffi.from_buffer(f"{kind}[]", narrow)

    def _out(self, kind: str, function: str, *arguments: object) -> np.ndarray:
        y = self._ffi.new(f"{kind}[]", len(self.q.outputs))
        self._call(function, *arguments, y)
        return np.array(list(y))

    def reset(self) -> None:
        """The state before the first sample."""
        self._call("reset")

    def step(self, x: np.ndarray) -> np.ndarray:
        """x_q [inputs] -> y [outputs]."""
        return self._out("int32_t", "step", self._in("int16_t", x, np.int16, (len(self.q.inputs),)))

    def step_in_slices(self, x: np.ndarray, budget: int) -> np.ndarray:
        """step, by step_begin and as many calls of step_poll as it takes; `budget`: hidden units at a time."""
        y = self._ffi.new("int32_t[]", len(self.q.outputs))
        self._call("step_begin", self._in("int16_t", x, np.int16, (len(self.q.inputs),)))
        while not self._call("step_poll", budget, y):
            pass
        return np.array(list(y))

    def run(self, x: np.ndarray) -> np.ndarray:
        """x_q [time, inputs] -> y [outputs] after the last step."""
        steps = len(x)
        return self._out("int32_t", "run", self._in("int16_t", x, np.int16, (steps, len(self.q.inputs))), steps)

    def predict(self, raw: np.ndarray) -> np.ndarray:
        """Raw fixed point [raws] -> forecast [outputs], fixed point."""
        return self._out("int32_t", "predict", self._in("int32_t", raw, np.int32, (len(self.q.raws),)))

    def predict_missing(self) -> np.ndarray:
        """A lost sample -> forecast [outputs], fixed point."""
        return self._out("int32_t", "predict_missing")

    def predict_f32(self, values: np.ndarray) -> np.ndarray:
        """Real values [raws] -> forecast [outputs], float32; a NaN counts as a lost sample."""
        return self._out("float", "predict_f32", self._in("float", values, np.float32, (len(self.q.raws),)))

    @property
    def warmed_up(self) -> bool:
        """Whether the forecast is to be trusted yet."""
        return bool(self._call("warmed_up"))

    def state(self) -> bytes:
        """The state as bytes: `restore` of any target continues from it."""
        out = self._ffi.new("uint8_t[]", oracle.save_bytes(self.q))
        self._call("save", out)
        return bytes(out)

    def restore(self, blob: bytes) -> None:
        """Continues from `state`.

        Raises: ToolkitError when the bytes are damaged or another model's."""
        if len(blob) != oracle.save_bytes(self.q):
            raise ToolkitError(f"saved state: {len(blob)} bytes; expected {oracle.save_bytes(self.q)}")
        reason = self._call("restore", self._ffi.from_buffer(blob))
        if reason:
            raise ToolkitError(f"saved state: {REASONS[reason]}")
