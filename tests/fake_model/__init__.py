"""A hand-made model folder and its oracle in plain Python: tests builds and emulators without the rest."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCES = ("fake.c", "fake.h", "fake_weights.h")
MODEL_H = """#include "fake.h"
#define TL_MODEL_NAME "fake"
typedef fake_state tl_model_state;
#define tl_model_reset fake_reset
#define tl_model_predict fake_predict
#define tl_model_predict_missing fake_predict_missing
#define tl_model_warmed_up fake_warmed_up
#define tl_model_save fake_save
#define tl_model_restore fake_restore
#define TL_MODEL_INPUTS FAKE_INPUTS
#define TL_MODEL_OUTPUTS FAKE_OUTPUTS
#define TL_MODEL_SAVE_BYTES FAKE_SAVE_BYTES
#define TL_MODEL_STATE_BYTES FAKE_STATE_BYTES
#define TL_MODEL_RECURRENT_BYTES 16
"""
WX = ((12, -7), (100, 3), (-50, 90), (7, 127))
DENSE_W, DENSE_B = (300, -2000, 777, 31), -12345


def _clamp(value: int) -> int:
    return max(-32768, min(32767, value))


class Oracle:
    """What fake.c does, written again."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.steps, self.lost, self.x, self.h, self.c = 0, 0, [0, 0], [0] * 4, [0] * 4

    def step(self, raw: tuple[int, int] | None) -> int:
        if raw is None:
            self.lost += 1
        else:
            self.lost, self.x = 0, [_clamp(v) for v in raw]
        out = DENSE_B
        for i, (a, b) in enumerate(WX):
            self.c[i] = _clamp(self.c[i] - (self.c[i] >> 3) + ((self.x[0] * a + self.x[1] * b) >> 4))
            self.h[i] = self.c[i] >> 1
            out += self.h[i] * DENSE_W[i]
        self.steps += 1
        return out

    def save(self) -> bytes:
        body = struct.pack(
            "<4sHH8sIHH10h", b"TLST", 1, 0, b"FAKEFAKE", self.steps, self.lost, 0, *self.h, *self.c, *self.x
        )
        return body + struct.pack("<I", zlib.crc32(body))


def vectors(
    steps: int, *, seed: int = 1, restore: bool = False, wrong_step: int | None = None, flat: bool = False
) -> str:
    """The text of vectors.h. `wrong_step` plants a wrong expectation there, `flat` feeds zeros only."""
    random_ = random.Random(seed)
    oracle = Oracle()
    start = b""
    if restore:
        for _ in range(7):
            oracle.step((random_.randint(-4000, 4000), 5))
        start = oracle.save()
    ops, inputs, outputs, hashes = [], [], [], []
    for step in range(steps):
        op = 2 if step % 97 == 50 else 1 if step % 11 == 3 else 0
        raw = (0, 0) if flat else (random_.randint(-40000, 40000), random_.randint(-4000, 4000))
        if op == 2:
            oracle.reset()
        outputs.append(oracle.step(None if op == 1 else raw) + (1 if step == wrong_step else 0))
        ops.append(op)
        inputs.append(raw)
        hashes.append(struct.unpack("<I", oracle.save()[-4:])[0])
    return f"""#define TL_VECTOR_STEPS {steps}u
#define TL_VECTOR_RESTORE {int(restore)}
static const uint8_t tl_vector_op[TL_VECTOR_STEPS] = {{{", ".join(map(str, ops))}}};
static const int32_t tl_vector_in[TL_VECTOR_STEPS][FAKE_INPUTS] = {{{", ".join(f"{{{a}, {b}}}" for a, b in inputs)}}};
static const int32_t tl_vector_out[TL_VECTOR_STEPS][FAKE_OUTPUTS] = {{{", ".join(f"{{{v}}}" for v in outputs)}}};
static const uint32_t tl_vector_hash[TL_VECTOR_STEPS] = {{{", ".join(f"{v}u" for v in hashes)}}};
""" + (f"static const uint8_t tl_vector_state[{len(start)}] = {{{', '.join(map(str, start))}}};\n" if restore else "")


def run_hash(steps: int, *, seed: int = 1) -> str:
    """The run hash (FNV-1a over the step hashes) that a board must print for `vectors(steps, seed=seed)`."""
    text = vectors(steps, seed=seed).split("tl_vector_hash[TL_VECTOR_STEPS] = {")[1].split("}")[0]
    value = 2166136261
    for step in text.split(","):
        for byte in struct.pack("<I", int(step.strip().rstrip("u"))):
            value = (value ^ byte) * 16777619 % 2**32
    return f"{value:08x}"


def write(out: Path, text: str) -> Path:
    """Writes c/ and, in build/, model.h and vectors.h under `out`; returns the folder of C."""
    folder = out / "c"
    folder.mkdir(parents=True)
    for name in SOURCES:
        (folder / name).write_text((FOLDER / name).read_text())
    (out / "build").mkdir()
    (out / "build" / "model.h").write_text(MODEL_H)
    (out / "build" / "vectors.h").write_text(text)
    return folder
