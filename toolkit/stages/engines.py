"""What turns a stream of raw samples into forecasts: the integer network by the oracle or its C, or the float one."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from quantize import features, oracle
from quantize.network import Network
from quantize.qnetwork import QNetwork
from toolkit.data.features import feature_values
from toolkit.data.prepared import Prepared
from toolkit.host import HostModel
from toolkit.nn.network import States, forward


class Engine(Protocol):
    """A stream of forecasts. feed: one raw sample [raws] (None: lost) -> forecast [outputs], both real values."""

    def feed(self, raw: np.ndarray | None) -> np.ndarray: ...

    @property
    def warmed_up(self) -> bool: ...


class Integers:
    """The quantized network: the oracle, or its C on this computer."""

    def __init__(self, stream: oracle.Stream | HostModel, q: QNetwork) -> None:
        self.stream, self.q = stream, q

    def feed(self, raw: np.ndarray | None) -> np.ndarray:
        """What `predict`, or of a lost sample `predict_missing`, returns."""
        if raw is None:
            return oracle.from_raw(self.q.forecasts, self.stream.predict_missing())
        return oracle.from_raw(self.q.forecasts, self.stream.predict(oracle.to_raw(self.q.raws, raw)))

    @property
    def warmed_up(self) -> bool:
        """False again after a gap that is too long."""
        return self.stream.warmed_up


class Floats:
    """The float network, fed as the C is: `quantize.oracle.Stream` without its integers."""

    def __init__(self, network: Network, prepared: Prepared) -> None:
        self.network, self.prepared = network, prepared
        self.reset()

    def reset(self) -> None:
        """Before the first sample there is no forecast: NaN."""
        self.raw = np.empty((0, self.prepared.raws))
        self.x = np.empty((0, len(self.network.inputs)))
        self.y = np.full(len(self.network.outputs), np.nan)
        self.states: States | None = None
        self.fed = self.lost = 0

    def feed(self, raw: np.ndarray | None) -> np.ndarray:
        """A lost sample is what `deploy.missing` makes of it, until more than `deploy.max_gap` in a row reset it."""
        n = self.network
        if raw is not None:
            x = self._take(raw)
            if self.lost and n.missing == "interpolate":
                for between in np.linspace(self.x[-1], x, self.lost + 2)[1:-1]:
                    self._accept(between)
            self.lost = 0
            self._accept(x)
        elif self.fed:
            self.lost += 1
            if n.missing == "reset" or self.lost > n.max_gap:
                self.reset()
            elif n.missing == "hold":
                self._accept(self._take(self.raw[-1]))
        if n.front is None or not n.front.bases or not self.fed:
            return self.y
        last = self.raw[-1][list(n.front.bases)]
        return np.asarray(last + self.y if n.front.target == "difference" else last * np.exp(self.y))

    def _take(self, raw: np.ndarray) -> np.ndarray:
        """A raw sample -> normalised features [inputs]; remembered."""
        p, n = self.prepared, self.network
        self.raw = np.vstack([self.raw, raw])[-features.LONGEST - 1 :]
        made = feature_values(p.features, p.columns[: p.raws], p.inputs, self.raw)[-1]
        return np.asarray((made - [c.mean for c in n.inputs]) / [c.std for c in n.inputs])

    def _accept(self, x: np.ndarray) -> None:
        n = self.network
        self.fed += 1
        self.x = np.vstack([self.x, x])[-max(n.window, 1) :]
        if n.mode == "window":
            y, _ = forward(n, self.x[None])
        else:
            y, self.states = forward(n, x[None, None], self.states)
        self.y = y[0, -1] * [c.std for c in n.outputs] + [c.mean for c in n.outputs]

    @property
    def warmed_up(self) -> bool:
        """Whether the forecast is to be trusted yet; false again after a gap that is too long."""
        return self.fed >= self.network.warmup
