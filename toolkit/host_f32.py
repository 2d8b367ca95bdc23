"""FloatModel: the generated float32 C, called from Python through cffi."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cffi
import numpy as np

from quantize.graph import INPUT
from quantize.network import Network
from toolkit.boards import load_board
from toolkit.build import build_host
from toolkit.codegen.render import write_folder
from toolkit.codegen.render_f32 import generate_f32
from toolkit.errors import ToolkitError
from toolkit.toolchain import CACHE, SUFFIX, host_toolchain

API = """
void {n}_reset(struct {n}_state *s);
void {n}_predict(struct {n}_state *s, const float *raw, float *forecast);
void {n}_predict_missing(struct {n}_state *s, float *forecast);
bool {n}_warmed_up(const struct {n}_state *s);
"""
STEPS = """
void {n}_step(struct {n}_state *s, const float *x, float *y);
void {n}_run(struct {n}_state *s, const float *x, uint32_t steps, float *y);
"""
WINDOW = "void {n}_run(struct {n}_state *s, const float *x, float *y);"


def model_name(c_dir: Path) -> str:
    """The model whose float32 C a folder holds; empty where it holds none."""
    for weights in c_dir.glob("*_weights.h"):
        if ", float32; do not edit." in weights.read_text("utf-8")[:200]:
            return weights.name.removesuffix("_weights.h")
    return ""


class FloatModel:
    """One stream. c_dir: a folder of `generate-c --scheme f32`; library: the same, built by `build_host`.

    Values in and out are float32 arrays: predict in raw units, step and run normalised. A network that runs layer by
    layer over a window has no step. name: of the model where the folder holds several."""

    def __init__(self, c_dir: Path, library: Path, *, name: str = "") -> None:
        self.name, self._ffi = name or model_name(c_dir), cffi.FFI()
        header = re.sub(r"/\*.*?\*/", "", (c_dir / f"{self.name}.h").read_text("utf-8"), flags=re.S)
        sizes = dict(re.findall(r"#define (\w+) (\d+)", header))
        self.inputs, self.outputs = (int(sizes[f"{self.name.upper()}_{side}"]) for side in ("INPUTS", "OUTPUTS"))
        body = re.findall(r"typedef (struct \w+_state \{.*?\}) \w+;", header, re.S)[0]
        body = re.sub(r"\[(\w+)\]", lambda m: f"[{sizes.get(m[1], m[1])}]", body)
        self._steps = int(sizes.get(f"{self.name.upper()}_STEPS", 0))  # 0: it runs sample by sample
        self._window = int(sizes.get(f"{self.name.upper()}_WINDOW", 0))
        api = API + (WINDOW if self._steps else STEPS)
        self._ffi.cdef(body + ";" + api.replace("{n}", self.name))
        self._library = self._ffi.dlopen(str(library))
        self._state = self._ffi.new(f"struct {self.name}_state *")
        self.reset()

    def _call(self, function: str, *arguments: Any) -> np.ndarray:
        """A function whose last argument is an array of the outputs."""
        y = np.empty(self.outputs, np.float32)
        out = self._ffi.cast("float *", y.ctypes.data)
        getattr(self._library, f"{self.name}_{function}")(self._state, *arguments, out)
        return y

    def _in(self, values: np.ndarray, *shape: int) -> Any:
        array = np.ascontiguousarray(values, np.float32)
        if array.shape != (*shape, self.inputs):
            raise ToolkitError(f"{self.name}: an array of shape {list(array.shape)}; expected {[*shape, self.inputs]}")
        return self._ffi.from_buffer("float[]", array)

    def reset(self) -> None:
        """The state before the first sample."""
        getattr(self._library, f"{self.name}_reset")(self._state)

    def step(self, x: np.ndarray) -> np.ndarray:
        """Normalised [inputs] -> [outputs]."""
        return self._call("step", self._in(x))

    def run(self, x: np.ndarray) -> np.ndarray:
        """Normalised [time, inputs] -> [outputs] after the last step; layer by layer: a window -> [steps', outputs]."""
        if not self._steps:
            return self._call("run", self._in(x, len(x)), len(x))
        y = np.empty((self._steps, self.outputs), np.float32)
        out = self._ffi.from_buffer("float[]", y)
        getattr(self._library, f"{self.name}_run")(self._state, self._in(x, self._window), out)
        return y

    def predict(self, raw: np.ndarray) -> np.ndarray:
        """Raw units [inputs] -> forecast [outputs]; a NaN counts as a lost sample."""
        return self._call("predict", self._in(raw))

    def predict_missing(self) -> np.ndarray:
        """A lost sample -> forecast [outputs]."""
        return self._call("predict_missing")

    @property
    def warmed_up(self) -> bool:
        """Whether the forecast is to be trusted yet."""
        return bool(getattr(self._library, f"{self.name}_warmed_up")(self._state))

    def state(self) -> bytes:
        """The state as this machine's bytes."""
        return bytes(self._ffi.buffer(self._state))

    def restore(self, blob: bytes) -> None:
        """Continues from `state` of the same model and machine."""
        self._ffi.buffer(self._state)[:] = blob


def build_and_load(network: Network) -> Callable[[np.ndarray], np.ndarray]:
    """A network's float32 C on this computer: normalised x [time, inputs] -> y [time', outputs] from the first state,
    to compare with `quantize.float_graph.evaluate`. Its layers' names need not be C's. Built once, by its contents.

    Raises: ToolkitError or QuantizeError where it cannot be generated or built."""
    plain = _renamed(network)
    files = generate_f32(plain, "0" * 64, load_board("host"), "ref")
    text = "".join(f"{name}\0{files[name]}\0" for name in sorted(files)) + host_toolchain("auto").version
    folder = CACHE / "f32" / hashlib.sha256(text.encode()).hexdigest()[:32]
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as work:  # two processes may build it at once
            c_dir, kept = Path(work) / "c", Path(work) / "kept"
            write_folder(files, c_dir)
            library = build_host(c_dir, Path(work) / "out")
            kept.mkdir()
            for path in (library, c_dir / f"{plain.name}.h"):
                os.replace(path, kept / path.name)
            with contextlib.suppress(OSError):  # the other was first
                os.rename(kept, folder)
    return _function(FloatModel(folder, folder / f"model{SUFFIX}", name=plain.name), plain)


def _renamed(n: Network) -> Network:
    names = {INPUT: INPUT, **{x.name: f"layer{k}" for k, x in enumerate(n.layers)}}
    layers = (replace(x, name=names[x.name], sources=tuple(names[s] for s in x.sources)) for x in n.layers)
    return replace(n, name="net", layers=tuple(layers))


def _function(model: FloatModel, n: Network) -> Callable[[np.ndarray], np.ndarray]:
    def call(x: np.ndarray) -> np.ndarray:
        model.reset()
        if n.mode != "window":
            return np.stack([model.step(row) for row in x])
        return model.run(x).reshape(-1, model.outputs)

    return call
