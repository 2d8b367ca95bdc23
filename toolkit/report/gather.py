"""The files of a run -> report.json. docs/report.md says what each key means."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import numpy as np

from quantize.fixedpoint import ARITHMETIC, SIGMOID_NODES, TANH_NODES
from quantize.float_graph import shapes
from quantize.graph import sources
from quantize.network import Layer, Network
from quantize.ops import OPS
from quantize.oracle import tensor_bytes
from quantize.qnetwork import QLayer, QNetwork
from toolkit import __version__
from toolkit.codegen.lower import scratch_bytes, state_bytes
from toolkit.data.prepared import pairs
from toolkit.report.files import METHODS, BoardFiles, RunFiles, error
from toolkit.report.parity import board_parity, host_parity, parity
from toolkit.report.scores import scores
from toolkit.report.verdict import verdict

SCHEMA = 1
MEMORY = (
    "weights",
    "code",
    "tables",
    "firmware",
    "vectors",
    "flash",
    "flash_image",
    "state",
    "scratch",
    "ram",
    "stack",
)


def gather(run: Path, files: RunFiles) -> dict[str, Any]:
    """The report of a run. What no stage has given yet is None, and every `parity` and `equal` is then False."""
    boards = {name: _board(name, b, files.q, run) for name, b in files.boards.items()}
    primary = next((n for n, b in boards.items() if b["memory"]["flash"] is not None), None)
    network = files.q or files.network
    assert network is not None
    accuracy = _accuracy(files)
    return {
        "schema": SCHEMA,
        "name": network.name,
        "accuracy": accuracy | verdict(accuracy),
        "metrics": scores(files),
        "model": _model(files),
        "import": _imported(files),
        "data": _data(files),
        "training": _training(files),
        "quantization": {k: (files.quantize or {}).get(k) for k in ("saturation", "overflow", "drift")},
        "memory": {"board": primary} | (boards[primary]["memory"] if primary else _model_memory(files.q)),
        "boards": boards,
        "parity": parity(files.boards, files.wanted),
        "f32": {
            name: {key: ran.get(key) for key in ("passed", "steps", "error", "tolerance", "emulator")}
            for name, ran in files.floats.items()
        },
        "versions": _versions(files, boards),
        "stale": list(files.stale),
    }


def _accuracy(files: RunFiles) -> dict[str, Any]:
    found = (files.quantize or files.train or {}).get("accuracy", {})
    keys = (*METHODS, "ner", "rmse_ratio", "unit", "forecasts")
    return {k: found.get(k) for k in keys} | {"targets": _targets(files)}


def _imported(files: RunFiles) -> dict[str, Any] | None:
    """The proof that `import` stored beside the model; None of a trained one."""
    found = files.imported
    if found is None:
        return None
    differences = (found.get("differences") or {}).values()
    return {
        **{k: found.get(k) for k in ("format", "runtime", "structure", "proven", "inputs")},
        "equal": found.get("equal") if files.q and found.get("quantized_sha256") == files.q.digest else None,
        "largest": max((d["largest"] for d in differences), default=None),
        "ner": (files.quantize or {}).get("accuracy", {}).get("ner"),
    }


def _targets(files: RunFiles) -> list[dict[str, Any]]:
    """Test RMSE, or of classes the share of wrong labels, of each target by itself."""
    if files.forecast is None or files.q is None:
        return []
    f = files.forecast
    return [
        {"name": name, "unit": unit} | {k: error(f[k][:, j], f["truth"][:, j], files.prepared) for k in METHODS}
        for j, (name, unit) in enumerate(_labels(files))
    ]


def _labels(files: RunFiles) -> list[tuple[str, str]]:
    """Name and unit of each target and horizon, in the order of the forecasts' columns."""
    p = files.prepared
    if p is None:
        assert files.q is not None
        return [(c.name, c.unit) for c in files.q.forecasts]
    several = len(p.horizons) > 1
    columns = [(p.columns[k], f" +{h}" if several else "") for k, h in pairs(p)]
    return [(f"{c.name}{ahead}", c.unit) for c, ahead in columns]


def _model(files: RunFiles) -> dict[str, Any]:
    network = files.q or files.network
    assert network is not None
    layers = [_layer(files, j) for j in range(len(network.layers))]
    return {
        "params": sum(x["params"] for x in layers) if files.network is not None else None,
        "macs_per_step": sum(x["macs"] for x in layers),
        "layers": layers,
        "sha256": files.q.digest if files.q else None,
        "float_sha256": files.digest,
        "mode": network.mode,
        "window": network.window,
        "warmup": network.warmup,
        "horizon": network.horizon,
        "period": network.period,
        "inputs": [{"name": c.name, "unit": c.unit, "decimals": c.decimals} for c in network.inputs],
        "outputs": [{"name": c.name, "unit": c.unit, "decimals": c.decimals} for c in network.outputs],
    }


def _layer(files: RunFiles, j: int) -> dict[str, Any]:
    n, network = files.q or files.network, files.network
    assert n is not None
    x = n.layers[j]
    return {
        "name": x.name,
        "op": x.op,
        **(_sizes(network, j) if files.q is None and network is not None else _quantized_sizes(x)),
        "params": _parameters(network, x.name),
        "weight_bytes": sum(v.nbytes for v in files.q.layers[j].arrays.values()) if files.q else None,
        "state_bytes": tensor_bytes(files.q.layers[j]) if files.q else None,
    }


def _parameters(network: Network | None, name: str) -> int | None:
    """Of the float layer of that name; an identity that quantization added has none."""
    if network is None:
        return None
    return sum(v.size for x in network.layers if x.name == name for v in x.weights.values())


def _quantized_sizes(x: Layer | QLayer) -> dict[str, int]:
    op = OPS[x.op]
    return {"inputs": op.input_size(x), "outputs": op.output_size(x), "macs": op.macs(x)}


def _sizes(n: Network, j: int) -> dict[str, int]:
    """Of any op; MACs of one step."""
    made, x = shapes(n, n.window or 1), n.layers[j]
    fed = [made[s][1] for s in sources(n.layers, j)]
    work = sum(v.size for v in x.weights.values() if v.ndim > 1)
    return {"inputs": sum(fed), "outputs": made[x.name][1], "macs": work}


def _data(files: RunFiles) -> dict[str, Any]:
    p = files.prepared
    return {
        "rows": len(p.values) if p else None,
        "segments": len(p.starts) if p else None,
        "forecasts": ((files.train or {}).get("data") or {}).get("forecasts"),
    }


def _training(files: RunFiles) -> dict[str, Any]:
    found = (files.train or {}).get("training", {})
    return {k: found.get(k) for k in ("backend", "seed", "epochs", "best_epoch")}


def _model_memory(q: QNetwork | None) -> dict[str, Any]:
    """What the model alone says: weights and tables as arrays, and the state struct's two parts."""
    out: dict[str, Any] = dict.fromkeys(MEMORY)
    if q is None:
        return out
    out["weights"] = sum(v.nbytes for x in q.layers for v in x.arrays.values())
    out["tables"] = 2 * (len(SIGMOID_NODES) + len(TANH_NODES))  # int16 in C
    out["scratch"] = scratch_bytes(q)
    out["state"] = state_bytes(q) - out["scratch"]
    return out


def _memory(built: dict[str, Any], ran: dict[str, Any] | None, q: QNetwork) -> dict[str, Any]:
    sizes = built["sizes"]
    taken = {k: sizes[k] for k in ("weights", "code", "tables", "firmware", "vectors", "ram")}
    image = {"flash": sizes["flash"] - sizes["vectors"], "flash_image": sizes["flash"]}
    return _model_memory(q) | taken | image | {"stack": (ran or {}).get("stack")}


def _board(name: str, b: BoardFiles, q: QNetwork | None, run: Path) -> dict[str, Any]:
    built, ran = b.built or {}, b.ran or {}
    seen = ran or (b.host or {} if name == "host" else {})
    per_step = ran.get("instructions_per_step") or {}
    limits = built.get("limits") or {}
    memory = _memory(built, b.ran, q) if "sizes" in built and q is not None else dict.fromkeys(MEMORY)
    return {
        "title": built.get("title", "This computer" if name == "host" else name),
        "emulator": ran.get("emulator"),
        "kernels": (b.vectors or {}).get("kernels", {}),
        "steps": seen.get("steps"),
        "parity": host_parity(b) if name == "host" else board_parity(b),
        "hash": seen.get("hash") or None,
        "host_hash": (b.host or {}).get("hash"),
        "instructions_per_step": per_step.get("mean"),
        "instructions_min": per_step.get("min"),
        "instructions_max": per_step.get("max"),
        "compiler": built.get("compiler") or (b.host or {} if name == "host" else {}).get("compiler"),
        "stack": ran.get("stack"),
        "stack_total": ran.get("stack_total"),
        "stack_limit": limits.get("stack"),
        "flash_limit": limits.get("flash"),
        "ram_limit": limits.get("ram"),
        "problems": [str(p).replace(str(run.resolve()), "").replace(str(run), "") for p in ran.get("problems", ())],
        "memory": memory,
    }


def _versions(files: RunFiles, boards: dict[str, Any]) -> dict[str, Any]:
    compilers = [
        *(b["compiler"] for b in boards.values()),
        *((b.host or {}).get("compiler") for b in files.boards.values()),
    ]
    return {
        "tealight": __version__,
        "arithmetic": ARITHMETIC,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "compilers": sorted({c for c in compilers if c}),
        "emulators": sorted({b["emulator"] for b in boards.values() if b["emulator"]}),
    }
