"""ONNX -> Network, opset 7 to the newest that the onnx package knows.

`onnx_read` checks the file, `onnx_walk` follows its tensors, `onnx_ops`, `onnx_time` and `onnx_recurrent` make layers
of its operators. What the input's axes mean is written in no file: every meaning is tried until one fits the graph."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from quantize.network import Layer, Network
from toolkit.errors import ToolkitError
from toolkit.importers import Imported, Options, network_of
from toolkit.importers.onnx_activations import ACTIVATIONS
from toolkit.importers.onnx_constants import CONSTANTS, fold
from toolkit.importers.onnx_metadata import KEY, restored
from toolkit.importers.onnx_moves import MOVES
from toolkit.importers.onnx_ops import COMPUTE
from toolkit.importers.onnx_patterns import contracted
from toolkit.importers.onnx_read import FLOATS, Graph, Node, graph, load, looks_like_model, needed
from toolkit.importers.onnx_recurrent import RECURRENT
from toolkit.importers.onnx_time import TIME
from toolkit.importers.onnx_unrolled import follow
from toolkit.importers.onnx_walk import LARGEST, STATE, Data, Value, Walk, WrongAxes, walk

LAYERS = {**COMPUTE, **ACTIVATIONS, **TIME, **RECURRENT}
"""Operators that are taken of what depends on the input; MOVES and, of constants, CONSTANTS beside them."""
STREAM = 16  # steps of the window that a stream is compared in


@dataclass(frozen=True, slots=True)
class Roles:
    """What the axes of the model's input mean, e.g. "BTF", and how large they are; B is 1 where there is none."""

    axes: str
    batch: int
    steps: int
    features: tuple[int, ...]

    def tensor(self, x: np.ndarray) -> np.ndarray:
        """[batch, steps, features] -> the input as the model takes it."""
        sizes = {"B": (self.batch,), "T": (self.steps,), "F": self.features}
        have = "".join(a * len(sizes[a]) if a == "F" else a for a in "BTF" if a in self.axes)
        x = x.reshape([s for a in "BTF" if a in self.axes for s in sizes[a]])
        features = iter(range(have.find("F"), len(have)))
        return x.transpose([next(features) if a == "F" else have.index(a) for a in self.axes])


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A graph that was walked through."""

    layers: tuple[Layer, ...]
    walk: Walk
    roles: Roles
    input: str
    output: tuple[str, np.ndarray]  # the model's output tensor, and where in it (flat) [batch, steps, outputs] stand


def recognises(path: Path, head: bytes) -> bool:
    """Whether a file that begins with `head` is an ONNX model."""
    return looks_like_model(head)


def read(path: Path, options: Options) -> Imported:
    """The contract of toolkit.importers."""
    from toolkit.importers.onnx_run import original, runtime

    g = _checked(path)
    try:
        network, found = convert(g, options)
    except ToolkitError as e:
        raise _of_file(path, e) from None
    what = runtime()
    run = original(g, found) if what.startswith("onnxruntime") else None
    return Imported(network, run, what, notes=tuple(found.walk.notes))


def _checked(path: Path) -> Graph:
    try:
        import onnx  # noqa: F401
    except ImportError:
        raise ToolkitError(f"{path}: an ONNX model, and the package onnx is not installed: pip install onnx") from None
    try:
        return graph(load(path))
    except ToolkitError as e:
        raise _of_file(path, e) from None


def _of_file(path: Path, e: ToolkitError) -> ToolkitError:
    """The error with the file's name, cut where a damaged file has made it endless."""
    return ToolkitError(f"{path}: {str(e)[:500]}")


def unsupported(path: Path) -> tuple[str, ...]:
    """The contract of toolkit.importers: operators, each once, that have no form where they stand."""
    g = _checked(path)
    nodes = needed(tuple(contracted(g.nodes, g.constants)), g.outputs[0] if g.outputs else "")
    moving = set(g.inputs)
    lines: dict[str, Node] = {}
    for n in nodes:
        varies = bool(moving & set(n.inputs)) and n.op != "Shape"
        known = LAYERS.keys() | MOVES.keys() if varies else CONSTANTS.keys() | MOVES.keys() | {"Shape"}
        moving |= set(n.outputs) if varies else set()
        if n.op not in known:
            lines.setdefault(n.op, n)
    return tuple(str(n.refuse("not supported", nearest_form(op))) for op, n in lines.items())


def convert(g: Graph, options: Options, output: str | None = None) -> tuple[Network, Found]:
    """The network that makes `output`, the graph's first one unless given.

    Raises: ToolkitError."""
    name = output or (g.outputs[0] if g.outputs else "")
    nodes = needed(tuple(contracted(g.nodes, g.constants)), name)
    read_by_nodes = {i for n in nodes for i in n.inputs} | {name}
    inputs = {k: v for k, v in g.inputs.items() if k in read_by_nodes}
    if not inputs:
        raise ToolkitError(f'the output "{name}" depends on no input; expected a sequence that comes in')
    first = _sequence(nodes, list(inputs))
    if g.types[first] not in FLOATS:
        raise ToolkitError(f'input "{first}": of type {g.types[first]}; expected a model that computes in float32')
    best: ToolkitError | None = None
    for roles in _roles(inputs[first]):
        try:
            sized = _sized(roles, first, inputs[first], options)
            found = _walked(g, nodes, {first: inputs[first], **inputs}, sized, name)
        except WrongAxes as e:
            best = best or e
        except ToolkitError as e:
            best = e if best is None or isinstance(best, WrongAxes) else best
        else:
            for other in [o for o in g.outputs if o != name]:
                found.walk.notes.append(f'the output "{other}" is left out: "{name}" is the model\'s')
            return _network(found, options, g.metadata), found
    assert best is not None
    raise best


def _sequence(nodes: list[Node], inputs: list[str]) -> str:
    """The input that is no first state: of those that something else reads than a cell's initial_h and initial_c."""
    others = {name for n in nodes for k, name in enumerate(n.inputs) if n.op not in RECURRENT or k not in (5, 6)}
    return next((name for name in inputs if name in others), inputs[0])


def _roles(shape: tuple[int | None, ...]) -> Iterator[str]:
    if len(shape) == 3:
        yield from ("BTF", "TBF", "BFT", "TFB", "FBT", "FTB")
    elif len(shape) == 2:
        yield from ("BF", "TF", "BT", "FT")
    elif len(shape) > 3:
        rest = "F" * (len(shape) - 2)
        yield from (f"B{rest[:k]}T{rest[k:]}" for k in range(len(shape) - 1))
        yield from (f"TB{rest}", f"BF{rest}")
    else:
        yield "F" * len(shape)


def _sized(axes: str, name: str, shape: tuple[int | None, ...], options: Options) -> Roles:
    """The sizes of the axes, those that the file leaves open from the options.

    Raises: ToolkitError where neither tells."""
    sizes = {a: shape[k] for k, a in enumerate(axes) if a != "F"}
    batch, steps = sizes.get("B", 1), sizes.get("T", 1)
    if batch is None:
        batch = options.batch or 2
    if steps is None:
        steps = options.steps or (STREAM if options.stream else None)
        if steps is None:
            raise ToolkitError(f'input "{name}": its number of steps is open; give --steps N, or --stream')
    elif options.steps not in (None, steps) and "T" in axes:
        raise ToolkitError(f'input "{name}": {steps} steps in the file; expected {options.steps} as --steps says')
    features = tuple(s for k, s in enumerate(shape) if axes[k] == "F")
    if None in features:
        raise ToolkitError(f'input "{name}": its number of features is open; export the model with a fixed one')
    made = Roles(axes, batch, steps, tuple(s for s in features if s is not None))
    if batch * steps * math.prod(made.features) > LARGEST:
        raise ToolkitError(f'input "{name}": {list(shape)} is more than {LARGEST} values; give a smaller --steps')
    return made


def _walked(g: Graph, nodes: list[Node], inputs: dict[str, tuple[int | None, ...]], roles: Roles, name: str) -> Found:
    w = Walk(roles.batch, roles.steps, math.prod(roles.features))
    values: dict[str, Value] = dict(g.constants)
    first, *others = inputs
    values[first] = Data(roles.tensor(w.input))
    for other in others:
        shape = [roles.batch if s is None else s for s in inputs[other]]
        if math.prod(shape) > LARGEST:
            raise ToolkitError(f'input "{other}": {shape} is more than {LARGEST} values')
        values[other] = Data(np.full(shape, STATE, np.int64))
        w.notes.append(f'the input "{other}" is taken as a first state of zeros')
    value = walk(nodes, values, w, _compute).get(name)
    if value is None:
        raise nodes[-1].refuse(f'the output "{name}"', "an output that no layer gives out")
    if not isinstance(value, Data):
        raise ToolkitError(f'the output "{name}" is constant: it does not depend on the input')
    end = Node("Output", name, (name,), (name,), {}, 0)
    a = w.arrange(end, value.at)
    if a.back.size != a.std.size:
        raise end.refuse("repeats values", "expected each once")
    sources = w.in_order(end, a.std)
    last = sources[0] if len(sources) == 1 and sources[0] else w.joined(end, a.std, sources)
    return Found(_reached(w.layers, last), w, roles, first, (name, a.first))


def _compute(w: Walk, node: Node, args: list[Value | None]) -> Value | list[Value]:
    """One operator's outputs: constants folded, addresses moved, a layer added."""
    arrays = [a if isinstance(a, np.ndarray) else None for a in args]
    if node.op == "Shape" and args and args[0] is not None:
        shape = (args[0].at if isinstance(args[0], Data) else args[0]).shape
        return np.array(shape[node.attrs.get("start", 0) : node.attrs.get("end")], np.int64)
    moving = [isinstance(a, Data) for a in args]
    if node.op == "CastLike" and moving == [False, True]:
        return np.asarray(arrays[0], np.float32)
    if not any(moving):
        folded = fold(node, arrays)
        return [np.asarray(v) for v in folded] if isinstance(folded, list) else np.asarray(folded)
    if node.op in MOVES and not any(moving[1:]):
        moved = fold(node, [args[0].at, *arrays[1:]])  # type: ignore[union-attr]
        return [Data(np.asarray(m)) for m in moved] if isinstance(moved, list) else Data(np.asarray(moved))
    if node.op not in LAYERS:
        raise node.refuse("not supported", nearest_form(node.op))
    try:
        made = LAYERS[node.op](w, node, args)
        if node.op in ("Tanh", "Relu"):
            follow(w)
        return made
    except (ValueError, IndexError, TypeError, AssertionError, OverflowError) as e:
        raise node.refuse(f"its inputs do not fit ({e or 'one is missing'})", "export it again") from None


FORMS = {
    "Erf": "Gelu: export with opset 20 or newer",
    "Scan": "LSTM, GRU or RNN in its place",
    "Loop": "LSTM, GRU or RNN in its place",
    "If": "a graph without branches",
    "Einsum": "MatMul with a constant matrix",
    "ReduceSum": "ReduceMean over the time",
    "ConvTranspose": "Conv over the time",
    "GroupNormalization": "LayerNormalization over the features",
    "InstanceNormalization": "LayerNormalization over the features",
    "RMSNormalization": "LayerNormalization over the features",
    "Attention": "LSTM, GRU or RNN",
    "Where": "a graph without branches",
}


def nearest_form(op: str) -> str:
    """What to use in place of an operator that is not taken."""
    return f"the nearest supported form: {FORMS[op]}" if op in FORMS else f"supported: {', '.join(sorted(LAYERS))}"


def _reached(layers: dict[str, Layer], last: str) -> tuple[Layer, ...]:
    """The layers that the last one depends on."""
    wanted, kept = {last}, []
    for x in reversed(layers.values()):
        if x.name in wanted:
            wanted |= set(x.sources)
            kept.append(x)
    return tuple(kept[::-1])


def _network(found: Found, options: Options, metadata: dict[str, str]) -> Network:
    made = tuple(
        replace(x, sources=() if x.sources == ((found.layers[k - 1].name if k else ""),) else x.sources)
        for k, x in enumerate(found.layers)
    )
    width = math.prod(found.roles.features)
    network = network_of(options.name, made, inputs=width, outputs=found.output[1].shape[2], steps=found.roles.steps)
    return restored(network, metadata[KEY]) if KEY in metadata else network
