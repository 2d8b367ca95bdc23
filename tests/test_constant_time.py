"""Constant time: the instructions of a layer's call do not depend on weights' signs, on states or on inputs.

Each image carries a random network of every shape. Before every step its states and its inputs are drawn anew, a
quarter of them at the ends of their range, and the emulator counts each call of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize.ops import OPS
from quantize.qnetwork import QNetwork
from tests import fake_model, nets
from tests.conftest import needs
from toolkit import emulate
from toolkit.boards import Board, load_board
from toolkit.build import build_firmware
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination
from toolkit.codegen.packers import functions
from toolkit.codegen.render import generate
from toolkit.stages.generate import kernels_of

STEPS = 260  # of each of four networks: more than 1 000 on every board with all its kernels
BOARDS = ("microbit", "mps2_an385", "mps2_an386", "mps2_an500", "mps2_an505")
CASES = [
    (board, target)
    for board in BOARDS
    for target in ("", "ref")  # the board's own kernels; "": those of its target
] + [("mps2_an386", "dsp_size")]
SHAPES = (  # inputs, hidden of each layer, bits of their input weights
    (1, (1, 7), (16, 8)),
    (3, (9, 4), (16, 16)),
    (17, (5, 16), (8, 8)),
    (8, (12, 33), (16, 8)),
)
DRAW = """
static uint32_t seed = 1u;

/* -top .. top; one time in four an end, 0 or -1 */
static int16_t draw(uint32_t top)
{
    const int32_t edges[4] = {(int32_t)top, -(int32_t)top, 0, -1};
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    int32_t any = (int32_t)((seed & 0xFFFFu) * (2u * top + 1u) >> 16) - (int32_t)top;
    return (int16_t)((seed >> 30) == 0u ? edges[(seed >> 28) & 3u] : any);
}

static void fill(int16_t *v, uint32_t n, uint32_t top)
{
    for (uint32_t i = 0; i < n; i++) {
        v[i] = draw(top);
    }
}
"""


def network(target: str, seed: int) -> QNetwork:
    """A random network; its layers' names are its own."""
    inputs, hidden, bits = SHAPES[seed]
    shape = nets.Shape(inputs, hidden, 2, bits, "stateful", 0, "hold", 1, cells(seed))
    q = nets.random_qnetwork(np.random.default_rng([seed, len(target)]), shape, f"net{seed}")
    return replace(q, layers=tuple(replace(x, name=f"{x.name}_{q.name}") for x in q.layers))


def cells(seed: int) -> tuple[str, str]:
    return ("lstm", "gru") if seed % 2 else ("lstm", "lstm")


def random_step(q: QNetwork) -> str:
    """C that steps a network from a random state with random inputs."""
    lines = [f"int16_t x[{q.name.upper()}_INPUTS];", f"int32_t y[{q.name.upper()}_OUTPUTS];"]
    lines.append(f"fill(x, {q.name.upper()}_INPUTS, 32640u);")
    for x in q.layers[:-1]:
        size = OPS[x.op].output_size(x)
        lines.append(f"fill({q.name}.{x.name}_h, {size}u, 32640u);")
        lines += [f"fill({q.name}.{x.name}_c, {size}u, 32767u);"] if x.op == "lstm" else []
    return "{\n    " + "\n    ".join([*lines, f"{q.name}_step(&{q.name}, x, y);"]) + "\n}\n"


def folder(out: Path, board: Board, networks: Sequence[QNetwork], target: str) -> Path:
    """The fake model, each of whose predictions first makes a random step of every network."""
    c_dir = fake_model.write(out, fake_model.vectors(STEPS))
    for q in networks:
        choices = choose(q, board, optimize="speed", wanted=target or None, tune=None)
        for name, text in generate(q, destination(board, choices, False)).items():
            (c_dir / name).write_text(text)
    head = "".join(f'#include "{q.name}.h"\nstatic {q.name}_state {q.name};\n' for q in networks)
    body = "".join(map(random_step, networks))
    (c_dir / "random.c").write_text(f"{head}void random_steps(void);\n{DRAW}\nvoid random_steps(void)\n{{\n{body}}}\n")
    fake = (c_dir / "fake.c").read_text()
    assert fake.count("s->steps++;") == 1
    (c_dir / "fake.c").write_text(
        "void random_steps(void);\n" + fake.replace("s->steps++;", "random_steps(); s->steps++;")
    )
    return c_dir


@pytest.mark.parametrize("compiler, tool", [("gcc", "arm-gcc"), ("zig", "zig")])
@pytest.mark.parametrize("board, target", CASES)
def test_a_layer_takes_as_many_instructions_every_time(
    board: str, target: str, compiler: str, tool: str, tmp_path: Path
) -> None:
    needs(tool, "unicorn")
    here, networks = load_board(board), [network(target, seed) for seed in range(len(SHAPES))]
    c_dir = folder(tmp_path, here, networks, target)
    names = {name: call for q in networks for name, call in functions(q, kernels_of(c_dir, q)).items()}
    build_firmware(c_dir, here, tmp_path / "build", toolchain=compiler, say=lambda _: None)
    _, counts, spent = emulate.profile(tmp_path / "build" / "firmware.elf", here, core=None, layers=names)
    assert counts.calls == STEPS and set(spent.calls) == set(names)
    print(board, target, compiler, spent.calls)
    for name, (least, most) in spent.calls.items():
        assert spent.entries[name] >= STEPS and least == most, f"{name}: {least} to {most} instructions"
