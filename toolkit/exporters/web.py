"""`export --to web`: the model as a WebAssembly module and one page that runs it, with test vectors inside."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quantize import oracle
from quantize.qnetwork import QNetwork
from toolkit.boards import load_board
from toolkit.codegen.lower import Destination, horizon_text
from toolkit.codegen.render import generate
from toolkit.errors import ToolkitError
from toolkit.exporters.libraries import environment, write_export
from toolkit.stages.firmware import Job, vectors_of
from toolkit.stages.generate import load_current, model_file
from toolkit.toolchain import WARNINGS, host_toolchain
from toolkit.vectors import MISSING, Vectors

STEPS = 256  # test vectors in the page
SHOWN = 200  # samples that it begins with
_FOR = Destination(
    "the web", "wasm_simd128", "defined(__wasm_simd128__)", "compile for WebAssembly with -msimd128", False
)


def export_web(model: Path, out: Path | None, *, say: Callable[[str], None]) -> dict[str, Any]:
    """Writes index.html (everything in one file), model.mjs, model.wasm and a README.

    Raises: ToolkitError when there is no zig, or the folder is somebody else's; QuantizeError for a bad model."""
    file = model_file(model)
    q = load_current(file)
    out = out or file.parent / "export" / f"{q.name}-web"
    vectors = vectors_of(Job(file.parent, load_board("host"), STEPS), q)
    say("compiling for WebAssembly")
    files = web(q, vectors)
    write_export(files, out)
    say(f"{out / 'index.html'}: {len(files['index.html']) // 1024} KB; open it in a browser")
    return {"name": q.name, "to": "web", "out": str(out), "files": sorted(files), "model": q.digest}


def web(q: QNetwork, vectors: Vectors) -> dict[str, str | bytes]:
    """File name -> contents. Deterministic for one version of zig."""
    facts = _facts(q)
    render = environment()
    wasm = compile_wasm(generate(q, _FOR), render.get_template("web/glue.c.j2").render(facts), q.name)
    facts["module"] = render.get_template("web/model.mjs.j2").render(facts)
    samples = oracle.from_raw(q.raws, vectors.raw)
    rows = [
        "" if op == MISSING else ", ".join(f"{v:.10g}" for v in x) for op, x in zip(vectors.ops, samples, strict=True)
    ]
    told = {
        "ops": vectors.ops.tolist(),
        "raw": vectors.raw.tolist(),
        "forecast": np.asarray(vectors.forecast).tolist(),
        "hash": f"{vectors.run_hash:08x}",
    }
    facts |= {"wasm": base64.b64encode(wasm).decode(), "vectors_json": json.dumps(told, separators=(",", ":"))}
    facts |= {"start_json": json.dumps("\n".join(rows[:SHOWN]))}
    page = render.get_template("web/index.html.j2").render(facts)
    return {
        "README.md": render.get_template("web/README.md.j2").render(facts),
        "index.html": page,
        "model.mjs": facts["module"],
        "model.wasm": wasm,
    }


def _facts(q: QNetwork) -> dict[str, Any]:
    columns = {
        side: [{"name": c.name, "measure": c.unit, "decimals": c.decimals, "unit": 10**c.decimals} for c in found]
        for side, found in (("inputs", q.raws), ("outputs", q.forecasts))
    }
    told = {**columns, "horizon": q.horizon, "warmup": q.warmup, "saveBytes": oracle.save_bytes(q), "model": q.digest}
    shown = next((j for j, c in enumerate(q.raws) if c.name == q.forecasts[0].name), 0)
    return {
        "name": q.name,
        "NAME": q.name.upper(),
        "raws": f"{q.name.upper()}_{'RAWS' if q.front else 'INPUTS'}",
        "sentence": f"A quantized recurrent network in WebAssembly: {len(q.raws)} in, {len(q.forecasts)} out.",
        "input_names": ", ".join(f"{c.name}{' (' + c.unit + ')' if c.unit else ''}" for c in q.raws),
        "shown_in": q.raws[shown].name,
        "shown_out": q.forecasts[0].name,
        "shown_json": shown,
        "ahead": horizon_text(q),
        "zeros": ", ".join("0" for _ in q.raws),
        "digest": q.digest,
        "facts_json": json.dumps(told).replace("</", "<\\/"),
    }


def compile_wasm(code: dict[str, str], glue: str, name: str) -> bytes:
    """The module: exports of the glue and its memory, no imports.

    Raises: ToolkitError when there is no zig, or it refuses the code."""
    zig = host_toolchain("zig")
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        for file, text in {**code, "glue.c": glue}.items():
            (work / file).write_text(text, encoding="utf-8", newline="\n")
        sources = sorted(str(p) for p in work.glob("*.c"))
        flags = ["-target", "wasm32-freestanding", "-msimd128", "-std=c11", "-O2", "-fno-sanitize=undefined", *WARNINGS]
        link = ["-nostdlib", "-Wl,--no-entry", "-Wl,--strip-all", "-Wl,-z,stack-size=16384"]
        command = [*zig.cc, *flags, *sources, *link, "-o", str(work / "model.wasm")]
        done = subprocess.run(command, env={**os.environ, **zig.env}, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ToolkitError(f"{name}: zig cannot build it for WebAssembly: {done.stderr.strip().splitlines()[:1]}")
        return (work / "model.wasm").read_bytes()
