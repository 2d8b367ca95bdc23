"""The web page: its module computes the oracle's bits in node and in Chromium, and a wrong bit is told."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from quantize import oracle
from quantize.qnetwork import QNetwork, save_qnetwork
from tests.conftest import needs
from tests.nets import Shape, random_qnetwork, with_front
from toolkit.cli import main

CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=5000")
MODELS = {
    "stream": Shape(2, (9, 4), 2, (16, 8), "stateful", 0, "hold", 3, ("lstm", "gru")),
    "window": Shape(1, (6,), 1, (16,), "window", 4, "reset", 2, ("lstm",)),
}


@pytest.fixture(scope="module", params=MODELS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[QNetwork, Path]:
    needs("zig")
    folder, rng = tmp_path_factory.mktemp("web"), np.random.default_rng(4)
    q = with_front(rng, random_qnetwork(rng, MODELS[request.param], "webbed"))
    q = save_qnetwork(q, folder / "model.q.safetensors")
    assert main(["export", str(folder), "--to", "web", "-o", str(folder / "page")]) == 0
    return q, folder / "page"


def node(folder: Path, script: str) -> list[object]:
    text = f'import {{ readFile }} from "node:fs/promises";\nimport {{ load }} from "./model.mjs";\n{script}'
    (folder / "try.mjs").write_text(text)
    done = subprocess.run(["node", "try.mjs"], cwd=folder, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_node_computes_the_oracle(exported: tuple[QNetwork, Path]) -> None:
    needs("node")
    q, folder = exported
    stream, rng = oracle.Stream(q), np.random.default_rng(0)
    rows, want = [], []
    for k in range(40):
        if k % 7 == 3:
            rows.append(None)
            y = stream.predict_missing()
        else:
            raw = rng.integers(-5000, 5000, len(q.raws))
            rows.append(oracle.from_raw(q.raws, raw).tolist())
            y = stream.predict(raw)
        want.append([*oracle.from_raw(q.forecasts, y).tolist(), oracle.state_hash(stream.save())])
    script = (
        f'const m = await load(await readFile("model.wasm"));\nfor (const row of {json.dumps(rows)}) {{\n'
        "  const y = row ? m.predict(row) : m.predictMissing();\n"
        "  console.log(JSON.stringify([...y, m.stateHash()]));\n}"
    )
    assert node(folder, script) == want


def test_a_wrong_expectation_is_told(exported: tuple[QNetwork, Path]) -> None:
    needs("node")
    q, folder = exported
    n = len(q.raws)
    stream = oracle.Stream(q)
    y = stream.predict(np.zeros(n, int)).tolist()
    good = {
        "ops": [2],
        "raw": [[0] * n],
        "forecast": [y],
        "hash": f"{oracle.run_hash([oracle.state_hash(stream.save())]):08x}",
    }
    bad = [good, {**good, "hash": "00000000"}, {**good, "forecast": [[v + 1 for v in y]]}]
    script = 'const m = await load(await readFile("model.wasm"));\n' + "".join(
        f"console.log(JSON.stringify(m.replay({json.dumps(v)}).equal));\n" for v in bad
    )
    assert node(folder, script) == [True, False, False]


def test_the_page_says_parity_in_chromium(exported: tuple[QNetwork, Path], tmp_path: Path) -> None:
    needs("chromium")
    _, folder = exported
    shutil.copy(folder / "index.html", tmp_path / "good.html")
    page = (folder / "index.html").read_text("utf-8")
    (tmp_path / "bad.html").write_text(page.replace('"hash":"', '"hash":"x', 1), "utf-8")
    for name, text in (("good", "equal to the oracle."), ("bad", "Parity FAILED")):
        done = subprocess.run(
            ["chromium", *CHROMIUM, f"--user-data-dir={tmp_path / name}", "--dump-dom", f"file://{tmp_path}/{name}.html"],
            capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        assert text in done.stdout and "<polyline" in done.stdout
