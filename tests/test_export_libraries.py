"""The libraries for other ecosystems: built where the tool can be had, and held to its metadata's rules."""

from __future__ import annotations

import json
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest

from quantize.qnetwork import save_qnetwork
from tests.conftest import needs
from tests.nets import Shape, random_qnetwork
from toolkit.cli import main
from toolkit.exporters.libraries import LAYOUTS
from toolkit.verbs.models import EXPORTS


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shape = Shape(2, (5,), 1, (16,), "stateful", 0, "hold", 3, ("gru",))
    folder = tmp_path_factory.mktemp("export")
    save_qnetwork(random_qnetwork(np.random.default_rng(2), shape, "exported"), folder / "model.q.safetensors")
    return folder


def exported(model: Path, kind: str, out: Path) -> Path:
    assert main(["export", str(model), "--to", kind, "-o", str(out)]) == 0
    return out


def test_every_layout_is_a_choice() -> None:
    assert set(LAYOUTS) <= set(EXPORTS)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_same_input_same_bytes_and_a_second_export_replaces_the_first(model: Path, kind: str, tmp_path: Path) -> None:
    first, second = tmp_path / "a", tmp_path / "b" / "a"
    for out in (first, first, second):
        exported(model, kind, out)
    files = [p.relative_to(first) for p in sorted(first.rglob("*")) if p.is_file()]
    assert [p.relative_to(second) for p in sorted(second.rglob("*")) if p.is_file()] == files
    assert all((first / p).read_bytes() == (second / p).read_bytes() for p in files)
    assert not list(tmp_path.glob(".a.*"))


def test_a_folder_of_somebody_else_is_left_alone(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    assert main(["export", str(model), "--to", "cmake", "-o", str(tmp_path / "mine")]) == 1
    assert "no export of Tealight" in capsys.readouterr().err and (tmp_path / "mine" / "thesis.txt").read_text() == "x"


def test_cmake_builds_the_library_and_the_example(model: Path, tmp_path: Path) -> None:
    needs("cmake", "gcc")
    out = exported(model, "cmake", tmp_path / "lib")
    for command in (
        ["cmake", "-S", str(out), "-B", str(tmp_path / "build"), "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror"],
        ["cmake", "--build", str(tmp_path / "build"), "--target", "exported", "exported_sensor_loop"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", ["platformio", "zephyr", "esp-idf"])
def test_the_example_compiles(model: Path, kind: str, tmp_path: Path) -> None:
    """With the two headers of Zephyr and ESP-IDF that it includes as the few declarations that it uses."""
    needs("gcc")
    out = exported(model, kind, tmp_path / "lib")
    for name, text in {
        "zephyr/kernel.h": "int k_msleep(int ms);",
        "freertos/FreeRTOS.h": "#define pdMS_TO_TICKS(ms) ((unsigned)(ms))",
        "freertos/task.h": "void vTaskDelay(unsigned ticks);",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wno-missing-prototypes", f"-I{tmp_path}", f"-I{out / 'src'}"]
    main_c = out / LAYOUTS[kind].example
    done = subprocess.run(
        ["gcc", "-c", *flags, str(main_c), "-o", str(tmp_path / "main.o")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_arduino_is_one_zip_that_follows_the_specification(model: Path) -> None:
    """Arduino library specification, revision 1.5: the fields, their rules, and where the code lies."""
    assert main(["export", str(model), "--to", "arduino"]) == 0
    path = model / "export" / "exported-arduino.zip"
    with zipfile.ZipFile(path) as z:
        names = z.namelist()
        (root,) = {n.split("/")[0] for n in names}
        properties = z.read(f"{root}/library.properties").decode()
        json.loads(z.read(f"{root}/library.json"))
    fields = dict(line.split("=", 1) for line in properties.splitlines())
    required = ("name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures")
    assert all(fields[k] for k in required)
    assert fields["category"] in ("Data Processing", "Sensors", "Other") and fields["architectures"] == "*"
    assert len(fields["name"]) <= 63 and fields["name"].replace(" ", "").replace("_", "").isalnum()
    assert f"{root}/src/exported.h" in names and f"{root}/examples/SensorLoop/SensorLoop.ino" in names


def test_platformio_takes_the_manifest(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """PlatformIO's own schema of library.json; the list of licences, which it would fetch, is given to it."""
    needs("platformio")
    from platformio.package.manifest.schema import ManifestSchema, ManifestValidationError

    licences = {"licenses": [{"licenseId": "MIT"}, {"licenseId": "Apache-2.0"}]}
    monkeypatch.setattr(ManifestSchema, "load_spdx_licenses", staticmethod(lambda: licences))
    manifest = json.loads((exported(model, "platformio", tmp_path / "lib") / "library.json").read_text())
    plain = {**manifest, "frameworks": ["*"], "platforms": ["*"]}  # as its parser hands them over
    assert ManifestSchema().load_manifest(plain)["name"] == "Tealight exported"
    with pytest.raises(ManifestValidationError):
        ManifestSchema().load_manifest({**plain, "version": "one"})


def test_the_yaml_of_zephyr_and_esp_idf(model: Path, tmp_path: Path) -> None:
    """The keys that Zephyr's module.yml and ESP-IDF's idf_component.yml know, of the right kinds."""
    needs("yaml")
    import yaml

    module = yaml.safe_load((exported(model, "zephyr", tmp_path / "z") / "zephyr" / "module.yml").read_text())
    assert module == {"name": "exported", "build": {"cmake": "zephyr", "kconfig": "zephyr/Kconfig"}}
    component = yaml.safe_load((exported(model, "esp-idf", tmp_path / "e") / "idf_component.yml").read_text())
    assert set(component) == {"version", "description", "license", "dependencies"}
    assert component["version"].count(".") == 2 and component["dependencies"] == {"idf": ">=5.0"}


def test_the_kernels_of_a_board_say_what_they_need(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "m4"
    assert main(["export", str(model), "--to", "cmake", "--board", "mps2_an386", "-o", str(out)]) == 0
    assert (out / "src" / "tl_dsp.c").is_file() and "Cortex-M4F" in (out / "README.md").read_text()
