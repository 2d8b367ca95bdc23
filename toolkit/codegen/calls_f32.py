"""The C statements that run one layer of a planned float network, and what is said of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from quantize.float_graph import RECURRENT
from quantize.ops import gru
from toolkit.codegen.pack_layers_f32 import function_call
from toolkit.codegen.plan_f32 import Block, Line, Node


def statements(node: Node, function: str, windowed: bool) -> list[str]:
    """Reads and writes the rows of the node's lines, which are in scope; `function` is its kernel."""
    x, line, name = node.layer, node.line, node.layer.name
    if x.op in RECURRENT:
        return _recurrent(node, function, windowed)
    if node.past:
        past, width, rest = f"s->{name}_past", node.reads[0].width, (node.past - 1) * node.reads[0].width
        shift = f"tl_copy_f32_ref({past}, {past} + {width}, {rest});"
        newest = f"tl_copy_f32_ref({past} + {rest}, {node.reads[0].row('0')}, {width});"
        return [shift, newest, f"{function}({line.row('0')}, {past}, &{name});"]
    if x.op in ("conv", "pool"):
        return [f"{function}({line.row('0')}, {node.reads[0].row('0')}, &{name});"]
    if x.op == "dense":
        (read,) = node.reads
        return _rows(
            line.steps, lambda t: [f"{function}({line.row(t)}, {read.row(t)}, &{name});", *_activation(node, t)]
        )
    if x.op == "activation":
        return _rows(line.steps, lambda t: [_activated(x.activations[0], line, line.row(t), node.reads[0].row(t))])
    if x.op in ("norm", "scale"):
        return _rows(line.steps, lambda t: [f"{function}({line.row(t)}, {node.reads[0].row(t)}, &{name});"])
    if x.op in ("add", "mul") and len(node.reads) > 1:
        return _rows(line.steps, lambda t: _merged(function, line, node.reads, t))
    return _copies(node)


def _rows(steps: int, body: Callable[[str], Sequence[str]]) -> list[str]:
    """What is done to row t, for every row."""
    if steps == 1:
        return [*body("0")]
    return [f"for (uint32_t t = 0; t < {steps}; t++) {{", *(f"    {text}" for text in body("t")), "}"]


def _recurrent(node: Node, function: str, windowed: bool) -> list[str]:
    x, line, (read,) = node.layer, node.line, node.reads
    start = {k: f"{x.name}_{k}0" for k in ("h", "c") if f"{k}0" in x.weights}
    cell = [_at(node.cell) if windowed else f"s->{x.name}_c"] if "lstm" in x.op else []
    scratch = [_at(node.scratch)] if node.scratch else ["NULL"] if x.op == "gru" else []
    if not windowed:
        arguments = [line.row("0"), *cell, *scratch, f"s->{x.name}_h", read.row("0"), f"&{x.name}"]
        return [
            f"{function}({', '.join(arguments)});",
            f"tl_copy_f32_ref(s->{x.name}_h, {line.row('0')}, {line.width});",
        ]
    arguments = [line.row("t"), *cell, *scratch, "h", read.row("t"), f"&{x.name}"]
    begin = [f"h = {start.get('h', 'nothing')};"]
    for c in cell:
        fill = f"tl_copy_f32_ref({c}, {start['c']}, " if "c" in start else f"tl_fill_f32_ref({c}, 0.0f, "
        begin.append(f"{fill}{line.width});")
    order = f"t = {line.steps}; t-- != {node.end};" if x.reverse else f"t = 0; t < {node.end + 1}; t++"
    body = [f"    {function}({', '.join(arguments)});", f"    h = {line.row('t')};"]
    return [*begin, f"for (uint32_t {order}) {{", *body, "}"]


def _at(block: Block | None) -> str:
    assert block is not None
    return f"s->room + {block.offset}" if block.offset else "s->room"


def _activated(text: str, line: Line, y: str, x: str) -> str:
    function, a, b = function_call(text)
    return f"{function}({y}, {x}, {line.width}, {a}, {b});"


def _activation(node: Node, t: str) -> list[str]:
    return [_activated(text, node.line, node.line.row(t), node.line.row(t)) for text in node.layer.activations]


def _merged(function: str, line: Line, reads: Sequence[Line], t: str) -> list[str]:
    y, (first, second, *more) = line.row(t), reads
    calls = [f"{function}({y}, {first.row(t)}, {second.row(t)}, {line.width});"]
    return [*calls, *(f"{function}({y}, {y}, {other.row(t)}, {line.width});" for other in more)]


def _copies(node: Node) -> list[str]:
    """Of a join, pick, take or flatten that must move rows, or of what has one source."""
    line, read = node.line, node.reads[0]
    if node.layer.op == "flatten":
        to = replace(line, stride=read.width, steps=read.steps)
        return _rows(read.steps, lambda t: [f"tl_copy_f32_ref({to.row(t)}, {read.row(t)}, {read.width});"])
    parts, at = [], 0
    for part in node.reads:
        seen = part.seen(node.layer) if node.layer.op in ("take", "pick") else part
        assert seen is not None
        parts.append((seen, at))
        at += seen.width
    return _rows(
        line.steps,
        lambda t: [
            f"tl_copy_f32_ref({line.row(t)}{f' + {at}' if at else ''}, {part.row(t)}, {part.width});"
            for part, at in parts
        ],
    )


def described(node: Node) -> str:
    """What a layer is, for the comment above its call."""
    x, line, read = node.layer, node.line, node.reads[0]
    o = {k: int(v) for k, v in x.options.items() if float(v).is_integer()}
    names = {"lstm_norm": "LSTM with layer normalisation", "rnn": "recurrent layer", "norm": "layer normalisation"}
    text = names.get(x.op, x.op.upper() if x.op in RECURRENT else x.op)
    if x.op == "gru" and not gru.reset_after(x):
        text += ", reset before"
    if x.op == "conv":
        text = f"convolution over {x.weights['w'].shape[2]} steps"
    if x.op == "activation":
        text = x.activations[0]
    if x.op == "pool":
        text = f"{'largest' if o.get('max') else 'average'} of {o.get('kernel') or read.steps} steps"
    width = sum(r.width for r in node.reads) if x.op == "join" else read.width
    text += f", {width} -> {line.width}"
    text += "".join(f", {a}" for a in x.activations if a != text.split(", ")[0])
    if read.steps != line.steps:
        text += f", {read.steps} -> {line.steps} steps"
    elif line.steps > 1:
        text += f", {line.steps} steps"
    return text + (", from the last to the first" if x.reverse else "")
