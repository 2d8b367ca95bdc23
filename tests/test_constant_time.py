"""Constant time: the instructions of a layer's call do not depend on weights' signs, on states or on inputs.

Each image carries one random network. Before every step its states and its inputs are drawn anew, a quarter of them at
the ends of their range, and the emulator counts each call of each layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests import fake_model, nets
from tests.conftest import needs
from toolkit import emulate
from toolkit.boards import load_board
from toolkit.build import build_firmware
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination
from toolkit.codegen.render import generate

STEPS = 260
IMAGES = 4  # of each board and kernels: more than 1 000 steps
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
static uint32_t seed = SEED;

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


def folder(out: Path, board: str, target: str, seed: int) -> tuple[Path, list[str]]:
    """The fake model, each of whose predictions first steps a random network from a random state; its layers' names."""
    rng = np.random.default_rng([seed, len(target)])
    inputs, hidden, bits = SHAPES[seed]
    cells = ("lstm", "gru") if seed % 2 else ("lstm", "lstm")
    shape = nets.Shape(inputs, hidden, 2, bits, "stateful", 0, "hold", 1, cells)
    q = nets.random_qnetwork(rng, shape, "net")
    b = load_board(board)
    c_dir = fake_model.write(out, fake_model.vectors(STEPS))
    choices = choose(q, b, optimize="speed", wanted=target or None, tune=None)
    for name, text in generate(q, destination(b, choices, False)).items():
        (c_dir / name).write_text(text)
    lines = ["int16_t x[NET_INPUTS];", "int32_t y[NET_OUTPUTS];", "fill(x, NET_INPUTS, 32640u);"]
    for layer, op, size in zip(q.layers, cells, hidden, strict=False):
        lines.append(f"fill(net.{layer.name}_h, {size}u, 32640u);")
        lines += [f"fill(net.{layer.name}_c, {size}u, 32767u);"] if op == "lstm" else []
    body = "\n    ".join([*lines, "net_step(&net, x, y);"])
    head = '#include "net.h"\nvoid random_step(void);\nstatic net_state net;\n'
    (c_dir / "random.c").write_text(
        f"{head}{DRAW.replace('SEED', f'{seed + 1}u')}\nvoid random_step(void)\n{{\n    {body}\n}}\n"
    )
    fake = (c_dir / "fake.c").read_text()
    assert fake.count("s->steps++;") == 1
    (c_dir / "fake.c").write_text(
        "void random_step(void);\n" + fake.replace("s->steps++;", "random_step(); s->steps++;")
    )
    return c_dir, [layer.name for layer in q.layers]


@pytest.mark.parametrize("compiler, tool", [("gcc", "arm-gcc"), ("zig", "zig")])
@pytest.mark.parametrize("board, target", CASES)
def test_a_layer_takes_as_many_instructions_every_time(
    board: str, target: str, compiler: str, tool: str, tmp_path: Path
) -> None:
    needs(tool, "unicorn")
    for seed in range(IMAGES):
        out = tmp_path / str(seed)
        c_dir, names = folder(out, board, target, seed)
        build_firmware(c_dir, load_board(board), out / "build", toolchain=compiler, say=lambda _: None)
        image = out / "build" / "firmware.elf"
        _, counts, spent = emulate.profile(image, load_board(board), core=None, layers=names)
        assert counts.calls == STEPS and set(spent.calls) == set(names)
        print(board, target, compiler, seed, spent.calls)
        for name, (least, most) in spent.calls.items():
            assert spent.entries[name] >= STEPS and least == most, f"{name}: {least} to {most} instructions"
