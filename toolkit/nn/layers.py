"""The layers that a model is written with, and what they build: layers of a `quantize.network.Network`.

    Sequential([Bidirectional(LSTM(32)), Dropout(0.2), Residual(Bidirectional(LSTM(32))), Dense(1)])

`[model]` of a run.toml is such a list, too: `described`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from quantize.network import Layer, Network, layer
from toolkit.config import Model
from toolkit.errors import ToolkitError
from toolkit.nn import dense, gru, lstm, lstm_norm, rnn


@dataclass(frozen=True, slots=True)
class LSTM:
    """`hidden` units. Options as in `toolkit.nn.lstm`; a bound of 0 is none."""

    hidden: int
    peephole: bool = False
    preact_clip: float = 0.0
    cell_clip: float = 0.0
    input_forget: bool = False
    forget_bias: float = 1.0
    recurrent_dropout: float = 0.0

    def layer(self, name: str, inputs: int, rng: np.random.Generator, graph: Mapping[str, Any]) -> Layer:
        """With first weights."""
        weights = lstm.first_weights(
            self.hidden,
            inputs,
            rng,
            forget_bias=self.forget_bias,
            peephole=self.peephole,
            input_forget=self.input_forget,
        )
        keys = ("preact_clip", "cell_clip", "input_forget", "recurrent_dropout")
        return layer(name, "lstm", weights, options=_on(self, keys), **graph)


@dataclass(frozen=True, slots=True)
class LSTMNorm:
    """The LSTM with layer normalisation of the Burn book; `state_dropout` as there on every such layer but the last."""

    hidden: int
    forget_bias: float = 1.0
    state_dropout: float = 0.0
    recurrent_dropout: float = 0.0

    def layer(self, name: str, inputs: int, rng: np.random.Generator, graph: Mapping[str, Any]) -> Layer:
        """With first weights."""
        weights = lstm_norm.first_weights(self.hidden, inputs, rng, forget_bias=self.forget_bias)
        return layer(name, "lstm_norm", weights, options=_on(self, ("state_dropout", "recurrent_dropout")), **graph)


@dataclass(frozen=True, slots=True)
class GRU:
    """`reset`: "after" (PyTorch, Keras) or "before" (Cho et al. 2014) the recurrent product."""

    hidden: int
    reset: str = "after"
    recurrent_dropout: float = 0.0

    def layer(self, name: str, inputs: int, rng: np.random.Generator, graph: Mapping[str, Any]) -> Layer:
        """With first weights."""
        weights = gru.first_weights(self.hidden, inputs, rng, reset=self.reset)
        return layer(name, "gru", weights, options=_on(self, ("recurrent_dropout",)), **graph)


@dataclass(frozen=True, slots=True)
class RNN:
    """`activation`: "tanh" or "relu"."""

    hidden: int
    activation: str = "tanh"
    recurrent_dropout: float = 0.0

    def layer(self, name: str, inputs: int, rng: np.random.Generator, graph: Mapping[str, Any]) -> Layer:
        """With first weights."""
        options = _on(self, ("recurrent_dropout",)) | ({"relu": 1.0} if self.activation == "relu" else {})
        return layer(name, "rnn", rnn.first_weights(self.hidden, inputs, rng), options=options, **graph)


@dataclass(frozen=True, slots=True)
class Dense:
    """W h + b. The last one is the head."""

    outputs: int

    def layer(self, name: str, inputs: int, rng: np.random.Generator, graph: Mapping[str, Any]) -> Layer:
        """With first weights."""
        return layer(name, "dense", dense.first_weights(self.outputs, inputs, rng), **graph)


@dataclass(frozen=True, slots=True)
class Dropout:
    """On what the layer before it gives, drawn anew each step."""

    rate: float


@dataclass(frozen=True, slots=True, init=False)
class Bidirectional:
    """The layers, and the same with other weights from the last step to the first; what follows sees both.

    Several layers are two stacks whose ends are joined. For each layer to see both directions of the one below, give
    each its own Bidirectional."""

    layers: tuple[Any, ...]

    def __init__(self, *layers: Any) -> None:
        object.__setattr__(self, "layers", layers)


@dataclass(frozen=True, slots=True, init=False)
class Residual:
    """The layers' output plus their input."""

    layers: tuple[Any, ...]

    def __init__(self, *layers: Any) -> None:
        object.__setattr__(self, "layers", layers)


Part = LSTM | LSTMNorm | GRU | RNN | Dense | Dropout | Bidirectional | Residual
OP = {LSTM: "lstm", LSTMNorm: "lstm_norm", GRU: "gru", RNN: "rnn", Dense: "dense"}


def _on(spec: Any, keys: Sequence[str]) -> dict[str, float]:
    return {k: float(getattr(spec, k)) for k in keys if getattr(spec, k)}


class _Graph:
    """Layers as they are added; `tops` are the names of those that the next one reads."""

    def __init__(self, inputs: int, rng: np.random.Generator) -> None:
        self.layers: list[Layer] = []
        self.widths, self.reverse = {"": inputs}, {"": False}
        self.tops: tuple[str, ...] = ("",)
        self.rng, self.count = rng, 0

    def append(self, one: Layer, width: int) -> None:
        before = self.layers[-1].name if self.layers else ""
        sources = () if one.sources == (before,) else one.sources  # () says: the one before
        self.layers.append(replace(one, sources=sources))
        self.widths[one.name], self.reverse[one.name], self.tops = width, one.reverse, (one.name,)

    def add(self, spec: Part, *, reverse: bool) -> None:
        if isinstance(spec, Bidirectional):
            self._bidirectional(spec, reverse=reverse)
        elif isinstance(spec, Residual):
            self._residual(spec, reverse=reverse)
        elif isinstance(spec, Dropout):
            self._dropout(spec)
        elif type(spec) in OP:
            name = f"{OP[type(spec)]}{self.count}{'_reverse' * reverse}"
            self.count += 1
            self._named(spec, name, reverse=reverse)
        else:
            raise ToolkitError(f"{spec!r}: expected one of {', '.join(k.__name__ for k in get_args(Part))}")

    def _named(self, spec: Any, name: str, *, reverse: bool) -> None:
        inputs = sum(self.widths[k] for k in self.tops)
        graph = {"sources": self.tops, "reverse": reverse}
        self.append(spec.layer(name, inputs, self.rng, graph), spec.outputs if isinstance(spec, Dense) else spec.hidden)

    def head(self, spec: Dense) -> None:
        self._named(spec, "head", reverse=False)

    def _bidirectional(self, spec: Bidirectional, *, reverse: bool) -> None:
        if reverse:
            raise ToolkitError("Bidirectional inside Bidirectional: expected layers of one direction")
        below, first = self.tops, self.count
        ends: tuple[str, ...] = ()
        for backwards in (False, True):
            self.tops, self.count = below, first
            for one in spec.layers:
                self.add(one, reverse=backwards)
            ends += self.tops
        self.tops = ends

    def _residual(self, spec: Residual, *, reverse: bool) -> None:
        below = self.tops
        for one in spec.layers:
            self.add(one, reverse=reverse)
        widths = [[self.widths[k] for k in tops] for tops in (below, self.tops)]
        if widths[0] != widths[1]:
            raise ToolkitError(f"Residual: adds an input of width {widths[0]} to {widths[1]}: expected the same")
        sums = []
        for low, high in zip(below, self.tops, strict=True):
            name = "add" + high.lstrip("abcdefghijklmnopqrstuvwxyz_")
            while name in self.widths:  # a Residual that ends with a Residual
                name += "_sum"
            self.append(layer(name, "add", {}, sources=(low, high), reverse=self.reverse[high]), self.widths[high])
            sums.append(name)
        self.tops = tuple(sums)

    def _dropout(self, spec: Dropout) -> None:
        if not 0 <= spec.rate < 1:
            raise ToolkitError(f"Dropout({spec.rate}): expected a rate from 0 up to but not 1")
        if self.tops == ("",):
            raise ToolkitError("Dropout: nothing stands before it; expected it behind a layer")
        for k, one in enumerate(self.layers):
            if one.name in self.tops and spec.rate:
                self.layers[k] = replace(one, options={**one.options, "dropout": float(spec.rate)})


def build(parts: Sequence[Part], inputs: int, rng: np.random.Generator) -> tuple[Layer, ...]:
    """The layers with their first weights; the last of `parts` is the head.

    Raises: ToolkitError where they do not fit together."""
    if not parts or not isinstance(parts[-1], Dense):
        raise ToolkitError("the last layer is the head: expected Dense(outputs)")
    graph = _Graph(inputs, rng)
    for spec in parts[:-1]:
        graph.add(spec, reverse=False)
    graph.head(parts[-1])
    return tuple(graph.layers)


def described(model: Model, outputs: int) -> list[Part]:
    """The layers of [model].

    Dropout is on what each recurrent layer gives, the last one's to the head, too; with lstm_norm as in Burn that of
    all but the last goes into the state. A residual is around each layer but the first, whose width is another."""
    made: list[Part] = []
    for k in range(model.layers):
        one, inside = _cell(model, last=k == model.layers - 1), model.cell == "lstm_norm" and k < model.layers - 1
        parts: list[Part] = [one, *([Dropout(model.dropout)] if model.dropout and not inside else [])]
        if model.bidirectional == "joined":
            parts = [Bidirectional(*parts)]
        made += [Residual(*parts)] if model.residual and k else parts
    if model.bidirectional == "parallel":
        made = [Bidirectional(*made)]
    return [*made, Dense(outputs)]


def _cell(model: Model, *, last: bool) -> Part:
    size, recurrent = model.hidden, model.recurrent_dropout
    if model.cell == "gru":
        return GRU(size, reset=model.reset, recurrent_dropout=recurrent)
    if model.cell == "rnn":
        return RNN(size, activation=model.activation, recurrent_dropout=recurrent)
    if model.cell == "lstm_norm":
        state = 0.0 if last else model.dropout
        return LSTMNorm(size, forget_bias=model.forget_bias, state_dropout=state, recurrent_dropout=recurrent)
    return LSTM(
        size,
        peephole=model.peephole,
        preact_clip=model.preact_clip,
        cell_clip=model.cell_clip,
        input_forget=model.input_forget,
        forget_bias=model.forget_bias,
        recurrent_dropout=recurrent,
    )


def init_network(template: Network, model: Model, *, rng: np.random.Generator) -> Network:
    """`template` (its layers ignored; it has a column for each output) with the layers of [model] and first weights."""
    layers = build(described(model, len(template.outputs)), len(template.inputs), rng)
    return replace(template, layers=layers, head=model.head, output=model.output, levels=model.levels)
