"""`export --to arduino | platformio | zephyr | esp-idf | cmake`: the generated C as the library that each expects.

Sources of the layouts: Arduino library specification 1.5; PlatformIO library.json; Zephyr "Modules", module.yml;
ESP-IDF "Build System", component CMakeLists.txt and idf_component.yml; CMake's add_library."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from quantize.qnetwork import QNetwork
from toolkit import __version__
from toolkit.boards import Board
from toolkit.codegen.choose import choose
from toolkit.codegen.lower import destination
from toolkit.codegen.render import generate
from toolkit.errors import ToolkitError, write_whole
from toolkit.stages.generate import load_current, model_file

URL = "https://example.com/replace-me"  # Arduino requires a home page; the library is the user's, so it is his to fill
EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in a zip: same input, same bytes


@dataclass(frozen=True, slots=True)
class Layout:
    """Of one ecosystem: path in the library -> template; the example's path and how its C begins and waits.

    `how`: what a user does with the folder. `zipped`: by default one .zip."""

    files: dict[str, str]
    example: str
    entry: str
    before: str
    wait: str
    how: str
    zipped: bool = False


_MAIN = "int main(void)"
_NO_WAIT = "/* wait for the next sample */"
LAYOUTS = {
    "arduino": Layout(
        {
            "library.properties": "arduino/library.properties",
            "library.json": "library.json",
            "keywords.txt": "arduino/keywords.txt",
            "examples/SensorLoop/SensorLoop.ino": "arduino/SensorLoop.ino",
        },
        "",
        "",
        "",
        "",
        "In the Arduino IDE: Sketch, Include Library, Add .ZIP Library.",
        zipped=True,
    ),
    "platformio": Layout(
        {"library.json": "library.json", "examples/sensor_loop/platformio.ini": "platformio/platformio.ini"},
        "examples/sensor_loop/src/main.c",
        _MAIN,
        "",
        _NO_WAIT,
        "Add the folder to lib_deps of platformio.ini, as symlink://PATH.",
    ),
    "zephyr": Layout(
        {
            "zephyr/module.yml": "zephyr/module.yml",
            "zephyr/CMakeLists.txt": "zephyr/CMakeLists.txt",
            "zephyr/Kconfig": "zephyr/Kconfig",
            "samples/sensor_loop/CMakeLists.txt": "zephyr/sample.CMakeLists.txt",
            "samples/sensor_loop/prj.conf": "zephyr/prj.conf",
        },
        "samples/sensor_loop/src/main.c",
        _MAIN,
        "#include <zephyr/kernel.h>\n",
        "k_msleep({milliseconds});",
        "Name the folder in ZEPHYR_EXTRA_MODULES, and set CONFIG_{NAME}=y.",
    ),
    "esp-idf": Layout(
        {
            "CMakeLists.txt": "esp-idf/CMakeLists.txt",
            "idf_component.yml": "esp-idf/idf_component.yml",
            "examples/sensor_loop/CMakeLists.txt": "esp-idf/example.CMakeLists.txt",
            "examples/sensor_loop/main/CMakeLists.txt": "esp-idf/main.CMakeLists.txt",
        },
        "examples/sensor_loop/main/main.c",
        "void app_main(void)",
        '#include "freertos/FreeRTOS.h"\n#include "freertos/task.h"\n',
        "vTaskDelay(pdMS_TO_TICKS({milliseconds}));",
        "Put the folder into your project's components/.",
    ),
    "cmake": Layout(
        {"CMakeLists.txt": "cmake/CMakeLists.txt"},
        "examples/sensor_loop/main.c",
        _MAIN,
        "",
        _NO_WAIT,
        "add_subdirectory(PATH), then target_link_libraries(yours PRIVATE {name}::{name}).",
    ),
}


def export_library(
    model: Path, out: Path | None, board: Board, *, kind: str, target: str | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Writes a quantized model as a library; a path that ends in .zip becomes one file.

    board, target: whose kernels; the board `host` with `ref` runs on any core.
    Raises: ToolkitError or QuantizeError, one line."""
    q = load_current(model)
    layout = LAYOUTS[kind]
    out = out or model_file(model).parent / "export" / f"{q.name}-{kind}{'.zip' if layout.zipped else ''}"
    folder = out.name.removesuffix(".zip")
    files = library(q, board, kind=kind, target=target, folder=folder)
    if out.suffix == ".zip":
        write_whole(out, _zip({f"{folder}/{path}": text for path, text in files.items()}))
    else:
        write_export(files, out)
    say(f"{out}: {len(files)} files; {layout.how.format(name=q.name, NAME=q.name.upper())}")
    return {"name": q.name, "to": kind, "out": str(out), "files": sorted(files), "model": q.digest}


def library(q: QNetwork, board: Board, *, kind: str, target: str | None, folder: str) -> dict[str, str]:
    """Path -> text. Deterministic."""
    choices = choose(q, board, optimize="speed", wanted=target, tune=None)
    to = destination(board, choices, True)
    code = generate(q, to)
    layout = LAYOUTS[kind]
    facts = _facts(q, board, sorted({c.target for c in choices}), code, folder)
    facts |= {"entry": layout.entry, "before": layout.before, "wait": layout.wait.format(**facts)}
    facts["how"] = layout.how.format(**facts)
    facts["example"] = layout.example or "examples/SensorLoop/SensorLoop.ino"
    render = environment()
    named = {**layout.files, "README.md": "README.md", **({layout.example: "sensor_loop.c"} if layout.example else {})}
    made = {path: render.get_template(f"{name}.j2").render(facts) for path, name in named.items()}
    return {**made, **{f"src/{name}": text for name, text in code.items()}}


def environment() -> jinja2.Environment:
    """The templates of toolkit/exporters."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader("toolkit.exporters"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def _facts(q: QNetwork, board: Board, kernels: list[str], code: dict[str, str], folder: str) -> dict[str, Any]:
    raws = f"{q.name.upper()}_{'RAWS' if q.front else 'INPUTS'}"
    units = [f"{c.name} * {10**c.decimals}" + (f" ({c.unit})" if c.unit else "") for c in q.raws]
    ahead = f"{q.horizon} step{'s' if q.horizon != 1 else ''} ahead" if q.horizon else "of each sample"
    return {
        "name": q.name,
        "NAME": q.name.upper(),
        "title": f"Tealight {q.name}",
        "folder": folder,
        "version": __version__,
        "author": "made with Tealight",
        "url": URL,
        "sentence": f"A quantized recurrent network: {len(q.raws)} values in, {len(q.forecasts)} out, {ahead}.",
        "paragraph": "Integers only, no heap, no libc; a state that the caller owns; the same bits on every target.",
        "raws": raws,
        "columns": ", ".join(units),
        "milliseconds": round(q.period * 1000) or 1000,
        "sources": sorted(f for f in code if f.endswith(".c")),
        "digest": q.digest,
        "target": " and ".join(kernels),
        "requires_text": board.requires_text if kernels != ["ref"] else "",
    }


def write_export(files: Mapping[str, str | bytes], out: Path) -> None:
    """The folder appears whole or not at all, in place of an earlier export of ours.

    Raises: ToolkitError when it cannot be written, or is somebody else's."""
    ours = (out / "README.md").is_file() and (out / "README.md").read_bytes()[:11] == b"# Tealight "
    if out.exists() and not (ours or (out.is_dir() and not any(out.iterdir()))):
        raise ToolkitError(f"{out}: exists and is no export of Tealight; choose an empty or new --out")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as work:
            made = Path(work) / "made"
            for name, text in files.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                (made / name).write_bytes(text if isinstance(text, bytes) else text.encode())
            if out.exists():
                os.replace(out, Path(work) / "before")
            os.replace(made, out)
    except OSError as e:
        raise ToolkitError(f"{out}: cannot write: {e.strerror}; choose a folder that is writable") from None


def _zip(files: dict[str, str]) -> bytes:
    blob = io.BytesIO()
    with zipfile.ZipFile(blob, "w") as z:
        for name in sorted(files):
            info = zipfile.ZipInfo(name, EPOCH)
            info.external_attr, info.compress_type = 0o644 << 16, zipfile.ZIP_DEFLATED
            z.writestr(info, files[name])
    return blob.getvalue()
