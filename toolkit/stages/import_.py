"""The stage `import`: a model file of another framework -> model.safetensors, with the proof that nothing changed.

The proof runs the original in its own runtime, our float64 definition and our generated float32 C on the same inputs
and compares. It is stored beside the model, in <model>.import.json."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from quantize.canonical import canonical, streamed
from quantize.errors import QuantizeError
from quantize.float_graph import evaluate, shapes
from quantize.network import Network, network_digest, save_network
from quantize.qnetwork import save_qnetwork
from toolkit.errors import CheckFailed, ToolkitError, write_whole
from toolkit.importers import Imported, Options, format_of, importer
from toolkit.samples import as_windows

PROBES = 64  # random windows, at least
LIMIT = 1e-5
"""Of max |difference| / max(1, max |y|), of each output that is compared."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest difference between two runs of one model: `value` in the terms of LIMIT, and where it is."""

    value: float
    probe: int
    step: int
    output: int


def import_model(path: Path, out: Path, options: Options, *, samples: np.ndarray | None, say: Say) -> dict[str, Any]:
    """Reads a file, proves the result and writes it. samples [windows, time, in]: more inputs for the proof.

    Raises: ToolkitError or QuantizeError for a file that is not taken; CheckFailed where the proof fails."""
    kind, imported, network = read_model(path, options, say=say)
    proof: dict[str, Any] = {"format": kind, "runtime": imported.runtime, "structure": imported.structure}
    if imported.original is None:
        say(f"not proven: {imported.runtime}")
    else:
        say(f"comparing with the original in {imported.runtime}")
        x = probes(imported, network, samples)
        proof |= (_proof_int8 if imported.q else _proof)(imported, network, x, say)
    proof["proven"] = imported.original is not None
    return _written(imported, network, out, {**proof, "notes": list(imported.notes)}, say)


def read_model(path: Path, options: Options, *, say: Say) -> tuple[str, Imported, Network]:
    """The format, what the file holds, and its network in the form that is deployed.

    Raises: ToolkitError or QuantizeError, one line, naming the file."""
    kind = format_of(path)
    say(f"{path}: reading it as {kind}")
    try:
        imported = importer(kind).read(path, options)
        shapes(imported.network, imported.network.window)
        network = streamed(imported.network) if options.stream else canonical(imported.network)
        shapes(network, imported.network.window)
    except QuantizeError as e:
        raise ToolkitError(f"{path}: {e}") from None
    for note in imported.notes:
        say(note)
    return kind, imported, network


def probes(imported: Imported, network: Network, samples: np.ndarray | None) -> np.ndarray:
    """Inputs of the comparison [windows, time, in]: PROBES of noise of several sizes, and the samples behind them."""
    shape = (PROBES, imported.network.window, len(network.inputs))
    rng = np.random.default_rng(0)
    if imported.q is not None:
        x = rng.integers(-128, 128, shape).astype(np.int8)
        x[: PROBES // 2] //= 4
    else:
        x = (rng.standard_normal(shape) * np.geomspace(0.1, 3.0, PROBES)[:, None, None]).astype(np.float32)
    if samples is None:
        return x
    return np.concatenate([x, as_windows(samples, *shape[1:], "--samples").astype(x.dtype)])


def _proof(imported: Imported, network: Network, x: np.ndarray, say: Say) -> dict[str, Any]:
    """The largest differences; raises CheckFailed, naming the first layer that differs."""
    from toolkit.host_f32 import build_and_load

    assert imported.original is not None
    original = imported.original(x)
    if not np.isfinite(original[""]).all():
        raise ToolkitError(
            f"the original gives NaN or infinity in {imported.runtime}: there is nothing to compare with"
        )
    want = original[""][:, -1:] if network.mode == "stateful" and original[""].shape[1] == 1 else original[""]
    mine = evaluate(network, x)[""]
    made = {"float64": mine[:, -want.shape[1] :]}
    run = build_and_load(network)
    made["C float32"] = np.stack([run(window) for window in x])[:, -want.shape[1] :]
    found = {name: difference(want, y) for name, y in made.items()}
    for name, d in found.items():
        say(
            f"largest difference of our {name}: {d.value:.2g} (input {d.probe}, step {d.step}, output {d.output}); "
            f"{len(x)} inputs, limit {LIMIT:g}"
        )
    for name, d in found.items():
        if not d.value <= LIMIT:
            first = first_difference(imported.network, original, x)
            raise CheckFailed(
                f"our {name} differs from the original in {imported.runtime} by {d.value:.2g} at input {d.probe}, "
                f"step {d.step}, output {d.output} (limit {LIMIT:g}); {first}; nothing was written"
            )
    return {"inputs": len(x), "limit": LIMIT, "differences": {k: _as_dict(d) for k, d in found.items()}}


def _proof_int8(imported: Imported, network: Network, x: np.ndarray, say: Say) -> dict[str, Any]:
    """The share of equal output bytes of our w8a8 C; raises CheckFailed where one differs."""
    from toolkit.importers.tflite_ import bytes_of_c

    assert imported.original is not None and imported.q is not None
    want = imported.original(x)[""]
    got = bytes_of_c(imported.q, x)
    equal = float((want == got).mean())
    say(f"{equal:.4%} of {want.size} output bytes of our w8a8 C equal the original's in {imported.runtime}")
    if equal < 1:
        probe, step, output = np.argwhere(want != got)[0]
        raise CheckFailed(
            f"our w8a8 C differs from {imported.runtime} first at input {probe}, step {step}, output {output}: "
            f"{got[probe, step, output]}, expected {want[probe, step, output]}; nothing was written"
        )
    return {"inputs": len(x), "bytes": int(want.size), "equal": equal}


def difference(want: np.ndarray, got: np.ndarray) -> Difference:
    """The largest of [windows, steps, outputs].

    Raises: ToolkitError when the shapes differ."""
    if want.shape != got.shape:
        raise ToolkitError(f"the original gives an array of shape {list(want.shape)}, our network {list(got.shape)}")
    d = np.abs(got - want) / max(1.0, float(np.abs(want).max(initial=0.0)))
    at = np.unravel_index(int(np.argmax(np.where(np.isnan(d), np.inf, d))), d.shape)
    return Difference(float(d[at]), *(int(k) for k in at))


def first_difference(network: Network, original: Mapping[str, np.ndarray], x: np.ndarray) -> str:
    """A clause that names the first layer, in the network's order, whose output is not the original's."""
    lines = evaluate(network, x)
    seen = [k for k in (y.name for y in network.layers) if k in original and original[k].shape == lines[k].shape]
    for k, name in enumerate(seen):
        d = difference(original[name], lines[name])
        if not d.value <= LIMIT:
            before = f", {seen[k - 1]} before it agrees" if k else ""
            return f"the first layer that differs is {name}, by {d.value:.2g}{before}"
    return "no layer that the runtime shows differs by itself" if seen else "the runtime shows no layers of its own"


def _as_dict(d: Difference) -> dict[str, Any]:
    return {"largest": d.value, "input": d.probe, "step": d.step, "output": d.output}


def _written(imported: Imported, network: Network, out: Path, proof: dict[str, Any], say: Say) -> dict[str, Any]:
    out.parent.mkdir(parents=True, exist_ok=True)
    save_network(network, out)
    digest = network_digest(out)
    quantized = out.with_name(f"{out.name.removesuffix('.safetensors')}.q.safetensors")
    if imported.q is not None:
        q = save_qnetwork(replace(imported.q, source=digest), quantized)
        proof |= {"quantized": str(quantized), "quantized_sha256": q.digest}
    result = {**proof, "name": network.name, "model": str(out), "sha256": digest}
    write_whole(proof_file(out), json.dumps(result, indent=2) + "\n")
    say(f"{out}: {' -> '.join(f'{x.name} ({x.op})' for x in network.layers)}")
    return result


def proof_file(model: Path) -> Path:
    """Where the proof of a model lies."""
    return model.with_name(f"{model.name.removesuffix('.safetensors')}.import.json")
