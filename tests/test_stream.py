"""The generated C as a stream: oracle.Stream = host C in every output and every byte of state, whatever is called."""

from __future__ import annotations

import struct
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantize import oracle, ptq
from quantize.errors import QuantizeError
from quantize.oracle import Stream
from quantize.qnetwork import QNetwork, save_qnetwork
from tests.conftest import needs
from tests.models import MISSING, PREDICT, Compiled, assert_same, call, compile_all, random_calls, state
from tests.nets import Shape, random_network, random_qnetwork, random_raw, random_shape, random_x, series, with_front
from toolkit.errors import ToolkitError
from toolkit.host import HostModel

SMALL = Shape(2, (5,), 1, (16,), "stateful", 0, "hold", 3)
MODES = [("stateful", 0), ("window", 1), ("window", 4)]
MISSING_POLICIES = ["hold", "reset", "interpolate"]
GAPS = [0, 3, 255]


def grid_networks() -> list[QNetwork]:
    """Every mode with every policy and every longest gap."""
    rng = np.random.default_rng(11)
    out = []
    for mode, window in MODES:
        for missing in MISSING_POLICIES:
            for gap in GAPS:
                shape = replace(SMALL, mode=mode, window=window, missing=missing, max_gap=gap, outputs=1 + len(out) % 2)
                q = random_qnetwork(rng, shape, f"grid{len(out)}")
                out.append(with_front(rng, q) if len(out) % 3 == 2 and missing != "interpolate" else q)
    return out


def random_networks() -> list[QNetwork]:
    """Any shape, and a few that came through quantization of a float network."""
    out = [
        random_qnetwork(np.random.default_rng(i), random_shape(np.random.default_rng(i)), f"any{i}") for i in range(24)
    ]
    for i in range(4):
        rng = np.random.default_rng(100 + i)
        shape = replace(random_shape(rng), max_gap=3)
        network = random_network(rng, shape, f"real{i}")
        bits = ptq.Options(deep_wx_bits=(8, 16)[i % 2])
        q = ptq.quantize(network, [series(rng, network, 4, max(shape.window, 24))], bits, "0" * 64)
        with tempfile.TemporaryDirectory() as folder:
            out.append(save_qnetwork(q, Path(folder) / "q"))
    return [
        with_front(np.random.default_rng(k), q) if k % 3 and q.missing != "interpolate" else q
        for k, q in enumerate(out)
    ]


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    needs("host-cc")
    return compile_all(grid_networks(), tmp_path_factory.mktemp("grid"))


@pytest.fixture(scope="module")
def any_(tmp_path_factory: pytest.TempPathFactory) -> Compiled:
    needs("host-cc")
    return compile_all(random_networks(), tmp_path_factory.mktemp("any"))


# --- parity ---


def test_every_mode_policy_and_gap(grid: Compiled) -> None:
    for i, q in enumerate(grid.networks):
        calls = random_calls(np.random.default_rng(i), q, 60)
        assert_same(q, grid.host(q), calls)


def test_networks_of_any_shape(any_: Compiled) -> None:
    for i, q in enumerate(any_.networks):
        assert_same(q, any_.host(q), random_calls(np.random.default_rng(i), q, 25))


@settings(max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32 - 1),
    inputs=st.integers(1, 20),
    hidden=st.lists(st.integers(1, 40), min_size=1, max_size=3),
    outputs=st.integers(1, 3),
    deep=st.sampled_from([8, 16]),
    mode=st.sampled_from(MODES),
    missing=st.sampled_from(MISSING_POLICIES),
    gap=st.sampled_from(GAPS),
    gru=st.integers(0, 7),
    front=st.booleans(),
)
def test_a_network_that_hypothesis_draws(
    seed: int,
    inputs: int,
    hidden: list[int],
    outputs: int,
    deep: int,
    mode: tuple[str, int],
    missing: str,
    gap: int,
    gru: int,
    front: bool,
) -> None:
    needs("host-cc")
    rng = np.random.default_rng(seed)
    bits = (16, *(deep for _ in hidden[1:]))
    cells = tuple("gru" if gru >> k & 1 else "lstm" for k in range(len(hidden)))
    q = random_qnetwork(rng, Shape(inputs, tuple(hidden), outputs, bits, *mode, missing, gap, cells), "drawn")
    q = with_front(rng, q) if front and missing != "interpolate" else q
    with tempfile.TemporaryDirectory() as folder:
        compiled = compile_all([q], Path(folder))
        assert_same(q, compiled.host(q), random_calls(rng, q, 20))


@settings(max_examples=60, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(which=st.integers(0, len(MODES) * len(MISSING_POLICIES) * len(GAPS) - 1), data=st.data())
def test_any_order_of_calls(grid: Compiled, which: int, data: st.DataObject) -> None:
    q = grid.networks[which]
    rng = np.random.default_rng(which)
    kinds = data.draw(st.lists(st.integers(0, 5), max_size=25))
    shapes = {0: lambda: random_raw(rng, q, 1)[0], 3: lambda: random_x(rng, (2,)), 4: lambda: random_x(rng, (3, 2))}
    nothing = np.empty(0, np.int64)
    assert_same(q, grid.host(q), [(k, shapes[k]() if k in shapes else nothing) for k in kinds])


@pytest.mark.parametrize("missing", MISSING_POLICIES)
@pytest.mark.parametrize("mode", ["stateful", "window"])
def test_the_longest_gap(grid: Compiled, missing: str, mode: str) -> None:
    """255 lost samples in a row, then one more."""
    q = next(q for q in grid.networks if (q.missing, q.mode, q.max_gap) == (missing, mode, 255))
    host, raw, none = grid.host(q), random_raw(np.random.default_rng(5), q, 4), np.empty(0)
    first = [(PREDICT, raw[0]), *[(MISSING, none)] * 255, (PREDICT, raw[1])]
    assert_same(q, host, first)
    stream = Stream(q)
    stream.restore(host.state())
    assert_same(q, host, [(MISSING, none)] * 256, stream)
    assert stream.steps == 0 and not host.warmed_up
    assert_same(q, host, [(PREDICT, raw[2]), (PREDICT, raw[3])], stream)


def test_steps_stop_at_the_last_uint32(grid: Compiled) -> None:
    for q in (grid.networks[0], grid.networks[-1]):
        stream = Stream(q)
        for raw in random_raw(np.random.default_rng(0), q, 3):
            stream.predict(raw)
        stream.steps = 2**32 - 2
        host = grid.host(q)
        host.restore(stream.save())
        assert_same(
            q, host, random_calls(np.random.default_rng(1), q, 1) + [(PREDICT, np.zeros(2, np.int64))] * 3, stream
        )
        assert stream.steps == 2**32 - 1


# --- step, run, streams ---


def test_steps_are_a_run(any_: Compiled) -> None:
    for i, q in enumerate(any_.networks):
        x = random_x(np.random.default_rng(i), (7, len(q.inputs)))
        one, many = any_.host(q), any_.host(q)
        y = [many.step(v) for v in x][-1]
        np.testing.assert_array_equal(one.run(x), y)
        assert one.state() == many.state()
        want, _, _ = oracle.run(q, x[None])
        np.testing.assert_array_equal(y, want[0, -1])


def test_interleaved_streams_do_not_meet(any_: Compiled) -> None:
    for i, q in enumerate(any_.networks[:12]):
        rng = np.random.default_rng(i)
        mine, yours = random_calls(rng, q, 15), random_calls(rng, q, 15)
        alone = [any_.host(q), any_.host(q)]
        together = [any_.host(q), any_.host(q)]
        want = [[call(alone[k], *c) for c in calls] for k, calls in enumerate((mine, yours))]
        for at, pair in enumerate(zip(mine, yours, strict=True)):
            for k in (0, 1):
                assert call(together[k], *pair[k]) == want[k][at]
        assert [h.state() for h in together] == [h.state() for h in alone]


@pytest.mark.parametrize("cut", [0, 1, 2, 5, 13])
def test_a_saved_state_continues_elsewhere(any_: Compiled, cut: int) -> None:
    for i, q in enumerate(any_.networks):
        calls = random_calls(np.random.default_rng(i), q, 20)
        stream, first, second = Stream(q), any_.host(q), Stream(q)
        for c in calls[:cut]:
            call(stream, *c)
            call(first, *c)
        second.restore(first.state())  # C -> oracle
        third = any_.host(q)
        third.restore(stream.save())  # oracle -> C
        for c in calls[cut:]:
            want = call(stream, *c)
            assert call(second, *c) == want and call(third, *c) == want
        assert second.save() == stream.save() == third.state()


# --- blobs that are refused ---


def sealed(blob: bytes) -> bytes:
    """The bytes with a CRC-32 that matches."""
    return blob[:-4] + struct.pack("<I", zlib.crc32(blob[:-4]))


def used(grid: Compiled, q: QNetwork) -> HostModel:
    host = grid.host(q)
    for raw in random_raw(np.random.default_rng(3), q, 5):
        host.predict(raw)
    return host


def refused(q: QNetwork, host: HostModel, blob: bytes, c_says: str, oracle_says: str) -> None:
    before = host.state()
    stream = Stream(q)
    stream.restore(before)
    with pytest.raises(ToolkitError, match=c_says) as e:
        host.restore(blob)
    assert "\n" not in str(e.value)
    with pytest.raises(QuantizeError, match=oracle_says) as e2:
        stream.restore(blob)
    assert "\n" not in str(e2.value)
    assert host.state() == before and stream.save() == before


@pytest.mark.parametrize("which", [0, 13, 26])
def test_damaged_and_foreign_states_are_refused(grid: Compiled, which: int) -> None:
    q = grid.networks[which]
    host = used(grid, q)
    good = host.state()
    refused(q, host, good[:-1], "bytes; expected", "bytes; expected")
    refused(q, host, good + b"\0", "bytes; expected", "bytes; expected")
    refused(q, host, sealed(b"TLSX" + good[4:]), "not a saved state", "expected TLST")
    refused(q, host, sealed(good[:4] + b"\2" + good[5:]), "not a saved state", "version 1")
    refused(q, host, sealed(good[:6] + b"\1" + good[7:]), "not a saved state", "version 1")
    refused(q, host, sealed(good[:15] + bytes([good[15] ^ 1]) + good[16:]), "another model", "of model")
    for at in range(16, len(good)):
        refused(q, host, good[:at] + bytes([good[at] ^ 0x10]) + good[at + 1 :], "damaged", "CRC-32")


@pytest.mark.parametrize("which", [0, 3, 13, 26])
def test_impossible_values_are_refused(grid: Compiled, which: int) -> None:
    """A CRC-32 that fits does not make a state that the model cannot have."""
    q = grid.networks[which]
    host = used(grid, q)
    good, hidden = host.state(), 5
    refused(q, host, sealed(good[:20] + struct.pack("<H", q.max_gap + 1) + good[22:]), "impossible", "more than")
    refused(q, host, sealed(good[:22] + struct.pack("<H", q.window + 1) + good[24:]), "impossible", "more than")
    samples = range(24 + 4 * hidden, len(good) - 4, 2)
    for at in (*range(24, 24 + 2 * hidden, 2), *samples):
        for value in (32641, -32641, -32768):
            refused(q, host, sealed(good[:at] + struct.pack("<h", value) + good[at + 2 :]), "impossible", "beyond")
    for at in range(24 + 2 * hidden, 24 + 4 * hidden, 2):  # c may be anything
        host.restore(sealed(good[:at] + struct.pack("<h", -32768) + good[at + 2 :]))


def test_odd_but_possible_states_continue_alike(grid: Compiled) -> None:
    """Counters that no run gives, but that pass: C and oracle still agree."""
    for i, q in enumerate(grid.networks):
        rng = np.random.default_rng(i)
        blob = bytearray(Stream(q).save())
        values = rng.integers(-32640, 32641, (len(blob) - 28) // 2)
        steps, lost, held = rng.choice([0, 1, 2**32 - 1]), rng.integers(0, q.max_gap + 1), rng.integers(0, q.window + 1)
        blob[16:24] = struct.pack("<IHH", int(steps), int(lost), int(held))
        blob[24:-4] = values.astype("<i2").tobytes()
        host, stream = grid.host(q), Stream(q)
        host.restore(sealed(bytes(blob)))
        stream.restore(sealed(bytes(blob)))
        assert state(host) == state(stream)
        assert_same(q, host, random_calls(rng, q, 12), stream)


# --- warm-up, floats, wrong arguments ---


def test_warmed_up_after_the_warm_up(grid: Compiled) -> None:
    for q in grid.networks:
        host = grid.host(q)
        seen = [host.warmed_up]
        for raw in random_raw(np.random.default_rng(0), q, 6):
            host.predict(raw)
            seen.append(host.warmed_up)
        assert seen == [k >= q.warmup for k in range(7)]


def test_predict_f32_is_predict(grid: Compiled) -> None:
    rng = np.random.default_rng(9)
    for q in grid.networks:
        by_float, by_int = grid.host(q), grid.host(q)
        unit = np.array([10.0**c.decimals for c in q.raws])
        for _ in range(12):
            values = (rng.integers(-4000, 4000, len(unit)) / 8 / unit).astype(np.float32)
            lost = rng.random() < 0.3
            if lost:
                values[int(rng.integers(len(unit)))] = rng.choice([np.nan, np.inf, -np.inf])
                want = by_int.predict_missing()
            else:
                want = by_int.predict(np.floor((values * unit.astype(np.float32)).astype(np.float64) + 0.5))
            out_unit = np.array([10.0**c.decimals for c in q.forecasts], np.float32)
            np.testing.assert_array_equal(by_float.predict_f32(values), want.astype(np.float32) / out_unit)
            assert by_float.state() == by_int.state()


def test_predict_f32_at_the_ends_of_int32(grid: Compiled) -> None:
    q = grid.networks[0]
    for value, raw in (
        (3e38, 2**31 - 1),
        (-3e38, -(2**31)),
        (-0.5, 0),
        (0.5, 1),
        (-1.5, -1),
        (1.5, 2),
        (2.0**31, 2**31 - 1),
    ):
        a, b = grid.host(q), grid.host(q)
        unit = 10.0 ** q.inputs[0].decimals
        values = [value / unit if abs(value) < 10 else value, 0.0]
        a.predict_f32(np.array(values))
        b.predict(np.array([raw, 0]))
        assert a.state() == b.state(), value


def test_wrong_arrays_are_refused(grid: Compiled) -> None:
    host = grid.host(grid.networks[0])
    for bad in (np.zeros(1), np.zeros(3), np.zeros((1, 2)), np.array([2**31, 0]), np.array([0.5, 0])):
        with pytest.raises(ToolkitError):
            host.predict(bad)
    with pytest.raises(ToolkitError, match="do not fit"):
        host.step(np.array([40000, 0]))


def test_a_library_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="cannot load"):
        HostModel(grid_networks()[0], tmp_path / "none.so")
