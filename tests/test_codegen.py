"""The generated C: golden copies, the same bytes twice, no warning from any compiler, nothing hidden in the objects."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from quantize.ops import OPS
from quantize.qnetwork import QNetwork, load_qnetwork
from tests.conftest import needs
from tests.golden import make
from tests.nets import HOST, Shape, generated, random_cell, random_dense, random_qnetwork
from toolkit import elf
from toolkit.codegen.lower import Destination, check_name, comment
from toolkit.codegen.packers import PACKERS, pack
from toolkit.codegen.render import write_folder
from toolkit.errors import ToolkitError

STRICT = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror"]
STRICT_CPP = ["-std=c++17", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-pedantic", "-Werror", "-c"]
COMPILERS = {
    "gcc": ("gcc", ["gcc"]),
    "clang": ("clang", ["clang"]),
    "zig cc": ("zig", [sys.executable, "-m", "ziglang", "cc"]),
    "arm M0": ("arm-gcc", ["arm-none-eabi-gcc", "-mcpu=cortex-m0", "-mthumb"]),
    "arm M4": ("arm-gcc", ["arm-none-eabi-gcc", "-mcpu=cortex-m4", "-mthumb"]),
}
CPP = {
    "g++": ("g++", ["g++"]),
    "clang++": ("clang++", ["clang++"]),
    "zig c++": ("zig", [sys.executable, "-m", "ziglang", "c++"]),
}
BARE = replace(HOST, float_api=False)
POLICIES = [(mode, missing) for mode in ("stateful", "window") for missing in ("hold", "reset", "interpolate")]


def network(name: str = "net", **changes: object) -> QNetwork:
    shape = replace(Shape(2, (5, 3), 2, (16, 8), "stateful", 0, "hold", 3), **changes)
    return random_qnetwork(np.random.default_rng(4), shape, name)


def variants() -> list[QNetwork]:
    """Every mode and policy, at the ends of what the C's constants can be."""
    out = []
    for k, (mode, missing) in enumerate(POLICIES):
        window = (1, 32767, 5)[k % 3] if mode == "window" else 0
        gap = (0, 255, 3)[k // 2]
        out.append(replace(network(f"net{k}", mode=mode, missing=missing, window=window, max_gap=gap), warmup=1))
    return [*out, network("tiny", inputs=1, hidden=(1,), outputs=1, bits=(16,)), load_qnetwork(make.model_file("ring"))]


def run(command: list[str], folder: Path) -> str:
    """Runs a compiler; its complaint, or an empty string."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    return done.stdout + done.stderr if done.returncode else ""


def compile_folder(command: list[str], folder: Path) -> list[Path]:
    """Compiles every .c of a folder with all warnings as errors -> objects."""
    sources = sorted(p.name for p in folder.glob("*.c"))
    log = run([*command, *STRICT, "-c", *sources], folder)
    assert not log, log
    return [folder / f"{Path(s).stem}.o" for s in sources]


# --- golden, deterministic ---


@pytest.mark.parametrize("name", sorted(make.SHAPES))
def test_golden(name: str) -> None:
    """What a change does to the generated C shows in the diff; `python -m tests.golden.make` writes it again."""
    want = {p.name: p.read_text(encoding="utf-8") for p in (make.FOLDER / name).iterdir()}
    got = {k: v for k, v in make.folder(name).items() if k.startswith(name)}
    assert got == want, "the generated C changed; if that is meant: python -m tests.golden.make"


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from tests.golden import make\n"
        "from toolkit.codegen.render import write_folder\n"
        "write_folder(make.folder('demo'), Path(sys.argv[1]))"
    )
    for out, seed in (("a", "1"), ("b", "2")):
        environment = {"PYTHONHASHSEED": seed, "LC_ALL": "C", "PATH": "", "PYTHONPATH": str(make.FOLDER.parent.parent)}
        subprocess.run([sys.executable, "-c", program, str(tmp_path / out)], check=True, env=environment)
    a, b = ({p.name: p.read_bytes() for p in (tmp_path / d).iterdir()} for d in "ab")
    assert a == b and len(a) >= 9
    text = b"".join(a.values()).decode()
    assert str(tmp_path) not in text and not re.search(r"\b20\d\d-\d\d-\d\d\b|/home/|/tmp/", text)


# --- compilers ---


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All variants in one folder, with the float API."""
    out = tmp_path_factory.mktemp("variants") / "c"
    files: dict[str, str] = {}
    for q in variants():
        files |= generated(q)
    write_folder(files, out)
    return out


@pytest.mark.parametrize("compiler", sorted(COMPILERS))
def test_no_compiler_warns(folder: Path, tmp_path: Path, compiler: str) -> None:
    tool, command = COMPILERS[compiler]
    needs(tool)
    shutil.copytree(folder, tmp_path / "c")
    objects = compile_folder(command, tmp_path / "c")
    assert len(objects) == len(variants()) + 2


@pytest.mark.parametrize("compiler", sorted(CPP))
def test_the_header_is_cpp(folder: Path, tmp_path: Path, compiler: str) -> None:
    tool, command = CPP[compiler]
    needs(tool)
    headers = "".join(f'#include "{q.name}.h"\n' for q in variants())
    (tmp_path / "use.cpp").write_text(
        headers + "int main() { net0_state s; net0_reset(&s); return net0_warmed_up(&s); }\n"
    )
    log = run([*command, *STRICT_CPP, f"-I{folder}", "use.cpp"], tmp_path)
    assert not log, log


def test_a_warning_would_be_seen(folder: Path, tmp_path: Path) -> None:
    needs("gcc")
    shutil.copytree(folder, tmp_path / "c")
    source = tmp_path / "c" / "net0.c"
    source.write_text(source.read_text() + "int narrow(int v);\nint narrow(int v) { short s = v; return s; }\n")
    with pytest.raises(AssertionError, match="conversion"):
        compile_folder(["gcc"], tmp_path / "c")


# --- objects ---


@pytest.mark.parametrize("cpu", ["cortex-m0", "cortex-m4"])
def test_objects_need_nothing_and_write_nothing(tmp_path: Path, cpu: str) -> None:
    """No undefined symbol but mem*; no .data or .bss; no soft float, no 64-bit division: they would be undefined."""
    needs("arm-gcc")
    for q in variants()[1::2]:
        write_folder(generated(q, BARE), tmp_path / q.name)
        objects = compile_folder(["arm-none-eabi-gcc", f"-mcpu={cpu}", "-mthumb"], tmp_path / q.name)
        missing = [
            s
            for s in elf.missing_symbols(objects, "\0")
            if not re.fullmatch(r"(__aeabi_)?mem(cpy|set|move|clr)[48]?", s)
        ]
        assert missing == []
        for path in objects:
            assert elf.section_bytes(path, ".data") == elf.section_bytes(path, ".bss") == 0, path.name
            assert not [s.name for s in elf.symbols(path) if s.kind in ("data", "bss")]


def test_the_library_shows_only_its_api(tmp_path: Path) -> None:
    needs("host-cc")
    if not sys.platform.startswith("linux"):
        pytest.skip("SKIPPED: reads an ELF library")
    from tests.models import compile_all

    library = compile_all([network()], tmp_path).library
    table = elf._open(library).get_section_by_name(".dynsym")
    shown = {s.name for s in table.iter_symbols() if s["st_shndx"] != "SHN_UNDEF" and s.name}
    functions = ["reset", "step", "step_begin", "step_poll", "run", "predict", "predict_missing", "predict_f32"]
    functions += ["warmed_up", "save", "restore"]
    assert shown == {f"net_{f}" for f in functions}


def test_no_float_and_no_heap_in_the_integer_code() -> None:
    for q in variants():
        for name, text in generated(q, BARE).items():
            code = re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL)
            code = re.sub(r"#define \w+_STEP .*", "", code)  # for the caller; a macro that is not used makes no code
            assert not re.search(r"\b(float|double|malloc|calloc|realloc|free|int64_t|uint64_t|long)\b", code), name
            assert not re.search(r"\d\.\d|\d[eE][+-]?\d+f", code.replace("0x", "")), name


def test_every_file_has_its_licence_and_no_more_files_than_needed() -> None:
    files = generated(network())
    assert all("SPDX-License-Identifier: MIT OR Apache-2.0" in text.splitlines()[0] for text in files.values())
    own = {f"net{s}" for s in (".c", ".h", "_weights.h")}
    shared = {f"tl_{s}" for s in ("kernels.h", "math.h", "tables.h", "ref.c", "state.h", "state.c")}
    assert set(files) == own | shared


def test_constants_of_the_header(tmp_path: Path) -> None:
    """The bytes that the header states are the bytes that the compiler makes."""
    needs("gcc")
    q = network()
    write_folder(generated(q), tmp_path / "c")
    files = {p.name: p.read_text() for p in (tmp_path / "c").iterdir()}
    constant = {k: int(v) for k, v in re.findall(r"#define NET_(\w+) +(\d+)", files["net.h"])}
    assert constant["WEIGHT_BYTES"] == sum(v.nbytes for x in q.layers for v in x.arrays.values())
    objects = compile_folder(["gcc"], tmp_path / "c")
    sizes = {s.name: s.size for path in objects for s in elf.symbols(path)}
    assert sum(v for k, v in sizes.items() if re.fullmatch(r"(lstm|dense)\d_\w+", k)) == constant["WEIGHT_BYTES"]
    assert sizes["tl_sigmoid_nodes"] + sizes["tl_tanh_nodes"] == constant["TABLE_BYTES"]


# --- flags that do not fit the board ---


def test_wrong_flags_trip_the_assertion(tmp_path: Path) -> None:
    needs("gcc")
    to = Destination("toy", "ref", "defined(__ARM_ARCH_7EM__)", "compile with -mcpu=cortex-m4", False)
    write_folder(generated(network(), to), tmp_path / "c")
    log = run(["gcc", *STRICT, "-c", "net.c"], tmp_path / "c")
    assert "generated for toy: compile with -mcpu=cortex-m4" in log
    assert not run(["gcc", *STRICT, "-DTL_HOST=1", "-c", "net.c"], tmp_path / "c")


# --- names and texts ---


@pytest.mark.parametrize(
    "name", ["", "1a", "Glucose", "a-b", "a" * 32, "int", "class", "main", "string", "tl", "tl_x", "é"]
)
def test_names_that_c_cannot_have(name: str) -> None:
    with pytest.raises(ToolkitError, match="cannot be a C prefix; expected") as e:
        check_name(name)
    assert "\n" not in str(e.value)
    with pytest.raises(ToolkitError):
        generated(replace(network(), name=name))


@pytest.mark.parametrize(
    "name", ["s", "x", "n", "reciprocal", "outputs", "readout", "my_t", "memcpy", "net_reset", "static", "A"]
)
def test_layer_names_that_would_collide(name: str) -> None:
    q = network()
    with pytest.raises(ToolkitError) as e:
        generated(replace(q, layers=(replace(q.layers[0], name=name), *q.layers[1:])))
    assert "\n" not in str(e.value)


def test_two_layers_that_make_one_identifier() -> None:
    q = network()
    renamed = (replace(q.layers[0], name="a"), replace(q.layers[1], name="a_h"), q.layers[2])
    with pytest.raises(ToolkitError, match="both make a_h in C"):
        generated(replace(q, layers=renamed))


def test_any_column_name_is_a_comment(tmp_path: Path) -> None:
    needs("gcc")
    bad = "*/ int i; /* °C\n\\"
    q = network()
    q = replace(q, inputs=tuple(replace(c, name=bad, unit=bad) for c in q.inputs))
    q = replace(q, outputs=tuple(replace(c, name=bad, unit=bad) for c in q.outputs))
    write_folder(generated(q), tmp_path / "c")
    compile_folder(["gcc"], tmp_path / "c")
    assert comment("*/*") == "* / *" and comment("a\nb") == "a b"


# --- the folder ---


def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    files = generated(network())
    for name, content in (("notes.txt", b"mine"), ("own.c", b"int main(void);"), ("own.h", b"\xff\xfe")):
        (tmp_path / "c").mkdir(exist_ok=True)
        (tmp_path / "c" / name).write_bytes(content)
        with pytest.raises(ToolkitError, match=f'holds "{name}"'):
            write_folder(files, tmp_path / "c")
        assert [p.name for p in (tmp_path / "c").iterdir()] == [name]
        (tmp_path / "c" / name).unlink()
    write_folder(files, tmp_path / "c")
    write_folder({"net.c": files["net.c"]}, tmp_path / "c")
    assert [p.name for p in (tmp_path / "c").iterdir()] == ["net.c"]
    with pytest.raises(ToolkitError, match="is a file"):
        write_folder(files, tmp_path / "c" / "net.c")


@pytest.mark.parametrize(("op", "target"), sorted(PACKERS))
@pytest.mark.parametrize("bits", [8, 16])
def test_every_row_of_a_packed_matrix_has_its_label(op: str, target: str, bits: int) -> None:
    rng = np.random.default_rng(0)
    for inputs, hidden in ((1, 5), (3, 16)):
        dense = not OPS[op].STATE
        q = random_dense(rng, "d", inputs, hidden, op) if dense else random_cell(rng, op, "c", inputs, hidden, bits)
        for a in pack(q, target).arrays:
            assert a.array.ndim == 1 or (a.rows is not None and len(a.rows) == len(a.array)), a.suffix


@pytest.mark.parametrize("compiler", ["gcc", "clang", "zig cc"])
@pytest.mark.parametrize("target", ["v6m", "v7m", "rv32", "dsp", "dsp_size"])
def test_code_for_a_small_core_builds_here_too(compiler: str, target: str, tmp_path: Path) -> None:
    """As `run` builds it, to compare: with what this computer has, which on a new machine is zig alone."""
    tool, command = COMPILERS[compiler]
    needs(tool)
    networks = [network(), network("before", cells=("gru", "gru")), network("small", cells=("lstm_w8a8",) * 2)]
    for q in networks:
        write_folder(generated(q, replace(HOST, target=target)), tmp_path / q.name)
        files = sorted(p.name for p in (tmp_path / q.name).glob("*.c"))
        flags = [*STRICT, "-Wno-pedantic", "-DTL_HOST=1", "-c"]
        assert run([*command, *flags, *files], tmp_path / q.name) == ""
