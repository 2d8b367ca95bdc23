"""Random layered networks without end: their generated float32 C within 1e-5 of float64, whole and sample by sample."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from tests.conftest import needs
from tests.float_nets import random_graph
from tests.long.campaign import campaign
from tests.test_f32_graph import compiled, follows_float64, stays_close

BATCH = 40


def test_random_float_networks() -> None:
    needs("host-cc")

    def check(seed: int) -> None:
        nets = {f"random {k}": random_graph(np.random.default_rng([seed, k]), "net") for k in range(BATCH)}
        with tempfile.TemporaryDirectory() as folder:
            library = compiled(nets, Path(folder))
            stays_close(library, seed)
            follows_float64(library, seed)

    assert campaign("f32_networks", check) > 0
