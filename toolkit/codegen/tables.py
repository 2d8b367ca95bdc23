"""The tables of csrc/, from quantize/nodes.json and quantize/gemmlowp.py: `python -m toolkit.codegen.tables`.

A test compares."""

from __future__ import annotations

import numpy as np

from quantize.fixedpoint import SIGMOID_NODES, TANH_NODES, lines, packed
from quantize.gemmlowp import SIGMOID_NODES as SIGMOID_24THS
from toolkit.codegen.render import CSRC, SPDX, carray

FUNCTIONS = (("sigmoid", SIGMOID_NODES, "32768 * sigmoid(z)"), ("tanh", TANH_NODES, "32640 * tanh(z * 32768 / 32640)"))


def headers() -> dict[str, str]:
    """File name in csrc/ -> text."""
    nodes, words, straight, planes = [], [], [], []
    for name, values, meaning in FUNCTIONS:
        nodes.append(carray("int16_t", f"tl_{name}_nodes", values, f"{meaning}, z = -8 .. 8 in steps of 1/16", None))
        words.append(carray("uint32_t", f"tl_{name}_packed", packed(values), meaning, None))
        straight.append(carray("uint32_t", f"tl_{name}_lines", lines(values), meaning, None))
        for plane, part, of in (
            ("base", values[:256], "the lower node of each interval"),
            ("slope", 2 * np.diff(values), "2 * (upper node - lower node)"),
        ):
            planes.append(carray("_Alignas(64) int16_t", f"tl_{name}_{plane}", np.roll(part, 128), of, None))
    texts = {
        "tl_tables.h": ("The nodes of sigmoid and tanh; how they were fitted: quantize/fixedpoint.py.", nodes),
        "tl_tables_packed.h": (
            "The same, a word an interval: base << 16 | uint16(2 * slope); an odd interval has its upper node as base.",
            words,
        ),
        "tl_tables_lines.h": (
            "The same, each interval's line drawn on to z = 0: its value there << 16 | uint16(2 * slope), mod 2^32.",
            straight,
        ),
        "tl_tables_planes.h": (
            "The same for permutations of 16-bit lanes, in the order of (z >> 8) modulo 256, 0 first.",
            planes,
        ),
        "tl_tables_w8a8.h": (
            "Sigmoid as in TFLite Micro, whose tanh it makes, too.",
            [carray("uint16_t", "tl_sigmoid_24ths", SIGMOID_24THS, "65536 * sigmoid(i / 24)", None)],
        ),
        "tl_tables_w8a8_lines.h": (
            "The same of both signs, a word an interval of 1/24: (1 + node) << 16, less twice the step; mod 2^32.",
            [
                carray(
                    "uint32_t", "tl_24ths_lines", _signed_24ths(), "i = -256 .. 255; odd ones by their upper node", None
                )
            ],
        ),
        "tl_tables_w8a8_planes.h": (
            "The same for permutations of 16-bit lanes.",
            [
                carray("_Alignas(64) uint16_t", "tl_24ths_base", SIGMOID_24THS[:256], "65536 * sigmoid(i / 24)", None),
                carray("_Alignas(64) uint16_t", "tl_24ths_step", np.diff(SIGMOID_24THS), "to the next one", None),
            ],
        ),
    }
    return {name: _header(name, *parts) for name, parts in texts.items()}


def _signed_24ths() -> np.ndarray:
    """[512]: sigmoid's lines left of 0 are those of 1 - sigmoid. A step is to the next node, upwards."""
    nodes = np.concatenate([65536 - SIGMOID_24THS[:0:-1], SIGMOID_24THS])
    upper = np.arange(512) & 1
    base = nodes[np.arange(512) + upper] + 1
    return (base << 16) - 2 * np.diff(nodes) & 0xFFFF_FFFF


def _header(name: str, meaning: str, arrays: list[str]) -> str:
    guard = name.upper().replace(".", "_")
    source = "quantize/gemmlowp.py" if "w8a8" in name else "quantize/nodes.json"
    made = f"Made from {source} by `python -m toolkit.codegen.tables`."
    top = [
        SPDX,
        f"/* {meaning}",
        f" * {made} */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <stdint.h>",
        "",
    ]
    return "\n".join([*top, "\n\n".join(arrays), "", "#endif", ""])


if __name__ == "__main__":
    for file, text in headers().items():
        (CSRC / file).write_text(text, encoding="utf-8", newline="\n")
