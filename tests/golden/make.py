"""Writes the golden files again: `python -m tests.golden.make`, after a change of the generated C that is meant.

demo.q.safetensors is a small network with seeded weights, quantized; it is only made when it is not there (its bytes
depend on the last bit of NumPy's tanh). c/ is what the generator makes of it for a Cortex-M4F."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from quantize import ptq
from quantize.qnetwork import load_qnetwork, save_qnetwork
from tests.nets import Shape, random_network, series
from toolkit.boards import load_board
from toolkit.codegen.lower import destination
from toolkit.codegen.render import generate, write_folder

FOLDER = Path(__file__).parent
MODEL = FOLDER / "demo.q.safetensors"
SHAPES = {
    "demo": Shape(2, (4, 3), 1, (16, 8), "stateful", 0, "interpolate", 6),
    "ring": Shape(1, (3,), 2, (16,), "window", 5, "hold", 2),
}


def model_file(name: str) -> Path:
    """Where a golden quantized model lies."""
    return FOLDER / f"{name}.q.safetensors"


def folder(name: str) -> dict[str, str]:
    """The generated files of a golden model, for the board mps2_an386."""
    return generate(
        load_qnetwork(model_file(name)), replace(destination(load_board("mps2_an386"), [], False), target="ref")
    )


def main() -> None:
    """Writes the models that are not there, and the C of all."""
    for seed, (name, shape) in enumerate(SHAPES.items()):
        if not model_file(name).exists():
            network = random_network(np.random.default_rng(seed), shape, name)
            data = series(np.random.default_rng(seed), network, 8, max(shape.window, 40))
            save_qnetwork(ptq.quantize(network, [data], ptq.Options(), "0" * 64), model_file(name))
        own = {k: v for k, v in folder(name).items() if k.startswith(name)}
        write_folder(own, FOLDER / name)


if __name__ == "__main__":
    main()
