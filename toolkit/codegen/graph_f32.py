"""What the template graph_f32.c prints of a network that is not a chain: planned layers and their statements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quantize.canonical import PER_STEP
from quantize.float_graph import RECURRENT
from quantize.float_ops import MERGE, STATES, causal
from quantize.float_stream import chain
from quantize.network import Network
from toolkit.codegen.calls_f32 import described, statements
from toolkit.codegen.lower import LOCALS, check_name, value
from toolkit.codegen.pack_f32 import KERNELS
from toolkit.codegen.pack_layers_f32 import pack
from toolkit.codegen.plan_f32 import Node, plan, with_explicit_head
from toolkit.errors import ToolkitError
from toolkit.targets import F32, LAYERS_F32

OWN = {"copy", "in_mean", "in_std", "out_mean", "out_std", "nothing", "through", "h", "t"} | LOCALS
OF_OP = {
    **dict.fromkeys(("lstm", "gru", "rnn", "lstm_norm"), "tl_cells_f32.c"),
    **dict.fromkeys(("conv", "pool"), "tl_time_f32.c"),
    "activation": "tl_activation_f32.c",
}
LARGEST = 65535  # sizes are uint16_t


def check_stream(network: Network) -> None:
    """Raises: ToolkitError, naming the layer, where a stream cannot run it one sample at a time."""
    for x in network.layers:
        why = ""
        if x.reverse:
            why = "runs from the end of a window"
        elif x.op == "conv" and not causal(x):
            why = "is a convolution that sees steps to come, or skips some"
        elif x.op not in (*PER_STEP, *RECURRENT, *MERGE, "conv"):
            why = f"is a {x.op} over the time of a window"
        if why:
            raise ToolkitError(f'{x.name}: {why}, which a stream of single samples has not; use mode = "window"')


def graph_facts(n: Network, target: str) -> dict[str, Any]:
    """target: whose kernels run plain LSTM, GRU and dense layers.

    Raises: ToolkitError or QuantizeError, one line."""
    windowed = n.mode == "window"
    if not windowed:
        check_stream(n)
    made = plan(with_explicit_head(n), n.window if windowed else 1)
    nodes = [_node(x, target, windowed) for x in made.nodes]
    _check_names(n, nodes)
    if made.width != len(n.outputs):
        raise ToolkitError(f"network {n.name}: {made.width} outputs for {len(n.outputs)} output columns")
    if max(v for x in made.nodes for r in (*x.reads, x.line) for v in (r.steps, r.width)) > LARGEST:
        raise ToolkitError(f"network {n.name}: a layer of more than {LARGEST} steps or features; take a shorter window")
    sources = {name for x in nodes for name in x["sources"]}
    headers = {name for s in sources for name in LAYERS_F32.get(s, ())}
    owners = {x["target"] for x in nodes if x["fast"]}
    fast = {name for t in owners for name in (F32[t].source, *F32[t].headers)}
    included = [h for h in ("tl_activation_f32.h", "tl_cells_f32.h") if h in headers]
    return {
        "graph": True,
        "newest": f"s->window[{n.name.upper()}_WINDOW - 1u]" if windowed else "s->last",
        "summary": f"{len(n.layers)} layers, {len(n.inputs)} -> {made.width}"
        + (f" in {made.steps} steps" if made.steps > 1 else ""),
        "nodes": nodes,
        "layers": [x for x in nodes if x["packed"]],
        "pasts": [(x.layer.name, x.past, x.reads[0].width) for x in made.nodes if x.past],
        "recurrent": [x for x in nodes if x["op"] in RECURRENT],
        "from_zero": [x["size"] for x in nodes if x["op"] in RECURRENT and "h" not in x["starts"]],
        "in_state": any("s->" in text for x in nodes for text in (x["place"], *x["statements"])),
        "room": made.room,
        "window": n.window,
        "steps": made.steps,
        "forecast_at": made.forecast.offset if made.forecast else None,
        "headers": [*(["tl_f32.h"] if owners else []), *included, "tl_layers_f32.h"],
        "files": {"tl_kernels.h", "tl_math.h", *sources, *headers, *fast, *(["tl_f32.h"] if owners else [])},
    }


def functions(n: Network, owners: Mapping[str, str]) -> dict[str, str]:
    """Layer -> the function that is given its parameters, in the order of a step. owners: `kernels_of` its folder."""
    if chain(n):
        return {x.name: f"tl_{KERNELS[x.op]}_{owners[x.name]}" for x in n.layers}
    target = next((t for t in owners.values() if t != "ref"), "ref")
    return {x["name"]: x["function"] for x in graph_facts(n, target)["layers"]}


def _node(node: Node, target: str, windowed: bool) -> dict[str, Any]:
    x = node.layer
    function, owner, packed = pack(node, target)
    fast = packed is not None and packed.struct in ("tl_lstm_f32", "tl_gru_f32", "tl_dense_f32", "tl_tiles_f32")
    sources = {"tl_layers_f32.c", *({OF_OP[x.op]} if x.op in OF_OP and not fast else ())}
    if x.activations or "tl_cells_f32.c" in sources:
        sources.add("tl_activation_f32.c")
    return {
        "name": x.name,
        "op": x.op,
        "text": described(node),
        "inputs": node.reads[0].width,
        "size": node.line.width,
        "target": owner,
        "fast": fast,
        "sources": sources,
        "packed": packed,
        "fields": [(field, value(x.name, v, packed)) for field, v in packed.fields] if packed else [],
        "function": function,
        "place": f"s->room + {node.block.offset + node.at}" if node.block else "",
        "statements": statements(node, function, windowed),
        "state": STATES.get(x.op, ()),
        "starts": [k for k in STATES.get(x.op, ()) if f"{k}0" in x.weights],
    }


def _check_names(n: Network, nodes: list[dict[str, Any]]) -> None:
    """Raises: ToolkitError when a layer's name is none of C, or two identifiers would be the same."""
    for name in (x.name for x in n.layers):
        if check_name(name) in OWN or name.startswith(f"{n.name}_"):
            raise ToolkitError(f'layer "{name}": the generated code uses that name; rename the layer')
    seen: dict[str, str] = {}
    for x in nodes:
        arrays = [a.suffix for a in x["packed"].arrays] if x["packed"] else []
        for made in (x["name"], *(f"{x['name']}_{k}" for k in ("y", "h", "c", *arrays))):
            if seen.setdefault(made, x["name"]) != x["name"]:
                raise ToolkitError(f'layers "{seen[made]}" and "{x["name"]}": both make {made} in C; rename one')
