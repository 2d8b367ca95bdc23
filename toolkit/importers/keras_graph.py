"""A Keras model's graph -> our layers: Sequential, and Functional where every layer is called once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError, nearest
from toolkit.importers import Options, identifier
from toolkit.importers.keras_builder import Builder, Line
from toolkit.importers.keras_file import Saved, layers_of
from toolkit.importers.keras_ops import LAYERS, MODES, merge

_RUNS_CODE = ("Lambda", "function", "__lambda__")
_STREAM_PROBE = 16  # steps of the comparison, where a stream has no window


class Graph:
    """What a walk makes: `builder` with our layers, `output`, `inputs`, `steps`; `shown`: our layer -> the Keras
    layer whose output is its."""

    def __init__(self, saved: Saved, path: Path, options: Options) -> None:
        model, layers = saved.model, layers_of(saved.model, path)
        refuse_code(model.get("config"), path)
        if model.get("class_name") not in ("Sequential", "Functional", "Model"):
            raise ToolkitError(f"{path}: a {model.get('class_name')}; expected a Sequential or Functional model")
        self.path, self.shown = path, dict[str, str]()
        self.steps, self.inputs = _window(layers, path, options)
        self.builder = Builder(saved.version, self.steps, self.inputs)
        self._weights, self._lines = saved.weights, dict[str, Line]()
        start = Line(("",), 3, self.steps, self.inputs)
        before = start
        for entry in layers:
            fed = [before] if model["class_name"] == "Sequential" else self._fed(entry)
            before = self._layer(entry, fed or [start], options)
            self._lines[str(entry["config"].get("name") or entry.get("name"))] = before
        self.output = before if model["class_name"] == "Sequential" else self._outputs(model["config"])

    def _layer(self, entry: Mapping[str, Any], fed: Sequence[Line], options: Options) -> Line:
        kind, config = entry["class_name"], entry["config"]
        given = str(config.get("name", ""))
        b, name = self.builder, identifier(given, kind.lower())
        b.where = f'{self.path}: layer "{given}" ({kind})'
        if kind == "InputLayer":
            return fed[0]
        if kind not in LAYERS and kind not in MODES:
            raise ToolkitError(f"{b.where}: no such layer here{nearest(kind, [*LAYERS, *MODES])}; nothing was executed")
        policy = _policy(config)
        if policy not in ("float32", "None"):
            raise b.refuse(f"dtype {policy}", "expected float32: load it, set the policy float32, and save it again")
        if config.get("stateful") and not options.stream:
            raise b.refuse("stateful = true: trained as one endless stream", "add --stream to deploy it as one")
        if kind in MODES:
            y = merge(b, kind, config, fed, name)
        elif len(fed) > 1:
            raise b.refuse(f"{len(fed)} inputs (an initial state?)", "expected one")
        else:
            y = LAYERS[kind](b, kind, config, self._weights.get(given, []), fed[0], name)
        if len(y.names) == 1 and y != fed[0]:
            self.shown[y.names[0]] = given
        return y

    def _fed(self, entry: Mapping[str, Any]) -> list[Line]:
        """The lines that a layer of a Functional model is called with."""
        nodes = entry.get("inbound_nodes")
        where = f'{self.path}: layer "{entry.get("name")}" ({entry["class_name"]})'
        if not nodes:
            if entry["class_name"] != "InputLayer":
                raise ToolkitError(f"{where}: fed by nothing; save the model again")
            return []
        if not isinstance(nodes, list) or len(nodes) > 1:
            raise ToolkitError(f"{where}: called more than once; expected one call: copy the layer")
        return [self._line(x, where) for x in _calls(nodes[0])]

    def _line(self, history: Any, where: str) -> Line:
        if not (isinstance(history, list) and len(history) >= 3 and isinstance(history[0], str)):
            raise ToolkitError(f"{where}: called with something that is no layer's output; expected one")
        if history[0] not in self._lines:
            raise ToolkitError(f'{where}: fed by "{history[0]}", which is no layer before it')
        if history[1] or history[2]:
            raise ToolkitError(f'{where}: takes output {history[2]} of "{history[0]}" (a state?); expected the first')
        return self._lines[history[0]]

    def _outputs(self, config: Mapping[str, Any]) -> Line:
        found = config.get("output_layers")
        if isinstance(found, list) and len(found) == 3 and isinstance(found[0], str):
            found = [found]
        if not isinstance(found, list) or len(found) != 1:
            count = len(found) if isinstance(found, list) else 0
            raise ToolkitError(f"{self.path}: {count} outputs; expected one: concatenate them, or import one by one")
        return self._line(found[0], f"{self.path}: the output")


def _calls(node: Any) -> list[Any]:
    """[layer, call, output] of each tensor of a call, in Keras 2's form or in 3's."""
    if isinstance(node, dict):
        found: list[Any] = []
        waiting = [node.get("args"), node.get("kwargs")]
        while waiting:
            v = waiting.pop(0)
            if isinstance(v, dict) and v.get("class_name") == "__keras_tensor__":
                config = v.get("config")
                found.append(config.get("keras_history") if isinstance(config, dict) else None)
            elif isinstance(v, dict | list):
                waiting = [*(v.values() if isinstance(v, dict) else v), *waiting]
        return found
    if isinstance(node, list) and len(node) >= 3 and isinstance(node[0], str):
        return [node]
    return list(node) if isinstance(node, list) else [None]


def _policy(config: Mapping[str, Any]) -> str:
    found = config.get("dtype")
    inner = found.get("config") if isinstance(found, dict) else None
    return str(inner.get("name") if isinstance(inner, dict) else found)


def _window(layers: Sequence[Mapping[str, Any]], path: Path, options: Options) -> tuple[int, int]:
    """(steps, features) of the input.

    Raises: ToolkitError when there are several inputs, or nobody says how many steps."""
    shapes = [x["config"].get("batch_shape") or x["config"].get("batch_input_shape") for x in layers]
    given = [s for s, x in zip(shapes, layers, strict=True) if s is not None and x["class_name"] == "InputLayer"]
    given = given or [s for s in shapes[:1] if s is not None]
    if len(given) != 1:
        raise ToolkitError(
            f"{path}: {len(given)} inputs with a shape; expected one: give the model an Input(shape=...)"
        )
    shape = given[0]
    whole = isinstance(shape, list) and all(v is None or (type(v) is int and v > 0) for v in shape)
    if not whole or len(shape) != 3 or shape[2] is None:
        raise ToolkitError(f"{path}: an input of shape {shape}; expected [batch, steps, features]")
    steps = shape[1] or options.steps or (_STREAM_PROBE if options.stream else None)
    if steps is None:
        raise ToolkitError(f"{path}: its input {shape} leaves the steps of a window open; add --steps N or --stream")
    if options.steps not in (None, steps):
        raise ToolkitError(f"--steps {options.steps}: {path} has windows of {steps} steps; leave the option out")
    return steps, shape[2]


def refuse_code(config: Any, path: Path) -> None:
    """Raises ToolkitError where a configuration names code: a Lambda, a function, a class that is not Keras' own."""
    waiting = [config]
    while waiting:
        v = waiting.pop()
        if isinstance(v, list):
            waiting.extend(v)
        if not isinstance(v, dict):
            continue
        waiting.extend(v.values())
        kind, module = str(v.get("class_name", "")), v.get("module")
        own = module is None or str(module).split(".")[0] in ("keras", "tf_keras")
        if "class_name" in v and (kind in _RUNS_CODE or ">" in kind or not own):
            held = v.get("config")
            name = held.get("name", kind) if isinstance(held, dict) else held
            raise ToolkitError(
                f"{path}: {name} ({f'{module}.' if module else ''}{kind}) is code of its own; nothing was executed: "
                f"build the model of Keras' layers"
            )
