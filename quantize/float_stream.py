"""FloatStream: a float network in float64, as one stream with the whole API of the generated float32 C."""

from __future__ import annotations

import numpy as np

from quantize.network import Network
from quantize.ops import OPS


class FloatStream:
    """What the float32 C of a network is held to: the same steps, and the same treatment of lost samples."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self._in, self._out = (
            (np.array([c.mean for c in side]), np.array([c.std for c in side]))
            for side in (network.inputs, network.outputs)
        )
        self.reset()

    def reset(self) -> None:
        """The state before the first sample."""
        self.steps = self.lost = 0
        self._samples: list[np.ndarray] = []
        self._clear()

    def predict(self, raw: np.ndarray) -> np.ndarray:
        """Raw units [inputs] -> forecast [outputs]."""
        x = (raw - self._in[0]) / self._in[1]
        if self.network.missing == "interpolate":
            last = self._samples[-1] if self._samples else x
            for k in range(1, self.lost + 1):
                self._accept(last + (x - last) * k / (self.lost + 1))
        self.lost = 0
        self._accept(x)
        return self._forecast()

    def predict_missing(self) -> np.ndarray:
        """A lost sample -> forecast [outputs]."""
        if self.steps:
            self.lost += 1
            if self.network.missing == "reset" or self.lost > self.network.max_gap:
                self.reset()
            elif self.network.missing == "hold":
                self._accept(self._samples[-1])
        return self._forecast()

    def _clear(self) -> None:
        cells = self.network.layers[:-1]
        self._state = {x.name: {k: np.zeros((1, OPS[x.op].output_size(x))) for k in OPS[x.op].STATE} for x in cells}

    def _advance(self, x: np.ndarray) -> None:
        v = x[None]
        for cell in self.network.layers[:-1]:
            v, self._state[cell.name] = OPS[cell.op].float_step(cell, v, self._state[cell.name])

    def _accept(self, x: np.ndarray) -> None:
        self.steps += 1
        self._samples = [*self._samples, x][-max(self.network.window, 1) :]
        if self.network.mode != "window":
            self._advance(x)

    def _forecast(self) -> np.ndarray:
        if self.network.mode == "window":
            self._clear()
            for x in self._samples:
                self._advance(x)
        head = self.network.layers[-1].weights
        h = self._state[self.network.layers[-2].name]["h"][0]
        forecast: np.ndarray = (head["w"].astype(np.float64) @ h + head["b"]) * self._out[1] + self._out[0]
        return forecast
