"""Writes docs/transcripts.md: pyOCD writing an emulated board, PCs under OVMF, a Pico in rp2040js, the web page. From
the root, after a demo (`runs/demo`): `python -m docs.transcripts`; two minutes. It needs what CI installs."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests import fake_model
from tests.test_flash_pyocd import PYOCD, STEPS, emulated
from toolkit.boards import load_board
from toolkit.build import build_firmware
from toolkit.emulate.outcome import parse
from toolkit.flash import flash, steps_of

DRAWN = re.compile(r"^\[[-|=]+\]$|\d of \d+ steps equal$")  # progress
PAGE = Path(__file__).with_name("transcripts.md")
HEAD = """# Transcripts

Made by `python -m docs.transcripts`. What stands here was printed by the programs named; paths are shortened.

"""


def pyocd() -> str:
    """Unmodified pyOCD on QEMU's micro:bit: write, verify, reset; then what the board said on its serial line."""
    text = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        work, board = Path(folder), load_board("microbit")
        with emulated(work, patch) as serial:
            c_dir = fake_model.write(work, fake_model.vectors(STEPS))
            build_firmware(c_dir, board, work / "build", toolchain="auto", say=lambda s: None)
            for step in steps_of(board, work / "build", PYOCD):
                text.write(f"$ {step}\n" if isinstance(step, str) else "")
            with contextlib.redirect_stderr(text), contextlib.redirect_stdout(text):
                flash(board, work / "build", PYOCD, say=lambda s: print(s, file=text), ask=lambda s: "")
            until = time.monotonic() + 60
            while not serial.read_text().endswith("EXIT:0\n") and time.monotonic() < until:
                time.sleep(0.05)
            said = serial.read_text()
        seen = parse(tuple(said.splitlines()))
        assert seen["hash"] == fake_model.run_hash(STEPS)
        return plain(text.getvalue(), work) + "\n--- serial line ---\n" + said.strip()


def plain(text: str, work: Path) -> str:
    """Without colours, progress that was drawn over, and folders of this machine."""
    text = text.replace(f"{Path(sys.prefix) / 'bin'}/", "")
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)
    lines = [line.split("\r")[-1].rstrip() for line in text.splitlines()]
    return "\n".join(
        re.sub(rf"{re.escape(str(work))}|{re.escape(os.getcwd())}", "...", x)
        for x in lines
        if x.strip() and not DRAWN.search(x)
    )


def toolkit(*arguments: str) -> str:
    """A verb of the command line: what it printed, and how long it took."""
    begin = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "toolkit", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    shown = plain(done.stdout, Path.cwd())
    return f"$ toolkit {' '.join(arguments)}\n{shown}\n(exit {done.returncode}, {time.monotonic() - begin:.1f} s)"


def on(board: str, *more: str) -> str:
    """generate-c and run of the demo's model."""
    toolkit("generate-c", "runs/demo", "--board", board)
    shown = toolkit("run", "runs/demo", "--board", board, *more)
    return "\n".join(x for x in shown.splitlines() if x.startswith(("$", "build", "run", board, "(exit")))


def web() -> str:
    """The page of `export --to web` in headless Chromium: what its first line says, and docs/web.png."""
    with tempfile.TemporaryDirectory() as folder:
        page = f"{folder}/page"
        shown = toolkit("export", "runs/demo", "--to", "web", "-o", page).replace(folder, "...")
        browser = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--window-size=1000,860"]
        browser += ["--virtual-time-budget=5000", f"--user-data-dir={folder}/profile"]
        url = f"file://{page}/index.html"
        picture = [f"--screenshot={PAGE.with_name('web.png')}", url]
        subprocess.run([*browser, *picture], check=True, capture_output=True)
        done = subprocess.run([*browser, "--dump-dom", url], check=True, capture_output=True, text=True)
    said = re.findall(r'id="parity"[^>]*>([^<]*)<', done.stdout)
    return f"{shown}\n$ chromium --headless --dump-dom index.html\n{said[0]}"


def main() -> None:
    """Writes the page."""
    parts = {
        "pyOCD's own flash algorithm on QEMU's micro:bit": pyocd(),
        "PCs under OVMF: no AVX2, and AVX2 (its compiler is gcc: docs/boards.md)": "\n".join(
            [on("pc_uefi", "--toolchain", "gcc"), on("pc_uefi_avx2", "--toolchain", "gcc")]
        ),
        "Raspberry Pi Pico's UF2 in rp2040js, after its boot stage": on("pico", "--emulator", "rp2040js"),
        "The web page in Chromium (its picture: web.png)": web(),
        "One model, one hash": toolkit(
            "validate", "runs/demo", "--toolchain", "gcc",
            "--on", "oracle,host,mps2_an386,netduinoplus2,microbit,mps3_an547,pc_uefi",
        ),
    }  # fmt: skip
    PAGE.write_text(HEAD + "\n\n".join(f"## {k}\n\n```text\n{v}\n```" for k, v in parts.items()) + "\n", "utf-8")


if __name__ == "__main__":
    main()
