"""The dependency rule of the design: who may import whom, read from the source, never from the running program."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
STDLIB = set(sys.stdlib_module_names)
FRAMEWORKS = {"torch", "onnx", "onnxruntime", "tensorflow", "tflite_runtime", "ai_edge_litert", "keras"}
WHOLLY = {"toolkit.bench_torch", "toolkit.train.backends.torch_backend", "toolkit.train.backends.torch_cells"}
"""Modules that are a framework's from end to end: they import it at their top, and are themselves imported lazily."""
QUANTIZE_MAY = {"numpy", "safetensors", "quantize"}
LEAVES = {"targets", "boards", "tables", "isa", "errors"}  # of toolkit: they import each other and nothing above


def imports(source: str, *, package: str) -> Iterator[tuple[str, int, bool]]:
    """(absolute dotted module, line, lazy) of every import; lazy means inside a function. `package` resolves dots."""

    def walk(node: ast.AST, lazy: bool) -> Iterator[tuple[str, int, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, child.lineno, lazy) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                parts = package.split(".")[: len(package.split(".")) + 1 - child.level] if child.level else []
                base = ".".join([*parts, *([child.module] if child.module else [])])
                yield from ((f"{base}.{alias.name}", child.lineno, lazy) for alias in child.names)
            yield from walk(child, lazy or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    return walk(ast.parse(source), False)


def violations(path: str, source: str) -> list[str]:
    """What is wrong with the imports of the file at `path`, relative to the root: `path:line: why`."""
    found = []
    parts = Path(path).with_suffix("").parts
    for module, line, lazy in imports(source, package=".".join(parts[:-1])):
        top, _, rest = module.partition(".")
        second = rest.partition(".")[0]
        why = ""
        if parts == ("run",) and top not in STDLIB:
            why = f"run.py imports {module}; it may import only the standard library"
        elif parts[0] == "quantize" and top not in STDLIB | QUANTIZE_MAY:
            why = f"quantize imports {module}; it may import only the standard library, numpy and safetensors"
        elif top in FRAMEWORKS and not lazy and ".".join(parts) not in WHOLLY:
            why = f"{module} is imported at module level; import it in the function whose job it is"
        elif any(f"{module}.".startswith(f"{w}.") for w in WHOLLY) and not lazy and ".".join(parts) not in WHOLLY:
            why = f"{module} imports a framework and is imported at module level; import it in the function"
        elif top == "toolkit" and second == "cli" and parts[:2] not in {("toolkit", "cli"), ("toolkit", "__main__")}:
            why = "toolkit.cli is imported by a stage; only __main__ may"
        elif parts[0] == "toolkit" and parts[1] in LEAVES and top == "toolkit" and second not in LEAVES | {""}:
            why = f"toolkit.{parts[1]} imports {module}; stages import it, not the reverse"
        if why:
            found.append(f"{path}:{line}: {why}")
    return found


def sources() -> list[Path]:
    return [ROOT / "run.py", *sorted((ROOT / "toolkit").rglob("*.py")), *sorted((ROOT / "quantize").rglob("*.py"))]


def test_every_import_follows_the_rule() -> None:
    files = sources()
    assert {f.relative_to(ROOT).parts[0] for f in files} == {"run.py", "toolkit", "quantize"}
    found = [v for f in files for v in violations(str(f.relative_to(ROOT)), f.read_text(encoding="utf-8"))]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("quantize/ops/lstm.py", "def f():\n    from toolkit.errors import nearest"),
        ("quantize/ptq.py", "import scipy.optimize"),
        ("quantize/ops/lstm.py", "from ... import toolkit"),
        ("toolkit/importers/pt.py", "import torch"),
        ("toolkit/importers/pt.py", "class A:\n    from onnx import load"),
        ("toolkit/importers/pt.py", "try:\n    import keras\nexcept ImportError:\n    pass"),
        ("toolkit/train/trainer.py", "from toolkit.train.backends.torch_backend import TorchBackend"),
        ("toolkit/train/trainer.py", "from toolkit import bench_torch"),
        ("toolkit/build.py", "from toolkit import cli"),
        ("toolkit/emulate/qemu.py", "from ..cli import main"),
        ("toolkit/boards.py", "from toolkit.build import build"),
        ("toolkit/errors.py", "from . import report"),
        ("run.py", "import numpy"),
        ("run.py", "def f():\n    import toolkit.errors"),
    ],
)
def test_a_planted_violation_is_found(path: str, source: str) -> None:
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("quantize/ops/lstm.py", "import numpy as np\nfrom quantize.errors import QuantizeError\nfrom . import dense"),
        ("toolkit/importers/pt.py", "def load():\n    import torch"),
        ("toolkit/build.py", "from toolkit.boards import load\nfrom quantize.network import Network"),
        ("toolkit/boards.py", "from toolkit.errors import nearest\nfrom toolkit import targets"),
        ("toolkit/train/backends/torch_cells.py", "import torch"),
        ("toolkit/train/backends/__init__.py", "def f():\n    from toolkit.train.backends.torch_backend import A"),
        ("toolkit/__main__.py", "from toolkit.cli import main"),
        ("run.py", "import urllib.request"),
    ],
)
def test_what_is_allowed_passes(path: str, source: str) -> None:
    assert violations(path, source) == []
