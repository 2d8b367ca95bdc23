"""QNetwork and board -> the plain facts that the templates print. No text layout here, no files."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from quantize import oracle
from quantize.features import Feature, Raw
from quantize.graph import INPUT, layered, sources
from quantize.graph import width as graph_width
from quantize.network import Network
from quantize.ops import OPS, gru
from quantize.qnetwork import QInput, QLayer, QNetwork, QOutput
from toolkit.boards import Board
from toolkit.codegen.choose import Choice
from toolkit.codegen.pack import Packed
from toolkit.codegen.packers import place
from toolkit.data.features import CALENDAR
from toolkit.errors import ToolkitError
from toolkit.targets import file_of

C_WORDS = set(
    """alignas alignof and asm auto bool break case catch char class const constexpr continue default delete do double
    else enum explicit export extern false float for friend goto if inline int long mutable namespace new not operator
    or private protected public register restrict return short signed sizeof static struct switch template this throw
    true try typedef typename union unsigned using virtual void volatile while xor""".split()
)
HEADERS = set(
    """assert complex ctype errno fenv hal inttypes iso646 limits locale main math model setjmp signal stdalign
    stdarg stdatomic stdbool stddef stdint stdio stdlib stdnoreturn string tgmath threads time uchar vectors wchar
    wctype""".split()
)  # <name>.h must not hide a header
LOCALS = set(
    """inputs outputs model advance readout clear accept forecast_now rounded s x y n k j v at raw in out in_unit
    out_unit steps lost last between take sample ends reciprocal reason oldest whole rest forecast first units budget
    p""".split()
)
MISSING_TEXT = {
    "hold": "The last sample is repeated.",
    "reset": "The state is reset.",
    "interpolate": "The next sample fills the gap on a straight line; until then the last forecast stands.",
}


@dataclass(frozen=True, slots=True)
class Destination:
    """What the generator must know of a board. `requires`: preprocessor condition on the compiler's flags, or "".

    `target`: whose kernels run a layer that `kernels` (layer -> target) does not name."""

    board: str
    target: str
    requires: str
    requires_text: str
    float_api: bool
    kernels: Mapping[str, str] = field(default_factory=dict)

    def of(self, layer: str) -> str:
        """The target that is asked to run a layer."""
        return self.kernels.get(layer, self.target)


def destination(board: Board, choices: Sequence[Choice], float_api: bool) -> Destination:
    """What the generator is told of a board; predict_f32 comes where the core has an FPU, or when it is asked for."""
    has_float = float_api or board.fpu != "none"
    kernels = {c.layer: c.target for c in choices}
    return Destination(board.name, board.target, board.requires, board.requires_text, has_float, kernels)


def check_name(name: str) -> str:
    """A model's or layer's name as a C identifier.

    Raises: ToolkitError when it is not one, or would collide."""
    taken = C_WORDS | HEADERS | LOCALS
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,30}", name) or name in taken or name == "tl" or name.startswith("tl_"):
        raise ToolkitError(
            f'name "{name}": cannot be a C prefix; expected a lower-case letter, then a-z, 0-9 or _, at most 31, '
            f"no word that C or the generated code uses; set `name` in run.toml"
        )
    return name


def comment(text: str) -> str:
    """A column's name or unit, which may be any text, made unable to end the comment that it stands in."""
    one_line = "".join(v if v.isprintable() else " " for v in text)
    return one_line.replace("*/", "* /").replace("/*", "/ *")


def check_layer_names(q: QNetwork, to: Destination) -> None:
    """Raises: ToolkitError when the C of two layers, or of a layer and the model, would share an identifier."""
    seen: dict[str, str] = {}
    for x in q.layers:
        check_name(x.name)
        if x.name in LOCALS or x.name.endswith("_t") or x.name.startswith(("mem", f"{q.name}_")):
            raise ToolkitError(f'layer "{x.name}": the generated code or C itself uses that name; rename the layer')
        suffixes = ("slice", "fed", *OPS[x.op].STATE, *(a.suffix for a in place(x, to.of(x.name))[1].arrays))
        for made in (x.name, *(f"{x.name}_{k}" for k in suffixes)):
            if made in seen:
                raise ToolkitError(f'layers "{seen[made]}" and "{x.name}": both make {made} in C; rename one')
            seen[made] = x.name


def facts(q: QNetwork, to: Destination) -> dict[str, Any]:
    """Everything that the templates of one model print.

    Raises: ToolkitError when a name cannot be used in C."""
    check_name(q.name)
    check_layer_names(q, to)
    windowed = q.mode == "window"
    layers = [_layer(x, to.of(x.name), _source(q, k)) for k, x in enumerate(q.layers)]
    cells = [x for x in layers if x["tensors"]]
    small = OPS[cells[0]["op"]].STATE["h"] == "int8"
    return {
        "name": q.name,
        "NAME": q.name.upper(),
        "digest": q.digest,
        "board": to.board,
        "target": " and ".join(sorted({x["target"] for x in layers})),
        "owners": {(x["op"], x["target"]) for x in layers},
        "kernels": ", ".join(f"{x['name']} {x['target']}" for x in layers),
        "requires": to.requires,
        "requires_text": to.requires_text,
        "float_api": to.float_api,
        "summary": " -> ".join([str(len(q.inputs)), *(f"{x['op']} {x['size']}" for x in layers)]),
        "usage": "Give predict one sample per period."
        if not q.period
        else f"Give predict one sample every {q.period:g} s.",
        "column_lines": _column_lines(q),
        "constants": _constants(q, layers),
        "width": max(len(f"{q.name}_{row[0]}") for row in _constants(q, layers)),
        "windowed": windowed,
        "layered": layered(q),
        "passes": _passes(q),
        "ends": _ends(q),
        "newest": "s->ring[s->newest]" if windowed else "s->last",
        "horizon_text": horizon_text(q),
        "missing": q.missing,
        "missing_text": MISSING_TEXT[q.missing],
        "gap_text": f"After more than {q.name.upper()}_MAX_GAP in a row the state is reset.",
        "max_gap": q.max_gap,
        "reciprocals": oracle.reciprocals(q.max_gap),
        "layers": layers,
        "cells": cells,
        "has_null": any(x["op"] == "gru" for x in cells),
        "headers": _headers(layers) + (["tl_features.h"] if q.front else []),
        "bytes_only": small,
        "x_top": 127 if small else 32640,
        "scratch": scratch(q),
        "inputs": q.inputs,
        "outputs": q.outputs,
        "front": _front(q),
        "raws": f"{q.name.upper()}_{'RAWS' if q.front else 'INPUTS'}",
        "in_units": [f"{10.0**c.decimals!r}f" for c in q.raws],
        "out_units": [f"{10.0**c.decimals!r}f" for c in q.forecasts],
        "model_bytes": ", ".join(f"0x{b:02x}" for b in bytes.fromhex(q.digest)[:8]),
    }


def _source(q: QNetwork, k: int) -> str:
    """Where layer k's input of one step lies, a C expression."""
    if not layered(q):
        return f"s->{q.layers[k - 1].name}_h" if k else "x"
    if k == len(q.layers) - 1:
        return "ends" if len(_ends(q)) > 1 else f"s->{q.layers[k].sources[0]}_h"
    return "x"


def _passes(q: QNetwork) -> list[dict[str, Any]]:
    """Of a layered network, each recurrent layer's way over the window: where its input of step n lies, and to which
    places its h goes, as (array, values a step, first of them)."""
    made = []
    for k, x in enumerate(q.layers[:-1] if layered(q) else ()):
        owner, fed = _buffer(q, k), graph_width(q.layers, k, len(q.inputs))
        feeds = []
        for j, y in enumerate(q.layers[:-1]):
            if x.name in sources(q.layers, j) and _buffer(q, j) == f"{y.name}_fed":
                before = sources(q.layers, j)[: sources(q.layers, j).index(x.name)]
                at = sum(OPS[z.op].output_size(z) for z in q.layers if z.name in before)
                feeds.append((f"{y.name}_fed", graph_width(q.layers, j, len(q.inputs)), at))
        step = "sample(s, n)" if owner is None else f"s->{owner} + n * {fed}u"
        made.append({"step": step, "feeds": feeds, "reverse": x.reverse})
    return made


def _buffer(q: QNetwork, k: int) -> str | None:
    """The array that holds what layer k is fed over the window, shared by all that are fed the same; None: the ring."""
    fed = sources(q.layers, k)
    if fed == (INPUT,):
        return None
    return next(f"{x.name}_fed" for j, x in enumerate(q.layers) if sources(q.layers, j) == fed)


def _ends(q: QNetwork) -> list[tuple[str, int, int]]:
    """Of a layered network, the layers whose last h the head is fed: (name, values, first of them)."""
    sizes = {x.name: OPS[x.op].output_size(x) for x in q.layers}
    fed = sources(q.layers, len(q.layers) - 1) if layered(q) else ()
    return [(name, sizes[name], sum(sizes[s] for s in fed[:j])) for j, name in enumerate(fed)]


def _front(q: QNetwork) -> dict[str, Any] | None:
    """What makes the network's inputs of raw samples, and the forecasts of its outputs."""
    if q.front is None:
        return None
    pasts = [(f"past{k}", n, comment(raw.name)) for k, (raw, n) in enumerate(zip(q.raws, q.front.depths, strict=True))]
    return {
        "pasts": pasts,
        "features": [(_feature(f), comment(c.name)) for f, c in zip(q.front.features, q.inputs, strict=True)],
        "undo": [UNDO[q.front.target].format(past=f"s->past{k}[0]", j=j) for j, k in enumerate(q.front.bases)],
    }


UNDO = {"difference": "tl_add_sat({past}, forecast[{j}])", "log_return": "tl_price({past}, forecast[{j}])"}


def _feature(f: Feature) -> str:
    """A feature's C expression."""
    raw, past = f"raw[{f.source}]", f"s->past{f.source}"
    before = f"{past}[{f.steps - 1}]"
    return {
        "value": raw,
        "lag": before,
        "mean": f"tl_sum({raw}, {past}, {f.steps - 1})",
        "difference": f"tl_difference({raw}, {before})",
        "log_return": f"tl_log_return({raw}, {before})",
    }[f.kind]


def _headers(layers: Sequence[dict[str, Any]]) -> list[str]:
    """What the generated C includes beside tl_kernels.h: the structs of kernels that are elsewhere."""
    files = {file_of(x["op"], x["target"]).headers[0] for x in layers}
    return sorted(files - {"tl_tables.h"})


def horizon_text(q: QNetwork | Network) -> str:
    """ "6 steps ahead", or "1, 3 and 6 steps ahead"."""
    if horizons(q) == [0]:
        return "of that sample"  # an imported model does not say what its output is
    *some, last = (str(h) for h in horizons(q))
    return f"{', '.join(some)}{' and ' if some else ''}{last} step{'s' if last != '1' else ''} ahead"


def _layer(x: QLayer, target: str, source: str) -> dict[str, Any]:
    """A layer in the layout of the board's target, or of `ref` where the target has no kernel for the op."""
    op = OPS[x.op]
    owner, packed = place(x, target)
    return {
        "name": x.name,
        "op": x.op,
        "inputs": op.input_size(x),
        "size": op.output_size(x),
        "source": source,
        "first": source == "x",
        "target": owner,
        "tensors": [(k, f"{kind}_t") for k, kind in op.STATE.items()],
        "first_values": [(k, v) for k, v in oracle.first_values(x).items() if v],
        "state_bytes": oracle.tensor_bytes(x),
        "reset": x.op == "gru" and not gru.reset_after(x),
        "packed": packed,
        "block": packed.slices.block if packed.slices else op.output_size(x),
        "advance": _advance(packed),
        "code": [line.replace("{layer}", x.name) for line in packed.code],
        "fields": [(field, value(x.name, v, packed)) for field, v in packed.fields],
    }


def _advance(packed: Packed) -> list[str]:
    """C statements that turn a copy p of the parameters into those of `units` units from `first` on."""
    if packed.slices is None:
        return []
    block = packed.slices.block
    at = "first" if block == 1 else f"first / {block}u"

    def times(what: str, n: int) -> str:
        return what if n == 1 else f"{what} * {n}u"

    moved = [f"p.{field} += {times(at, n)};" for field, n in packed.slices.pointers]
    counted = [f"p.{field} = ({kind})({times('units', n)});" for field, kind, n in packed.slices.counts]
    return moved + counted


def value(layer: str, field: str, packed: Packed) -> str:
    """A field's C expression: "@w" is the address of the first element of the layer's array w."""
    if not field.startswith("@"):
        return field.replace("{layer}", layer)
    array = next(a.array for a in packed.arrays if a.suffix == field[1:])
    return f"{layer}_{field[1:]}" + "[0]" * (array.ndim - 1)


def _column_lines(q: QNetwork) -> list[str]:
    lines = []
    for side, columns in (("raw", q.raws), ("forecast", q.forecasts)):
        for j, c in enumerate(columns):
            unit = f" {comment(c.unit)}" if c.unit else ""
            ahead = f", {q.outputs[j].horizon} ahead" if side == "forecast" and len(horizons(q)) > 1 else ""
            lines.append(f"{side}[{j}] = {comment(c.name)}{ahead},{unit} * {10**c.decimals}")
    return lines + [line for c in q.raws for line in _calendar_line(c)]


def _calendar_line(c: Raw) -> list[str]:
    """How the caller computes a calendar column."""
    cycle, _, wave = c.name.partition("_")
    if cycle not in CALENDAR or wave not in ("sin", "cos"):
        return []
    return [f"{c.name} = {wave}(2 pi t / {CALENDAR[cycle]:.0f}), t in seconds since 1970-01-01 00:00 UTC"]


def horizons(q: QNetwork | Network) -> list[int]:
    """The steps ahead that a forecast has, rising."""
    return sorted({c.horizon or q.horizon for c in q.outputs})


def _constants(q: QNetwork, layers: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    weights = sum(a.array.nbytes for x in layers for a in x["packed"].arrays)
    tables = sum(file_of(*kernel).table_bytes for kernel in {(x["op"], x["target"]) for x in layers if x["tensors"]})
    block = max(x["block"] for x in layers if x["tensors"])
    rows = [
        ("INPUTS", str(len(q.inputs)), ""),
        ("OUTPUTS", str(len(q.outputs)), ""),
        ("HORIZON", str(q.horizon), "steps ahead"),
        ("WARMUP", str(q.warmup), "samples before the forecast is to be trusted"),
        ("MAX_GAP", str(q.max_gap), "lost samples in a row"),
        ("WEIGHT_BYTES", str(weights), "flash: weights, biases, multipliers"),
        ("TABLE_BYTES", str(tables), "flash: sigmoid and tanh"),
        ("STATE_BYTES", str(state_bytes(q) - scratch_bytes(q)), "RAM, per stream"),
        ("SCRATCH_BYTES", str(scratch_bytes(q)), "RAM, per stream, beside the state in the same struct"),
        ("SAVE_BYTES", str(oracle.save_bytes(q)), "a saved state"),
        *([] if layered(q) else [("SLICE_UNITS", str(block), "hidden units: the least step_poll computes")]),
    ]
    if q.mode == "window":
        rows.insert(3, ("WINDOW", str(q.window), "samples that a forecast is made from"))
    if q.front:
        rows.insert(1, ("RAWS", str(len(q.raws)), "columns of a raw sample"))
        rows += [(f"RAW{j}_DECIMALS", str(c.decimals), comment(c.name)) for j, c in enumerate(q.raws)]
        rows += [(f"FORECAST{j}_DECIMALS", str(c.decimals), comment(c.name)) for j, c in enumerate(q.forecasts)]
    sides: list[tuple[str, Sequence[QInput | QOutput]]] = [("INPUT", q.inputs), ("OUTPUT", q.outputs)]
    for side, columns in sides:
        for j, c in enumerate(columns):
            rows.append((f"{side}{j}_DECIMALS", str(c.decimals), comment(c.name)))
            step = f"{comment(c.unit) or comment(c.name)} in a step of {'x' if side == 'INPUT' else 'y'}"
            rows.append((f"{side}{j}_STEP", repr(c.step), step))
    for j, q_in in enumerate(q.inputs):
        rows += [
            (f"INPUT{j}_LOW", _c_int(q_in.low), ""),
            (f"INPUT{j}_HIGH", _c_int(q_in.high), "raw values beyond: clamped"),
        ]
    return rows


def _c_int(v: int) -> str:
    """A C constant; INT32_MIN, and any negative one, in brackets."""
    return str(v) if v >= 0 else f"({v})" if v > -(2**31) else "(-2147483647 - 1)"


def scratch(q: QNetwork) -> list[tuple[str, str, int, str]]:
    """Arrays of the state struct in which no step leaves anything: C type, name, values, meaning."""
    cells = [x for x in q.layers if OPS[x.op].STATE]
    out = [("int16_t", "next", max(OPS[x.op].output_size(x) for x in cells), "a layer's new h")]
    normed = [4 * OPS[x.op].output_size(x) for x in cells if x.op == "lstm_norm"]
    out += [("int32_t", "work", max(normed), "the gates on their way through the norms")] if normed else []
    fed = {_buffer(q, k): graph_width(q.layers, k, 0) for k in range(len(q.layers) - 1)} if layered(q) else {}
    out += [("int16_t", name, q.window * size, "[window][values a step]") for name, size in fed.items() if name]
    before = [OPS[x.op].output_size(x) for x in cells if x.op == "gru" and not gru.reset_after(x)]
    return [*out, ("int16_t", "reset", max(before), "h behind the reset gate")] if before else out


def scratch_bytes(q: QNetwork) -> int:
    """Bytes of the state struct that are scratch."""
    return sum(values * (4 if kind == "int32_t" else 2) for kind, _, values, _ in scratch(q))


def state_bytes(q: QNetwork) -> int:
    """sizeof the state struct: counters, samples, the layers' states, scratch; padded to 4."""
    windowed, in_slices = q.mode == "window", not layered(q)
    counters = 6 + 4 * windowed + 4 * in_slices
    samples = 2 * (max(q.window, 1) + (windowed and in_slices)) * len(q.inputs)
    samples += oracle.past_bytes(q)
    return (counters + samples + sum(oracle.tensor_bytes(x) for x in q.layers) + scratch_bytes(q) + 3) // 4 * 4
