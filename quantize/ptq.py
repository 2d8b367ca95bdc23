"""Post-training quantization: a float Network and calibration sequences -> a QNetwork."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from quantize import fixedpoint as fp
from quantize import graph, oracle
from quantize.calibrate import Ranges, float_run, measure
from quantize.errors import QuantizeError
from quantize.network import Column, Layer, Network, layer
from quantize.ops import OPS, dense, dense_w16a8, lstm_w8a8
from quantize.qnetwork import QLayer, QNetwork, input_scale, offset_remainder, quantize_input
from quantize.verify import verify_network

RIDGE = 1e-3  # times the mean diagonal of the Gram matrix
SATURATING = (".z", ".z_r", ".z_z", ".z_n", ".c")  # traced tensors that sat16 made
TINY = 1e-12  # of that diagonal, so that a network whose h is always 0 still has a solution


@dataclass(frozen=True, slots=True)
class Options:
    """`refit`: fit the head again to the float outputs, on the quantized hidden states. `deep_wx_bits`: 8 or 16.

    `scheme`: w8a16 or w8a8; `activations` of w8a8: tflite or tflm."""

    refit: bool = True
    deep_wx_bits: int = 8
    scheme: str = "w8a16"
    activations: str = "tflm"


def normalised(columns: Sequence[Column], values: np.ndarray) -> np.ndarray:
    """Raw values [..., columns] -> (value - mean) / std."""
    return np.asarray((values - np.array([c.mean for c in columns])) / np.array([c.std for c in columns]))


def quantize(network: Network, sequences: Sequence[np.ndarray], options: Options, source: str) -> QNetwork:
    """`sequences`: raw input values [batch, time, inputs] of the training rows, each run from a zero state.

    `source`: digest of the float model. Raises: QuantizeError, naming the layer or column that does not fit."""
    clips = {x.name: x.options.get("cell_clip", 0.0) for x in network.layers}
    network = _without_clips(network)
    verify_network(network)
    scaled = [normalised(network.inputs, x) for x in sequences]
    if not all(np.isfinite(x).all() for x in scaled):
        raise QuantizeError("the calibration data hold NaN or infinity; fill or drop them")
    ranges = measure(network, scaled)
    for name, clip in clips.items():
        if clip and not ranges.states[name]["c"] < clip:
            raise QuantizeError(
                f"{name}: cell_clip has no integer form where it binds: the cell reaches "
                f"{ranges.states[name]['c']:.3g} in the calibration data, the clip is {clip:g}; deploy --scheme f32"
            )
    q = _quantize(network, ranges, options, source)
    if options.refit:
        head = _refit(network, q, sequences, scaled)
        q = _quantize(replace(network, layers=(*network.layers[:-1], head)), ranges, options, source)
    return q


def _without_clips(network: Network) -> Network:
    """Clips of a cell bind nothing where the calibration data stay below them; TFLite's files come with one of 10."""
    layers = (replace(x, options={k: v for k, v in x.options.items() if k != "cell_clip"}) for x in network.layers)
    return replace(network, layers=tuple(layers))


def _quantize(network: Network, ranges: Ranges, options: Options, source: str) -> QNetwork:
    for column, most in zip(network.inputs, ranges.x, strict=True):
        if not most > 0:
            raise QuantizeError(f'input "{column.name}": constant in the calibration data; drop it or give other data')
    small = options.scheme == "w8a8"
    full, top = (127.0, 128) if small else (32767 / 4, fp.AMPLITUDE)
    seen = zip(network.inputs, ranges.x, strict=True)
    inputs = tuple(quantize_input(c, float(a), full=full, top=top) for c, a in seen)
    scale = np.array([input_scale(c, q) for c, q in zip(network.inputs, inputs, strict=True)])
    shift = np.array([offset_remainder(c) for c in network.inputs])
    layers: list[QLayer] = []
    scales = {graph.INPUT: scale}
    for k, x in enumerate(network.layers[:-1]):
        fed = graph.sources(network.layers, k)
        if fed == (graph.INPUT,):
            key = "b_ih" if "b_ih" in x.weights else "b"
            b, w = np.array(x.weights[key], np.float64), x.weights["w" if "w" in x.weights else "w_ih"]
            b[: len(w)] += w.astype(np.float64) @ shift
            x = replace(x, weights={**x.weights, key: b})
        bits = 16 if fed == (graph.INPUT,) else options.deep_wx_bits
        made = _cell(x, np.concatenate([scales[s] for s in fed]), ranges.states[x.name], bits, options)
        layers.append(replace(made, sources=x.sources, reverse=x.reverse))
        scales[x.name] = np.full(OPS[x.op].output_size(x), unit(made))
    last = network.layers[-1]
    steps = np.concatenate([scales[s] for s in graph.sources(network.layers, len(network.layers) - 1)])
    if not small:  # a head's own step of h is 1 / 32640
        last = replace(last, weights={**last.weights, "w": last.weights["w"] * (steps / dense.UNIT)})
    head, outputs = (dense_w16a8 if small else dense).quantize(last, network.outputs)
    fields = {
        f: getattr(network, f)
        for f in ("name", "mode", "window", "warmup", "horizon", "period", "missing", "max_gap", "head")
    }
    head = replace(head, sources=network.layers[-1].sources)
    return QNetwork(
        layers=(*layers, head), inputs=inputs, outputs=outputs, source=source, digest="", front=network.front, **fields
    )


def unit(x: QLayer) -> float:
    """Real value of one step of a layer's h."""
    return float(OPS[x.op].UNIT * 2.0 ** x.params.get("h_exp", 0))


def _cell(x: Layer, scale: np.ndarray, ranges: Mapping[str, float], bits: int, options: Options) -> QLayer:
    if options.scheme == "w8a16":
        q: QLayer = OPS[x.op].quantize(x, scale, ranges, bits)
        return q
    if x.sources or x.reverse:
        raise QuantizeError(f'{x.name}: the scheme w8a8 has one direction only; set quantize.scheme = "w8a16"')
    if x.op != "lstm":
        raise QuantizeError(f'{x.name}: the scheme w8a8 has no {x.op}; set quantize.scheme = "w8a16"')
    return lstm_w8a8.quantize(x, scale, ranges, table=options.activations == "tflm")


def _refit(network: Network, q: QNetwork, sequences: Sequence[np.ndarray], scaled: Sequence[np.ndarray]) -> Layer:
    """Ridge regression of the float network's outputs on the quantized hidden states, drawn towards the float head.

    (Hoerl & Kennard 1970, centred on the present weights: where the data say nothing, nothing changes.)"""
    size = dense.input_size(q.layers[-1])
    head = network.layers[-1]
    w = np.asarray(head.weights["w"], np.float64)
    fed = graph.sources(q.layers, len(q.layers) - 1)
    parts = [np.full(OPS[x.op].output_size(x), unit(x)) for s in fed for x in q.layers if x.name == s]
    units = np.concatenate(parts)
    gram, cross = np.zeros((size + 1, size + 1)), np.zeros((size + 1, len(network.outputs)))
    for raw, x in zip(sequences, scaled, strict=True):
        hidden = hidden_states(q, raw)
        wanted = float_run(network, x)
        if network.mode == "window":
            hidden, wanted = hidden[:, -1:], wanted[:, -1:]
        else:
            hidden, wanted = hidden[:, network.warmup - 1 :], wanted[:, network.warmup - 1 :]
        h = np.concatenate([hidden * units, np.ones((*hidden.shape[:2], 1))], -1).reshape(-1, size + 1)
        left = wanted.reshape(len(h), len(network.outputs)) - h[:, :-1] @ w.T - head.weights["b"]
        gram += h.T @ h
        cross += h.T @ left
    if not gram[-1, -1]:
        raise QuantizeError(
            f"no calibration sequence is longer than the warm-up of {network.warmup} steps; give longer ones"
        )
    ridge = RIDGE * max(np.trace(gram[:-1, :-1]) / size, TINY) * np.eye(size + 1)
    ridge[-1, -1] = 0.0
    delta = np.linalg.solve(gram + ridge, cross)
    weights = {"w": w + delta[:-1].T, "b": head.weights["b"] + delta[-1]}
    return layer(head.name, head.op, weights, sources=head.sources)


def hidden_states(q: QNetwork, raw: np.ndarray) -> np.ndarray:
    """Raw values [batch, time, inputs] -> what the head is fed [batch, time, H], from a zero state; of a layered
    network only after the last step: [batch, 1, H]."""
    x = oracle.quantize_inputs(q, oracle.to_raw(q.inputs, raw))
    if graph.layered(q):
        return oracle.window(q, x)[0][:, None]
    state, out = oracle.zero_state(q, len(x)), np.empty((*x.shape[:2], dense.input_size(q.layers[-1])))
    for step in range(x.shape[1]):
        _, state = oracle.step(q, x[:, step], state)
        out[:, step] = state[q.layers[-2].name]["h"]
    return out


def overflow_report(q: QNetwork) -> list[dict[str, float | str]]:
    """Per layer: the largest possible accumulator as a fraction of 2**31 (every row is proven below 1), and its row."""
    rows: list[dict[str, float | str]] = []
    for x in q.layers:
        bound = OPS[x.op].bounds(x)
        rows.append(
            {"layer": x.name, "row": int(bound.argmax()), "rows": len(bound), "of_int32": float(bound.max() / 2**31)}
        )
    return rows


def saturation(q: QNetwork, raw: np.ndarray) -> dict[str, int]:
    """How often something saturated over raw values [batch, time, inputs]: inputs, gate inputs, cells."""
    x = oracle.quantize_inputs(q, oracle.to_raw(q.inputs, raw))
    end = 127 if q.layers[0].op == "lstm_w8a8" else fp.AMPLITUDE
    counts = {"x": int((np.abs(x) >= end).sum())}

    def count(trace: dict[str, np.ndarray]) -> None:
        for key, value in trace.items():
            if key.endswith(SATURATING):
                counts[key] = counts.get(key, 0) + int(((value == 32767) | (value == -32768)).sum())

    if graph.layered(q):
        oracle.window(q, x, count)
        return counts
    state = oracle.zero_state(q, len(x))
    for step in range(x.shape[1]):
        trace: dict[str, np.ndarray] = {}
        _, state = oracle.step(q, x[:, step], state, trace)
        count(trace)
    return counts
