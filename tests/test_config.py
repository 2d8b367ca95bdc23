"""run.toml: precedence, types, unknown names, and that what is saved loads as the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.config import as_dict, load_config, save_config
from toolkit.errors import ToolkitError

GOOD = 'name = "demo"\n[data]\nseries = "glucose"\nhorizon = 6\n[train]\nlr = 0.5\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "run.toml"
    path.write_text(text, "utf-8")
    return path


def test_precedence_is_file_then_environment_then_set(tmp_path: Path) -> None:
    path = write(tmp_path, GOOD)
    env = {"TEALIGHT_TRAIN__LR": "0.25", "TEALIGHT_TRAIN__SEED": "9", "TEALIGHT_CACHE": "not a key", "HOME": "/x"}
    assert load_config(path, sets=[], env={}).train.lr == 0.5
    assert load_config(path, sets=[], env=env).train.lr == 0.25
    config = load_config(path, sets=["train.lr=0.125", "quantize.refit=false", 'data.inputs=["isig"]'], env=env)
    assert (config.train.lr, config.train.seed, config.quantize.refit, config.data.inputs) == (
        0.125,
        9,
        False,
        ("isig",),
    )


def test_text_needs_no_quotes_and_a_whole_number_is_a_number(tmp_path: Path) -> None:
    config = load_config(
        write(tmp_path, GOOD), sets=["data.missing=drop", "train.lr=1", "data.date=2024", "name=other"], env={}
    )
    assert (config.data.missing, config.train.lr, config.data.date, config.name) == ("drop", 1.0, "2024", "other")
    assert load_config(write(tmp_path, GOOD), sets=['name="other"'], env={}).name == "other"


def test_saved_config_loads_as_the_same(tmp_path: Path) -> None:
    path = write(
        tmp_path, '[data]\npath = "a.csv"\nunits = {a = "°C"}\ninputs = ["a"]\n[deploy]\nboards = ["microbit"]\n'
    )
    config = load_config(path, sets=["data.tolerance=0.25"], env={})
    save_config(config, tmp_path / "deep" / "config.toml")
    assert as_dict(load_config(tmp_path / "deep" / "config.toml", sets=[], env={})) == as_dict(config) | {
        "name": "config"
    } | {"name": "run"}
    assert Path(config.data.path) == tmp_path.resolve() / "a.csv"


@pytest.mark.parametrize("example", sorted(Path("docs/examples").glob("*.toml")), ids=lambda p: p.name)
def test_examples_load(example: Path) -> None:
    config = load_config(example, sets=[], env={})
    assert config.data.series or Path(config.data.path).is_file()


BAD = {
    'nam = "x"': 'unknown section or key `nam`; did you mean "name"?',
    "[trian]": 'unknown section or key `trian`; did you mean "train"?',
    "train = 1": "train = 1: expected a section [train]",
    "[train]\nepoch = 3": 'unknown key `train.epoch`; did you mean "epochs"?',
    '[train]\nepochs = "3"': "train.epochs = '3': expected a whole number",
    "[train]\nepochs = 3.5": "train.epochs = 3.5: expected a whole number",
    "[train]\nepochs = true": "train.epochs = True: expected a whole number",
    "[train]\nepochs = 0": "train.epochs = 0: expected >= 1",
    "[train]\nlr = 'x'": "train.lr = 'x': expected a number",
    "[train]\nlr = inf": "train.lr = inf: expected a number",
    "[model]\ncell = 'grue'": "model.cell = 'grue': expected one of 'lstm', 'gru'",
    "[data]\nseries='glucose'\n[model]\noutput='class'": 'model.output = "class": classes take "class" in both',
    "[data]\nseries='glucose'\n[model]\nreset='before'": 'model.reset = "before": only for model.cell = "gru"',
    "[quantize]\nrefit = 1": "quantize.refit = 1: expected true or false",
    "[quantize]\ndeep_wx_bits = 4": "quantize.deep_wx_bits = 4: expected one of 8, 16",
    "[data]\ninputs = 'a'": "data.inputs = 'a': expected a list of texts",
    "[data]\ninputs = [1]": "data.inputs = [1]: expected a list of texts",
    "[data]\nunits = 'a'": "data.units = 'a': expected a table of texts",
    "[data]\nsplit = ['a']": "data.split = ['a']: expected a list of numbers",
    "[data]\nmissing = 'skip'": "data.missing = 'skip': expected one of 'error', 'drop', 'interpolate'",
    "[data]\npath = 3": "data.path = 3: expected text in quotes",
    "[data]\ntolerance = 2": "data.tolerance = 2: expected >= 0.01 and <= 0.9",
    "[data]\nhorizon = 1": 'expected either path = "file.csv" or series = "glucose"',
    "[data]\nseries='glucose'\nsplit=[0.5,0.5]": "expected three positive shares with the sum 1",
    "[data]\nseries='glucose'\nsplit=[0.5,0.5,0.5]": "expected three positive shares with the sum 1",
    "[data]\nseries='glucose'\ninputs=['a','a']": "a column is named twice",
    "[data]\nseries='glucose'\ndelimiter='ab'": "expected one character",
    "name = 'a-b'\n[data]\nseries='glucose'": 'name "a-b": cannot be a C prefix',
    "name = 3\n[data]\nseries='glucose'": "name = 3: expected text in quotes",
    "name = 'int'\n[data]\nseries='glucose'": 'name "int": cannot be a C prefix',
    "name = 'Room'\n[data]\nseries='glucose'": 'name "Room": cannot be a C prefix',
    "[data\n": "not valid TOML",
}


@pytest.mark.parametrize("text", BAD, ids=range(len(BAD)))
def test_a_bad_file_is_one_line_that_names_it(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ToolkitError) as e:
        load_config(path, sets=[], env={})
    assert BAD[text] in str(e.value) and str(path) in str(e.value) and "\n" not in str(e.value)


@pytest.mark.parametrize(
    ("sets", "env", "says"),
    [
        (["train.lr"], {}, "--set train.lr: expected section.key=value"),
        (["lr=1"], {}, "unknown section `lr`"),
        (["train=1"], {}, "expected section.key=value"),
        (["train.lrr=1"], {}, '--set train.lrr=1: unknown key `train.lrr`; did you mean "lr"?'),
        (["train.lr=fast"], {}, "--set train.lr=fast: train.lr = 'fast': expected a number"),
        ([], {"TEALIGHT_TRAIN__EPOCHS": "many"}, "environment TEALIGHT_TRAIN__EPOCHS: train.epochs = 'many'"),
        ([], {"TEALIGHT_TRAIN_LR": "1"}, "environment TEALIGHT_TRAIN_LR: expected two underscores"),
        ([], {"TEALIGHT_TRIAN__LR": "1"}, 'unknown section `trian`; did you mean "train"?'),
    ],
)
def test_a_bad_override_says_where_it_came_from(
    tmp_path: Path, sets: list[str], env: dict[str, str], says: str
) -> None:
    with pytest.raises(ToolkitError) as e:
        load_config(write(tmp_path, GOOD), sets=sets, env=env)
    assert says in str(e.value) and "\n" not in str(e.value)


def test_a_missing_file_or_a_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ToolkitError, match="no such file"):
        load_config(tmp_path / "none.toml", sets=[], env={})
    with pytest.raises(ToolkitError, match="cannot read"):
        load_config(tmp_path, sets=[], env={})


def test_a_board_that_is_not_known_is_refused_at_once(tmp_path: Path) -> None:
    path = tmp_path / "run.toml"
    path.write_text('[data]\nseries = "glucose"\n[deploy]\nboards = ["host", "microbitt"]\n')
    with pytest.raises(ToolkitError) as caught:
        load_config(path, sets=[], env={})
    assert str(caught.value).startswith(
        f'{path}: deploy.boards: board "microbitt" is not known; did you mean "microbit"?'
    )
