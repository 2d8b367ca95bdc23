"""The verifier: whether a network, float or quantized, is what the arithmetic and the generated C take."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np

from quantize import fixedpoint as fp
from quantize.errors import QuantizeError
from quantize.features import verify_front
from quantize.graph import verify_graph
from quantize.graph import width as graph_width
from quantize.network import MISSING, MODES, TRAINING, Layer, Network
from quantize.ops import FLOAT, OPS
from quantize.qnetwork import QInput, QLayer, QNetwork, QOutput

DEPLOYED_HEADS = ("last", "final_states", "all")  # all: of a stream, and of a window's last step


def verify_network(network: Network) -> None:
    """Raises QuantizeError when it is not a stack of recurrent layers with a dense head that fits together."""
    known(network.layers, FLOAT)
    _deployable(network)
    verify_graph(network)
    _stack(network.layers, len(network.inputs), len(network.outputs))
    _scalars(network)
    _front(network)
    for side, columns in (("input", network.inputs), ("output", network.outputs)):
        for c in columns:
            _within(f'{side} "{c.name}": decimals', c.decimals, 0, 9)
            if not (math.isfinite(c.mean) and math.isfinite(c.std) and c.std > 0):
                raise QuantizeError(f'{side} "{c.name}": mean {c.mean}, std {c.std}: expected finite, std above 0')


def _deployable(network: Network) -> None:
    """Raises QuantizeError, naming it, at what has no integer form."""
    for x in network.layers:
        options = [k for k, v in x.options.items() if v and k not in TRAINING]
        for what in (*options, *(["peephole"] if "p" in x.weights else [])):
            raise QuantizeError(f"{x.name}: {what} has no integer form yet; train without it")
    if network.output == "gaussian":
        raise QuantizeError('output = "gaussian" has no integer form; train quantiles, which have one')


def verify_qnetwork(q: QNetwork) -> None:
    """Raises QuantizeError when a number is outside what the oracle and the C prove things for.

    A file's digest tells accidents; this tells a file that somebody else's program wrote."""
    known(q.layers, OPS)
    verify_graph(q)
    _stack(q.layers, len(q.inputs), len(q.outputs))
    _scalars(q)
    _front(q)
    for x in q.layers:
        _layer_numbers(x)
    for c in q.inputs:
        _input_numbers(c)
    for o in q.outputs:
        _output_numbers(o)


def _stack(layers: Sequence[Layer | QLayer], width: int, outputs: int) -> None:
    ops = [x.op for x in layers]
    if len(ops) < 2 or OPS[ops[-1]].STATE or not all(OPS[op].STATE for op in ops[:-1]):
        cells = " or ".join(op for op in FLOAT if OPS[op].STATE)
        raise QuantizeError(f"layers {' -> '.join(ops) or '(none)'}: expected one or more {cells} and then one dense")
    names = [x.name for x in layers]
    if len(set(names)) < len(names):
        raise QuantizeError(f"layers {', '.join(names)}: two have the same name; rename one")
    if "lstm_w8a8" in ops and (set(ops[:-1]) != {"lstm_w8a8"} or ops[-1] != "dense_w16a8"):
        raise QuantizeError(f"layers {' -> '.join(ops)}: the scheme w8a8 is lstm_w8a8 and then dense_w16a8")
    if "lstm_w8a8" in ops and any(x.sources or x.reverse for x in layers):
        raise QuantizeError(f"layers {', '.join(names)}: the scheme w8a8 has one direction only")
    for k, x in enumerate(layers):
        _shapes(x)
        fed = graph_width(layers, k, width)
        if OPS[x.op].input_size(x) != fed:
            raise QuantizeError(f"{x.name}: takes {OPS[x.op].input_size(x)} values, but {fed} come in")
    made = OPS[layers[-1].op].output_size(layers[-1])
    if made != outputs:
        raise QuantizeError(f"{layers[-1].name}: gives {made} values for {outputs} output columns")


def known(layers: Sequence[Layer | QLayer], ops: Collection[str]) -> None:
    """Raises QuantizeError at the first layer whose op is not of `ops`."""
    unknown = [x for x in layers if x.op not in ops]
    if unknown:
        raise QuantizeError(f'{unknown[0].name}: op "{unknown[0].op}" has no integer form; there is: {", ".join(ops)}')


def _shapes(x: Layer | QLayer) -> None:
    arrays = x.weights if isinstance(x, Layer) else x.arrays
    found = {k: v.shape for k, v in arrays.items()}
    expected = OPS[x.op].shapes(x)
    if found != expected:
        raise QuantizeError(f"{x.name}: arrays {_text(found)}; expected {_text(expected)}")


def _text(shapes: dict[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{k} {list(v)}" for k, v in sorted(shapes.items()))


def _scalars(n: Network | QNetwork) -> None:
    """What the C's counters can hold and its compilers accept."""
    for section, key, known in (
        ("model", "mode", MODES),
        ("deploy", "missing", MISSING),
        ("model", "head", DEPLOYED_HEADS),
    ):
        if getattr(n, key) not in known:
            raise QuantizeError(f'{section}.{key} = "{getattr(n, key)}": expected {" or ".join(known)}')
    shortest, longest = (1, 32767) if n.mode == "window" else (0, 0)
    for key, low, high in (("max_gap", 0, 255), ("warmup", 1, 2**31 - 1), ("window", shortest, longest)):
        _within(f"{key} ({n.mode} mode)", getattr(n, key), low, high)


def _front(n: Network | QNetwork) -> None:
    if n.front:
        verify_front(n.front, len(n.inputs), len(n.outputs), n.missing)


def _within(where: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise QuantizeError(f"{where} = {value}: expected {low} .. {high}")


def _layer_numbers(x: QLayer) -> None:
    kinds, ranges = OPS[x.op].DTYPES, OPS[x.op].PARAMS
    for key, array in x.arrays.items():
        if array.dtype.name not in kinds[key]:
            raise QuantizeError(f"{x.name}.{key}: {array.dtype.name}; expected {' or '.join(kinds[key])}")
    if set(x.params) != set(ranges):
        raise QuantizeError(f"{x.name}: parameters {', '.join(sorted(x.params))}; expected {', '.join(sorted(ranges))}")
    for key, (low, high) in ranges.items():
        _within(f"{x.name}: {key}", x.params[key], low, high)
    if "h_zero" in ranges:
        _within(f"{x.name}: h_zero (a state begins at 0)", x.params["h_zero"], 0, 0)
    if "t" in ranges:
        _within(f"{x.name}: smallest multiplier", int(x.arrays["m"].min()), 1, 32767)
        if x.arrays["wx"].dtype == np.int8:
            _within(f"{x.name}: f, with int8 input weights,", x.params["f"], 0, 0)
    fits = OPS[x.op].fits(x)
    if not fits.all():
        raise QuantizeError(f"{x.name}: row {int(np.flatnonzero(~fits)[0])} does not fit the int32 accumulator")


def _input_numbers(c: QInput) -> None:
    where = f'input "{c.name}": '
    for key, low, high in (("decimals", 0, 9), ("k", 0, 30), ("m", 1, 32767), ("s", 1, 30)):
        _within(where + key, getattr(c, key), low, high)
    _within(where + "low", c.low, fp.INT32_MIN, c.offset)
    _within(where + "high", c.high, c.offset, fp.INT32_MAX)
    _within(where + "range", max(c.offset - c.low, c.high - c.offset) << c.k, 0, fp.INT32_MAX)


def _output_numbers(c: QOutput) -> None:
    where = f'output "{c.name}": '
    for key, low, high in (("decimals", 0, 9), ("m", 1, 32767), ("s", 1, 30)):
        _within(where + key, getattr(c, key), low, high)
    _within(where + "offset", c.offset, fp.INT32_MIN, fp.INT32_MAX)
