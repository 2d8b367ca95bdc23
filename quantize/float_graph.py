"""A float network over whole sequences: every layer's output, and the checks that its layers fit together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from quantize.activations import parse
from quantize.errors import QuantizeError
from quantize.float_ops import DEFAULTS, MERGE, SEQUENCE
from quantize.graph import INPUT, sources
from quantize.network import HEADS, Layer, Network

RECURRENT = tuple(DEFAULTS)
ONE = {"lstm": 4, "lstm_norm": 4, "gru": 3, "rnn": 1}  # rows of w_hh per hidden unit


def evaluate(network: Network, x: np.ndarray) -> dict[str, np.ndarray]:
    """x [batch, time, in] normalised -> every layer's output [batch, time', out] by its name, float64, from the first
    state; "" is the network's: what its head makes of the window (one step, but with head "all"; of a stream, every
    step)."""
    lines: dict[str, np.ndarray] = {INPUT: np.asarray(x, np.float64)}
    for k, layer in enumerate(network.layers):
        fed = [lines[s] for s in sources(network.layers, k)]
        if layer.op in MERGE:
            lines[layer.name] = MERGE[layer.op](fed)
            continue
        if layer is network.layers[-1] and network.mode == "window":
            fed = _seen(network, fed)
        lines[layer.name] = SEQUENCE[layer.op](layer, np.concatenate(fed, axis=-1))
    return {**lines, "": lines[network.layers[-1].name]}


def _seen(network: Network, fed: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the last layer sees of a window: HEADS of quantize.network."""
    if network.head == "all":
        return list(fed)
    if network.head == "mean":
        return [v.mean(1, keepdims=True) for v in fed]
    names = sources(network.layers, len(network.layers) - 1)
    turned = {x.name for x in network.layers if x.reverse} if network.head == "final_states" else set()
    return [v[:, :1] if name in turned else v[:, -1:] for name, v in zip(names, fed, strict=True)]


def shapes(network: Network, steps: int) -> dict[str, tuple[int, int]]:
    """(time', features) of every layer's output for a window of `steps`, in the layers' order; "" is the input's.

    Raises: QuantizeError, naming the layer, where something does not fit together."""
    made: dict[str, tuple[int, int]] = {INPUT: (steps, len(network.inputs))}
    if not network.layers:
        raise QuantizeError(f"network {network.name}: no layers")
    if network.head not in HEADS:
        raise QuantizeError(f'head = "{network.head}": expected one of {", ".join(HEADS)}')
    last = network.layers[-1].name
    for k, layer in enumerate(network.layers):
        if layer.name in made:
            raise QuantizeError(f'two layers are named "{layer.name}"; rename one')
        fed = []
        for s in sources(network.layers, k):
            if s not in made:
                raise QuantizeError(f'{layer.name}: fed by "{s}", which is no layer before it')
            fed.append(made[s])
        if layer.name == last and network.mode == "window" and network.head != "all":
            fed = [(1, n) for _, n in fed]
        made[layer.name] = shape(layer, fed)
    return made


def shape(layer: Layer, fed: Sequence[tuple[int, int]]) -> tuple[int, int]:
    """(time', features) that a layer makes of its sources' (time, features).

    Raises: QuantizeError where it cannot take them, or its weights are not what the op has."""
    if layer.op not in SEQUENCE and layer.op not in MERGE:
        raise QuantizeError(f'{layer.name}: no op "{layer.op}"; there is: {", ".join([*SEQUENCE, *MERGE])}')
    if len({t for t, _ in fed}) > 1:
        raise QuantizeError(
            f"{layer.name}: its sources have {', '.join(str(t) for t, _ in fed)} steps: expected as many"
        )
    for text in layer.activations:
        parse(text)
    for key, values in layer.weights.items():
        if not np.isfinite(values).all():
            raise QuantizeError(f"{layer.name}.{key}: a weight is NaN or infinite; train or import it again")
    time, width = fed[0][0], sum(n for _, n in fed)
    if layer.op in MERGE:
        if len({n for _, n in fed}) > 1:
            raise QuantizeError(
                f"{layer.name}: {layer.op} of {', '.join(str(n) for _, n in fed)} values: expected equal"
            )
        return time, fed[0][1]
    _weights(layer, width)
    return _made(layer, time, width)


def _made(layer: Layer, time: int, width: int) -> tuple[int, int]:
    o = {k: int(v) for k, v in layer.options.items() if k != "epsilon" and float(v).is_integer()}
    if layer.op in ("conv", "pool"):
        kernel = layer.weights["w"].shape[2] if layer.op == "conv" else o.get("kernel", 0) or time
        extent = (kernel - 1) * o.get("dilation", 1) + 1
        left = time + o.get("pad_before", 0) + o.get("pad_after", 0) - extent
        if left < 0 or o.get("stride", 1) < 1:
            raise QuantizeError(f"{layer.name}: {layer.op} over {extent} steps does not fit a window of {time}")
        return left // o.get("stride", 1) + 1, layer.weights["w"].shape[0] if layer.op == "conv" else width
    if layer.op == "take":
        at = o.get("at", -1)
        if not -time <= at < time:
            raise QuantizeError(f"{layer.name}: takes step {at} of {time}")
        return 1, width
    if layer.op == "pick":
        if not 0 <= o.get("first", 0) < o.get("first", 0) + o.get("count", 0) <= width:
            raise QuantizeError(f"{layer.name}: picks {o.get('count', 0)} from {o.get('first', 0)} of {width} features")
        return time, o["count"]
    if layer.op == "flatten":
        return 1, time * width
    if layer.op in RECURRENT:
        return time, int(layer.weights["w_hh"].shape[1])
    return time, layer.weights["w"].shape[0] if "w" in layer.weights else width


def _weights(layer: Layer, width: int) -> None:
    """Raises: QuantizeError where the arrays are not those of the op for `width` features."""
    found = {k: v.shape for k, v in layer.weights.items()}
    expected = _expected(layer, width)
    optional = {k: v for k, v in _optional(layer).items() if k in found}
    if found != {**expected, **optional}:
        text = ", ".join(f"{k} {list(v)}" for k, v in sorted({**expected, **optional}.items()))
        raise QuantizeError(
            f"{layer.name} ({layer.op}, {width} values come in): arrays "
            f"{', '.join(f'{k} {list(v)}' for k, v in sorted(found.items())) or '(none)'}; expected {text or '(none)'}"
        )
    counts = {
        "dense": (0, 1),
        "dense_hidden": (0, 1),
        "activation": (1,),
        **{op: (0, len(v)) for op, v in DEFAULTS.items()},
    }
    allowed = counts.get(layer.op, (0,))
    if len(layer.activations) not in allowed:
        wanted = " or ".join(map(str, allowed))
        raise QuantizeError(f"{layer.name}: {len(layer.activations)} activations; expected {wanted}")


def _expected(layer: Layer, width: int) -> dict[str, tuple[int, ...]]:
    w = {k: v.shape for k, v in layer.weights.items()}
    if layer.op in RECURRENT:
        h, rows = (w["w_hh"][-1] if len(w.get("w_hh", ())) == 2 else 1), ONE[layer.op]
        both: dict[str, tuple[int, ...]] = {"w_ih": (rows * h, width), "w_hh": (rows * h, h)}
        if layer.op == "lstm_norm":
            more = {"b_ih": (4 * h,), "b_hh": (4 * h,), "norm_x": (2, 4 * h), "norm_c": (2, h), "norm_h": (2, h)}
            return {**both, **more}
        after = layer.op == "gru" and w.get("b") == (4 * h,)
        return {**both, "b": ((4 if after else rows) * h,)}
    if layer.op in ("dense", "dense_hidden"):
        out = w["w"][0] if len(w.get("w", ())) == 2 else 1
        return {"w": (out, width), "b": (out,)}
    if layer.op == "conv":
        out, _, kernel = w["w"] if len(w.get("w", ())) == 3 else (1, 1, 1)
        groups = int(layer.options.get("groups", 1))
        if width % groups or out % groups:
            raise QuantizeError(f"{layer.name}: {groups} groups of {width} inputs and {out} outputs")
        return {"w": (out, width // groups, max(kernel, 1)), "b": (out,)}
    return {"gain": (width,), "offset": (width,)} if layer.op in ("scale", "norm") else {}


def _optional(layer: Layer) -> dict[str, tuple[int, ...]]:
    if layer.op not in ("lstm", "gru", "rnn", "lstm_norm") or len(layer.weights.get("w_hh", np.empty(0)).shape) != 2:
        return {}
    h = layer.weights["w_hh"].shape[1]
    return {
        "h0": (h,),
        **({"c0": (h,)} if "lstm" in layer.op else {}),
        **({"p": (3 * h,)} if layer.op == "lstm" else {}),
    }
