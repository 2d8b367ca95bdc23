"""CSV, gaps, splits, scalers and baselines."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import needs
from tests.series import plain_series
from toolkit.config import Data
from toolkit.data.baselines import baseline_predictions, fit_linear_ar, rmse
from toolkit.data.csvfile import parse_csv
from toolkit.data.demo import read_demo
from toolkit.data.prepared import SPLITS, Prepared, forecast_rows, load_prepared, prepare, runs, save_prepared, truth
from toolkit.data.series import Series, to_series
from toolkit.errors import ToolkitError


def nothing(_: str) -> None:
    """A `say` that keeps quiet."""


def csv_file(folder: Path, text: str | bytes) -> Data:
    path = folder / "series.csv"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return Data(path=str(path))


def wave(rows: int, *, skip: tuple[int, ...] = ()) -> str:
    """date,a,b, one row a minute; a gap where rows are skipped."""
    lines = ["date,a,b"]
    for k in range(rows):
        if k not in skip:
            lines.append(f"2024-01-01T{k // 60:02d}:{k % 60:02d}:00,{50 + 20 * np.sin(k / 5):.1f},{k % 7}")
    return "\n".join(lines) + "\n"


def series(text: str, **keys: Any) -> Series:
    table = parse_csv(text, "s.csv", delimiter="auto", header="auto")
    data = Data(path="s.csv", **keys)
    return to_series(table, data, tuple(n for n in table.names if n != data.date), say=nothing)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " "])
def test_any_delimiter_with_or_without_header(delimiter: str) -> None:
    rows = [["t", "a", "b"], ["0", "1.25", "-3"], ["1", "1e-3", "4"]]
    text = "\r\n".join(delimiter.join(r) for r in rows)
    table = parse_csv(text, "s", delimiter="auto", header="auto")
    assert table.names == ("t", "a", "b") and table.rows == rows[1:] and table.lines == [2, 3]
    bare = parse_csv(text.split("\r\n", 1)[1], "s", delimiter="auto", header="auto")
    assert bare.names == ("column1", "column2", "column3") and bare.rows == rows[1:]


def test_quotes_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    data = csv_file(tmp_path, '\ufeffa,"b, c"\n\n1,2\n3,4\n')
    table = parse_csv(Path(data.path).read_text("utf-8-sig"), "s", delimiter="auto", header="auto")
    assert table.names == ("a", "b, c") and table.lines == [3, 4]


def test_decimals_come_from_the_text_and_fit_int32() -> None:
    text = "a,b,c,d\n1.50,2,1e-3,123456.123456\n1,3,0.1,2\n"
    assert series(text).decimals == (2, 0, 3, 3)
    with pytest.raises(
        ToolkitError, match=r"s\.csv: column a: values up to 3e\+09 do not fit int32; use a larger unit"
    ):
        series("a\n3000000000\n1\n")


@pytest.mark.parametrize(
    "date", ["2024-03-31T02:00:00Z", "2024-03-31 02:00:00", "1711850400", "2024-03-31T04:00:00+02:00"]
)
def test_dates(date: str) -> None:
    s = series(f"t,a\n{date},1\n1711850460,2\n1711850520,3\n", date="t", header="yes")
    assert s.times.tolist() == [1711850400, 1711850460, 1711850520] and s.period == 60


def test_a_date_format_is_used_as_given() -> None:
    s = series("t,a\n31.03.2024,1\n01.04.2024,2\n", date="t", date_format="%d.%m.%Y")
    assert np.diff(s.times).tolist() == [86400]


def test_gaps_jitter_and_repeats() -> None:
    seconds = [0, 60, 118, 180, 180, 190, 240, 400, 460, 520]
    text = "t,a\n" + "".join(f"{s},{k}\n" for k, s in enumerate(seconds))
    with pytest.raises(ToolkitError, match=r"s.csv: row 6: less than 30 s after the row before \(2 such rows"):
        series(text, date="t")
    s = series(text, date="t", repeats="drop")
    assert s.values[:, 0].tolist() == [0, 1, 2, 3, 6, 7, 8, 9] and s.starts.tolist() == [0, 5] and s.period == 60


def test_interleaved_recordings_leave_one_of_them() -> None:
    """As in the demo series: two recordings a minute apart, each every five minutes."""
    seconds = [0, 300, 600, 840, 900, 1140, 1200, 1440, 1500, 1800]
    text = "t,a\n" + "".join(f"{s},{k}\n" for k, s in enumerate(seconds))
    s = series(text, date="t", repeats="drop", period=300.0)
    assert s.times.tolist() == [0, 300, 600, 840, 1140, 1440, 1800] and s.starts.tolist() == [0]


def test_a_dropped_row_is_a_gap_even_where_the_clock_jitters() -> None:
    text = "t,a\n0,1\n60,2\n100,x\n140,4\n200,5\n260,6\n320,7\n"
    assert series(text, date="t", missing="drop").starts.tolist() == [0, 2]
    repeated = "t,a\n0,1\n60,2\n120,x\n125,5\n126,5\n180,5\n240,6\n300,7\n"
    assert series(repeated, date="t", missing="drop", repeats="drop").starts.tolist() == [0, 2]


def test_missing_values() -> None:
    text = "a,b\n1,1\n,2\nnan,3\n4,4\n5,inf\n6,6\n7,7\n8,text\n9,9\n"
    with pytest.raises(ToolkitError) as e:
        series(text)
    assert "s.csv: row 3, column a: empty: expected a number; --missing drop|interpolate" in str(e.value)
    with pytest.raises(ToolkitError, match="row 4, column b: 'text': expected a number"):
        series("a,b\n1,1\n\n8,text\n")
    with pytest.raises(ToolkitError, match="row 3, column b: '2,5': expected a number with a decimal point"):
        series('a,b\n1,1\n8,"2,5"\n')
    dropped = series(text, missing="drop")
    assert dropped.values[:, 0].tolist() == [1, 4, 6, 7, 9] and dropped.starts.tolist() == [0, 1, 2, 4]
    filled = series(text, missing="interpolate")
    assert filled.values.tolist() == [[k, k] for k in range(1, 10)] and filled.starts.tolist() == [0]
    short = series(text, missing="interpolate", max_fill=1)
    assert short.values[:, 1].tolist() == [1, 4, 5, 6, 7, 8, 9] and short.starts.tolist() == [0, 1]


BAD: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "empty": ("", {}, "the file is empty"),
    "blank": (" \n\n", {}, "the file is empty"),
    "header only": ("a,b\n", {}, "a header but no rows"),
    "not text": (b"\xff\xfe\x00", {}, "not UTF-8 text (byte 0)"),
    "ragged": ("a,b\n1,2\n1,2,3\n", {"delimiter": ","}, "row 3: 3 cells; expected 2 (a, b)"),
    "twice": ("a,a\n1,2\n", {}, "column name `a` is repeated in the header"),
    "unnamed": ("a,\n1,2\n", {}, "column name `` is empty in the header"),
    "no column": (wave(100), {"inputs": ("aa",)}, 'no column `aa` (asked for by data.inputs'),
    "no date": (wave(100), {"date": "dat", "inputs": ("a",)}, 'no column `dat` (asked for by data.date); did you mean'),
    "no unit": (wave(100), {"date": "date", "targets": ("a",), "units": {"c": "V"}}, "no column `c` (asked for by"),
    "no target": (wave(100), {"date": "date"}, "several inputs; set data.targets to one or more of"),
    "date as value": (wave(100), {"targets": ("a",)}, "row 2, column date: '2024-01-01T00:00:00': expected a number"),
    "bad date": ("t,a\nx,1\ny,2\n", {"date": "t"}, "row 2, column t: 'x': expected an ISO 8601 date or epoch seconds"),
    "date format": ("t,a\n1.2.24,1\n", {"date": "t", "date_format": "%Y"}, "row 2, column t: '1.2.24': expected '%Y'"),
    "backward": ("t,a\n60,1\n120,2\n0,3\n180,3\n", {"date": "t"}, "row 4: the date goes backward (1 times)"),
    "same dates": ("t,a\n60,1\n60,2\n60,3\n", {"date": "t"}, "the median spacing of the dates is 0 s"),
    "constant": ("a\n" + "5\n" * 200, {}, "column a is constant in the 140 training rows"),
    "few rows": (wave(30), {"date": "date", "inputs": ("a",)}, "too few rows: the val split has 5 rows"),
    "few in a row": (wave(300, skip=tuple(range(8, 300, 9))), {"date": "date", "inputs": ("a",)}, "gap-free run 8"),
    "all bad": ("a\nx\ny\n", {"missing": "drop", "header": "no"}, "no row has a number in every column"),
    "nul": ("a,b\n1,2\n\x00", {}, "row 3: "),  # 3.10 says "line contains NUL", later ones read a cell
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(tmp_path: Path, case: str) -> None:
    text, keys, says = BAD[case]
    with pytest.raises(ToolkitError) as e:
        prepare(replace(csv_file(tmp_path, text), **keys), need=10, say=nothing)
    assert says in str(e.value) and "\n" not in str(e.value)


def test_a_missing_or_unreadable_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="no such file; set data"):
        prepare(Data(path=str(tmp_path / "none.csv")), need=1, say=nothing)
    with pytest.raises(ToolkitError, match=r"no \.csv file in this folder"):
        prepare(Data(path=str(tmp_path)), need=1, say=nothing)


def test_without_the_demo_package_it_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolkitError, match="pip install --no-deps bokeh_sampledata"):
        read_demo("CGM.csv.gz")


def test_a_damaged_demo_package_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "_data").mkdir()
    (tmp_path / "_data" / "CGM.csv.gz").write_bytes(b"\x1f\x8b not gzip")
    spec = importlib.util.spec_from_loader("bokeh_sampledata", None)
    assert spec is not None
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: spec)
    with pytest.raises(ToolkitError, match="no readable CGM"):
        read_demo("CGM.csv.gz")


def test_the_demo_series() -> None:
    needs("demo-data")
    said: list[str] = []
    p = prepare(Data(series="glucose", horizon=(6,)), need=24, say=said.append)
    assert p.values.shape == (52084, 1) and len(p.starts) == 188 and p.period == 300
    assert "197 rows dropped" in said[0] and p.columns[0].unit == "mg/dL" and p.columns[0].decimals == 0
    inside = np.setdiff1d(np.arange(1, len(p.times)), p.starts)
    steps = p.times[inside] - p.times[inside - 1]
    assert steps.min() >= 150 and steps.max() <= 450
    assert (p.times[p.starts[1:]] - p.times[p.starts[1:] - 1]).min() > 450
    errors = {
        k: rmse(v - truth(p, forecast_rows(p, "test", need=24)))
        for k, v in baseline_predictions(p, need=24, split="test").items()
    }
    assert errors["persistence"] == pytest.approx(27.828, abs=1e-3) and errors["linear_ar"] == pytest.approx(
        23.449, abs=1e-3
    )


def made(rows: int, starts: list[int], horizon: int, edges: tuple[int, int]) -> Prepared:
    from quantize.network import Column

    values = np.random.default_rng(rows).normal(size=(rows, 2)).cumsum(axis=0)
    scalers = (Column("a", "", 1, 0.5, 2.0), Column("b", "", 1, 0.0, 1.0))
    return plain_series(values, scalers, starts=starts, horizons=(horizon,), edges=edges, target=1)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_nothing_crosses_a_gap_or_an_edge_of_a_split(data: st.DataObject) -> None:
    rows = data.draw(st.integers(6, 80))
    starts = sorted(data.draw(st.sets(st.integers(1, rows - 1), max_size=6)))
    first = data.draw(st.integers(1, rows - 2))
    second = data.draw(st.integers(first + 1, rows - 1))
    horizon, need = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 8))
    p = made(rows, starts, horizon, (first, second))
    segment = np.searchsorted(p.starts, np.arange(rows), side="right")
    split = np.searchsorted([first, second], np.arange(rows), side="right")
    for number, name in enumerate(SPLITS):
        expected = [
            t
            for t in range(need - 1, rows - horizon)
            if all(split[k] == number and segment[k] == segment[t] for k in range(t - need + 1, t + horizon + 1))
        ]
        assert forecast_rows(p, name, need=need).tolist() == expected
        covered = [k for a, b in runs(p, name) for k in range(a, b)]
        assert covered == np.flatnonzero(split == number).tolist()
        assert all(len(set(segment[a:b])) == 1 for a, b in runs(p, name))


def test_the_scaler_knows_the_training_rows_only(tmp_path: Path) -> None:
    data = replace(csv_file(tmp_path, wave(400)), date="date", targets=("a",))
    lines = wave(400).splitlines()
    changed = lines[:281] + [line.rsplit(",", 2)[0] + ",9999.5,1" for line in lines[281:]]
    before = prepare(data, need=10, say=nothing)
    after = prepare(replace(csv_file(tmp_path, "\n".join(changed)), date="date", targets=("a",)), need=10, say=nothing)
    assert [(c.mean, c.std) for c in before.columns] == [(c.mean, c.std) for c in after.columns]
    assert before.spans == {"train": ((0, 280),), "val": ((280, 340),), "test": ((340, 400),)}
    for k, c in enumerate(before.columns):
        assert c.mean == round(c.mean, c.decimals) and c.std == before.values[:280, k].std()


def test_a_prepared_file_loads_as_the_same_or_not_at_all(tmp_path: Path) -> None:
    p = prepare(replace(csv_file(tmp_path, wave(400, skip=(50,))), date="date", targets=("a",)), need=10, say=nothing)
    save_prepared(p, tmp_path / "data.safetensors")
    q = load_prepared(tmp_path / "data.safetensors")
    for field in Prepared.__slots__:
        a, b = getattr(p, field), getattr(q, field)
        same = np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b or repr(a) == repr(b)
        assert same and type(a) is type(b), field
    blob = bytearray((tmp_path / "data.safetensors").read_bytes())
    blob[-1] ^= 1
    (tmp_path / "data.safetensors").write_bytes(blob)
    with pytest.raises(ToolkitError, match="do not match their digest"):
        load_prepared(tmp_path / "data.safetensors")
    (tmp_path / "data.safetensors").write_bytes(blob[:100])
    with pytest.raises(ToolkitError, match="not a complete safetensors file"):
        load_prepared(tmp_path / "data.safetensors")
    with pytest.raises(ToolkitError, match="no such file"):
        load_prepared(tmp_path / "none.safetensors")
    with pytest.raises(ToolkitError, match="cannot write"):
        save_prepared(p, tmp_path / "none" / "data.safetensors")


def ar_series(coefficient: Callable[[np.ndarray, int], float]) -> Prepared:
    values = np.random.default_rng(3).normal(size=(600, 2))
    for t in range(2, 600):
        values[t, 1] = coefficient(values, t)
    return replace(made(600, [100, 350], 1, (400, 500)), values=values, x=values)


def test_linear_ar_finds_a_linear_law_and_never_sees_validation_targets() -> None:
    p = ar_series(lambda v, t: 0.5 * v[t - 1, 1] - 0.3 * v[t - 2, 1] + 0.8 * v[t - 1, 0])
    forecasts = baseline_predictions(p, need=4, split="test")
    rows = forecast_rows(p, "test", need=4)
    assert rmse(forecasts["linear_ar"] - truth(p, rows)) < 1e-3 and fit_linear_ar(p, need=4).order in (2, 3, 4)
    assert np.array_equal(forecasts["persistence"][:, 0], p.values[rows, 1])
    other = p.values.copy()
    other[500:] += 100  # the fit and its order depend on nothing in the test split
    changed = replace(p, values=other, x=other)
    assert np.array_equal(fit_linear_ar(p, need=4).weights, fit_linear_ar(changed, need=4).weights)


def test_the_ar_order_never_exceeds_the_samples_that_there_are() -> None:
    p = ar_series(lambda v, t: 0.5 * v[t - 2, 1])
    assert fit_linear_ar(p, need=1).order == 1 and fit_linear_ar(p, need=3).order in (2, 3)


def test_series_of_one_row_and_of_fewer_decimals(tmp_path: Path) -> None:
    rows = "".join(f"{60 * k},A,{k % 7}\n" for k in range(200)) + "".join(
        f"{60 * k},B,{k % 9}.25\n" for k in range(100)
    )
    for one in ("", "0,C,5\n"):
        (tmp_path / "s.csv").write_text(f"t,who,v\n{one}{rows}")
        data = Data(path=str(tmp_path / "s.csv"), date="t", series_column="who", inputs=("v",))
        p = prepare(data, need=4, say=nothing)
        assert p.period == 60 and p.columns[0].decimals == 2 and len(p.values) == 300 + len(one) // 6
    (tmp_path / "s.csv").write_text(f"t,who,v\n{rows}0,C,5\n90,C,6\n")
    with pytest.raises(ToolkitError, match=r'"C": a sample every 90 s; "A" has one every 60 s.*leave a series out'):
        prepare(data, need=4, say=nothing)


def test_a_calendar_whose_names_are_taken(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("t,v,day_sin\n" + "".join(f"{900 * k},{k % 7},{k % 5}\n" for k in range(200)))
    data = Data(path=str(tmp_path / "s.csv"), date="t", inputs=("v", "day_sin"), targets=("v",), calendar=("day",))
    with pytest.raises(ToolkitError, match=r"column day_sin and data\.calendar have one name"):
        prepare(data, need=4, say=nothing)
    with pytest.raises(ToolkitError, match=r'data\.calendar: "day" is named twice'):
        prepare(replace(data, inputs=("v",), calendar=("day", "day")), need=4, say=nothing)
