"""A tiny run for the tests of the report: trained and quantized for real, its boards' files made up."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from quantize.ptq import Options
from quantize.qnetwork import load_qnetwork
from toolkit.config import load_config
from toolkit.stages.quantize import quantize
from toolkit.train import train

HOSTILE = '</script><script>alert("1")</script>&amp;\''
VOID = {"meta", "link", "br", "img", "hr", "input"}
SIZES = {
    "weights": 1884,
    "tables": 1028,
    "code": 1600,
    "vectors": 3000,
    "firmware": 2300,
    "flash": 9812,
    "data": 0,
    "bss": 500,
    "ram": 500,
}


def quiet(_: str) -> None:
    """No progress lines."""


def make_run(out: Path, *overrides: str) -> Path:
    """A trained and quantized run, as small as can be."""
    tiny = ["model.hidden=4", "train.epochs=3", *overrides]
    train(load_config("docs/examples/room.toml", sets=tiny, env={}), out, say=quiet)
    quantize(out, Options(refit=True, deep_wx_bits=8), say=quiet)
    return out


def with_boards(made: Path, out: Path) -> Path:
    """A copy of a run with one board and the host, equal."""
    shutil.copytree(made, out)
    for board in ("mps2_an386", "host"):
        fabricate(out, board)
    return out


def fabricate(run: Path, board: str) -> None:
    """The files that build and run leave for a board."""
    digest = load_qnetwork(run / "model.q.safetensors").digest
    base = {"steps": 100, "hash": "0badcafe", "digest": digest}
    put(run, board, "vectors", base | {"kernels": {"lstm0": "dsp", "head": "ref"}})
    put(run, board, "host", base | {"board": board, "equal": True, "divergence": "", "compiler": "cc 12"})
    if board == "host":
        return
    limits = {"flash": 4194304, "ram": 4194304, "stack": 8192}
    put(
        run,
        board,
        "build",
        {"board": board, "title": "A board", "compiler": "gcc 12", "sizes": SIZES, "limits": limits},
    )
    measured = {
        "emulator": "qemu 7",
        "stack": 148,
        "stack_total": 228,
        "steps_asked": 100,
        "passed": True,
        "problems": [],
    }
    per_step = {"mean": 81000.5, "min": 80000, "max": 82000, "calls": 100}
    put(run, board, "run", base | measured | {"instructions_per_step": per_step})


def put(run: Path, board: str, name: str, values: dict[str, Any]) -> None:
    path = run / "build" / board / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values))


def change(run: Path, board: str, name: str, **values: Any) -> None:
    put(run, board, name, json.loads((run / "build" / board / f"{name}.json").read_text()) | values)


class Page(HTMLParser):
    """Refuses tags that do not match, and gathers what is there."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.values: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.values += [v or "" for k, v in attrs if k in ("src", "href", "data", "action")]
        assert not any(k.startswith("on") for k, _ in attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)
