"""TensorFlow Lite: .tflite files, recognised by "TFL3" at byte 4. docs/import.md has what is imported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quantize.network import Layer, Network
from toolkit.errors import ToolkitError
from toolkit.importers import Imported, Options, network_of
from toolkit.importers import tflite_file as file
from toolkit.importers import tflite_int8 as int8
from toolkit.importers.tflite_cell import Affine
from toolkit.importers.tflite_file import Graph
from toolkit.importers.tflite_graph import unsupported, used, walk
from toolkit.importers.tflite_int8 import bytes_of_c
from toolkit.importers.tflite_operators import OPERATORS
from toolkit.importers.tflite_run import original, original_int8, runtime
from toolkit.importers.tflite_values import Builder, Line

__all__ = ["bytes_of_c", "read", "recognises"]
LARGEST = 2**20  # values of a window
STREAM = 16  # steps of the windows that prove a network whose file leaves its number of steps open


def recognises(path: Path, head: bytes) -> bool:
    """Whether it is a TFLite file."""
    return file.recognises(head)


def read(path: Path, options: Options) -> Imported:
    """The network of a file.

    Raises: ToolkitError, one line, naming the operator that is not supported."""
    try:
        return _read(path, options)
    except (RecursionError, MemoryError):
        raise ToolkitError(f"{path}: too deep or too large; is the file damaged?") from None
    except ToolkitError as e:
        raise ToolkitError(f"{path}: {e}") from None


def _read(path: Path, options: Options) -> Imported:
    graphs = file.read_graphs(path)
    main = graphs[0]
    unsupported(graphs, OPERATORS)
    if int8.is_integer(main):
        int8.check_operators(main)
    x = _input(main, options)
    builder = Builder()
    (y,) = walk(graphs, 0, [x], builder, 0)
    line, layers = _output(builder, used(y))
    network = network_of(options.name, layers, inputs=x.width, outputs=line.width, steps=x.time)
    size = path.stat().st_size
    notes = [f"{n}; the file has {size} bytes" if "folded" in n else n for n in builder.notes]
    if int8.is_integer(main):
        q = int8.qnetwork(main, network, _head(network, x.time, line.time))
        q = replace(q, mode="stateful", window=0, warmup=1) if options.stream else q
        notes += _int8_notes(main)
        return Imported(network, original_int8(path, main, x, line), runtime(), q, notes=tuple(notes))
    run = original(path, main, x, line, builder, network)
    return Imported(network, run, runtime(), notes=tuple(notes))


def _head(network: Network, steps: int, given: int) -> str:
    """What an int8 chain gives of a window: its last step, or all.

    Raises: ToolkitError where it is neither."""
    for x in network.layers:
        if x.reverse or x.op not in ("lstm", "dense", "take", "activation") or x.options.get("at", -1) != -1:
            what = "a reverse direction" if x.reverse else f"{x.op} {x.name}"
            raise ToolkitError(
                f"an int8 file with {what}: the int8 form is LSTM and dense layers of every or the last step"
            )
    return "last" if given == 1 and steps > 1 else "all"


def _int8_notes(main: Graph) -> list[str]:
    made = [
        "int8: kept with the file's own integers as w8a8, activations tflite; the float network has their real values"
    ]
    if any(op.name == "SOFTMAX" for op in main.operators):
        made.append("SOFTMAX: left to the caller in the int8 form, whose outputs are its inputs, one score a class")
    return made


def _input(main: Graph, options: Options) -> Line:
    """The sequence that goes in: [1, time, features], or [time, 1, features], or one step [1, features]."""
    if len(main.inputs) != 1 or len(main.outputs) != 1:
        raise ToolkitError(f"{len(main.inputs)} inputs and {len(main.outputs)} outputs; supported is one of each")
    t = main.tensors[main.inputs[0]]
    shape = list(t.signature)
    if t.kind not in ("float32", "int8"):
        raise ToolkitError(f'input "{t.name}" is {t.kind}; supported are float32 and int8')
    shape = shape if len(shape) != 4 or shape[1] != 1 else [shape[0], *shape[2:]]
    if len(shape) == 2:
        shape.insert(1, 1)
    if len(shape) != 3 or shape[2] < 1:
        raise ToolkitError(f'input "{t.name}" has shape {list(t.signature)}: expected [1, time, features]')
    batch, time, width = shape
    axes: tuple[str, ...] = ("1", "t", "f")
    if batch > 1 and time == 1:
        batch, time, axes = 1, batch, ("t", "1", "f")
    if batch > 1:
        raise ToolkitError(f'input "{t.name}" has a batch of {batch}; expected 1: convert with a batch size of 1')
    if time < 1 and not (options.steps or options.stream):
        raise ToolkitError(f'input "{t.name}" leaves its number of steps open; give --steps N')
    steps = time if time >= 1 else options.steps or STREAM
    if options.steps and options.steps != steps:
        raise ToolkitError(f'input "{t.name}" has {steps} steps, not {options.steps}; leave --steps out')
    if steps > 32767 or steps * width > LARGEST:
        raise ToolkitError(
            f'input "{t.name}": {steps} steps of {width} features; expected at most 32767 and {LARGEST} values'
        )
    rank = len(t.signature)
    axes = axes if rank == 3 else ("1", "f") if rank == 2 else ("1", "1", "t", "f")
    return Line(("",), steps, width, axes)


def _output(builder: Builder, y: object) -> tuple[Line, tuple[Layer, ...]]:
    """The line that comes out, and the layers that it needs."""
    from toolkit.importers import tflite_unrolled as unrolled

    if isinstance(y, Affine):
        unrolled.find(builder, [y])
        line = builder.line(y)
    elif isinstance(y, Line):
        line = y
    else:
        raise ToolkitError("its output is a constant")
    if line.turned:
        raise ToolkitError("its output runs backwards in time; reverse it in the model")
    if line.sources == ("",):
        raise ToolkitError("its output is its input: nothing to import")
    if len(line.sources) > 1 or builder.layers[-1].name != line.sources[0]:
        alone = len(line.sources) == 1
        if not alone:
            line = builder.emit(
                "activation", [line], {}, time=line.time, width=line.width, activations=("affine(1,0)",)
            )
    return line, _needed(builder.layers, line.sources[0])


def _needed(layers: list[Layer], last: str) -> tuple[Layer, ...]:
    """Those that `last` depends on, and it, in order; the last one is last."""
    wanted = {last}
    for x in reversed(layers):
        if x.name in wanted:
            wanted |= set(x.sources)
    return tuple(replace(x) for x in layers if x.name in wanted)
