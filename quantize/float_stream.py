"""FloatStream: a float network in float64, as one stream with the whole API of the generated float32 C."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from quantize.float_graph import RECURRENT, evaluate
from quantize.float_ops import DEFAULTS, MERGE, SEQUENCE, State, first_state, reach, recurrent_step
from quantize.graph import INPUT, layered, sources
from quantize.network import Layer, Network


def plain(x: Layer) -> bool:
    """Whether a layer is an LSTM, a GRU or a dense layer without options."""
    own = x.activations not in ((), DEFAULTS.get(x.op))
    options = any(x.options.get(k) for k in ("preact_clip", "cell_clip", "input_forget"))
    return x.op in ("lstm", "gru", "dense") and not own and not options and "p" not in x.weights


def chain(network: Network) -> bool:
    """Whether a sample goes through all layers: plain recurrent ones from zeros, then a dense one for the last step."""
    *cells, head = network.layers
    recurrent = bool(cells) and {x.op for x in cells} <= {"lstm", "gru"} and head.op == "dense"
    last = network.mode != "window" or network.head == "last"
    zeros = not any({"h0", "c0"} & set(x.weights) for x in cells)
    return recurrent and last and zeros and all(map(plain, network.layers)) and not layered(network)


class FloatStream:
    """What the float32 C of a network is held to: the same steps, and the same treatment of lost samples."""

    def __init__(self, network: Network) -> None:
        self.network, self._chain = network, chain(network)
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
        layers = [x for x in self.network.layers if x.op in RECURRENT]
        self._state: dict[str, State] = {x.name: first_state(x, 1) for x in layers}
        convolutions = [x for x in self.network.layers if x.op == "conv"]
        groups = {x.name: int(x.options.get("groups", 1)) for x in convolutions}
        self._past = {x.name: np.zeros((1, reach(x), x.weights["w"].shape[1] * groups[x.name])) for x in convolutions}
        self._y = np.zeros(len(self.network.outputs))
        if self._chain:  # its head reads the first state, too
            self._y = self._head({x.name: self._state[x.name]["h"] for x in layers})

    def _head(self, lines: dict[str, np.ndarray]) -> np.ndarray:
        below, head = self.network.layers[-2:]
        return np.asarray(SEQUENCE["dense"](head, lines[below.name]))[0]

    def _advance(self, x: np.ndarray) -> None:
        """One sample through every layer."""
        layers, lines = self.network.layers, {INPUT: x[None]}
        for k, y in enumerate(layers):
            fed = [lines[s] for s in sources(layers, k)]
            if y.op in MERGE:
                lines[y.name] = MERGE[y.op](fed)
            elif y.op == "conv":
                self._past[y.name] = np.concatenate([self._past[y.name][:, 1:], np.concatenate(fed, -1)[:, None]], 1)
                lines[y.name] = SEQUENCE["conv"](
                    replace(y, options={**y.options, "pad_before": 0}), self._past[y.name]
                )[:, 0]
            elif y.op in RECURRENT:
                lines[y.name], self._state[y.name] = recurrent_step(y, np.concatenate(fed, -1), self._state[y.name])
            else:
                lines[y.name] = SEQUENCE[y.op](y, np.concatenate(fed, -1)[:, None])[:, 0]
        self._y = lines[layers[-1].name][0]

    def _accept(self, x: np.ndarray) -> None:
        self.steps += 1
        self._samples = [*self._samples, x][-max(self.network.window, 1) :]
        if self.network.mode != "window":
            self._advance(x)

    def _forecast(self) -> np.ndarray:
        if self.network.mode == "window" and self._chain:
            self._clear()
            for x in self._samples:
                self._advance(x)
        elif self.network.mode == "window":
            self._y = evaluate(self.network, self._window()[None])[""][0, -1]
        forecast: np.ndarray = self._y * self._out[1] + self._out[0]
        return forecast

    def _window(self) -> np.ndarray:
        """The samples of a whole window: the first of all stands for those before it, and zeros where none came."""
        first = self._samples[0] if self._samples else np.zeros(len(self.network.inputs))
        return np.stack([first] * (self.network.window - len(self._samples)) + self._samples)
