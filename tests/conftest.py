"""Helpers that every test may use."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest

from tests import kept
from toolkit import build
from toolkit.emulate import qemu, rp2040

_PROGRAMS = {
    "qemu": ("qemu-system-arm", "qemu-system-arm"),
    "qemu-aarch64": ("qemu-aarch64", "qemu-user"),
    "qemu-aarch64-system": ("qemu-system-aarch64", "qemu-system-arm"),
    "x86_64-gcc": ("x86_64-linux-gnu-gcc", "gcc"),
    "qemu-riscv32": ("qemu-system-riscv32", "qemu-system-misc"),
    "aarch64-gcc": ("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu libc6-dev-arm64-cross"),
    "node": ("node", "nodejs"),
    "cmake": ("cmake", "cmake"),
    "chromium": ("chromium", "chromium"),
    "arm-gcc": ("arm-none-eabi-gcc", "gcc-arm-none-eabi"),
    "riscv-gcc": ("riscv64-unknown-elf-gcc", "gcc-riscv64-unknown-elf"),
    "gcc": ("cc", "gcc"),
    "clang": ("clang", "clang"),
    "g++": ("g++", "g++"),
    "clang++": ("clang++", "clang"),
}
_PACKAGES = {
    "zig": "ziglang",
    "unicorn": "unicorn",
    "demo-data": "bokeh_sampledata",
    "pyserial": "serial",
    "torch": "torch",
    "pyocd": "pyocd",
    "esptool": "esptool",
    "optuna": "optuna",
    "keras": "keras",
    "h5py": "h5py",
    "litert": "ai_edge_litert",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
    "onnxscript": "onnxscript",
    "platformio": "platformio",
    "yaml": "yaml",
    "dask": "distributed",
}
_PYPI = {"serial": "pyserial", "yaml": "pyyaml", "distributed": "dask[distributed]"}  # where the names differ


def pytest_configure(config: pytest.Config) -> None:
    """What one test built need not be built again: see tests/kept.py."""
    build._scons = kept.scons
    if not hasattr(config, "workerinput"):  # the process that starts the workers
        kept.forget()


def missing(tool: str) -> str | None:
    """What to say when a tool is not here; None when it is."""
    if tool == "host-cc":
        found = any(map(shutil.which, ("cc", "gcc", "clang"))) or importlib.util.find_spec("ziglang")
        return None if found else "no C compiler (pip install ziglang)"
    if tool in _PACKAGES:
        package = _PACKAGES[tool]
        return (
            None if importlib.util.find_spec(package) else f"no {package} (pip install {_PYPI.get(package, package)})"
        )
    if tool == "qemu-uefi":
        found = shutil.which("qemu-system-x86_64") and qemu.firmware()
        return None if found else "no qemu-system-x86_64 with OVMF (apt-get install qemu-system-x86 ovmf)"
    if tool == "rp2040js":
        found = shutil.which("node") and rp2040.PACKAGE.is_dir()
        return None if found else "no rp2040js (npm install --prefix build rp2040js, and nodejs)"
    program, package = _PROGRAMS[tool]
    return None if shutil.which(program) else f"no {program} on PATH (apt-get install {package})"


def needs(*tools: str) -> None:
    """Skips the test when a tool is missing, and says which; with TEALIGHT_REQUIRE_TOOLS=1 the test fails instead, but
    for the tools that TEALIGHT_WITHOUT names, which this machine cannot have."""
    for tool in tools:
        reason = missing(tool)
        if reason is not None:
            message = f"SKIPPED: {reason}"
            without = os.environ.get("TEALIGHT_WITHOUT", "").split()
            if os.environ.get("TEALIGHT_REQUIRE_TOOLS") == "1" and tool not in without:
                pytest.fail(message)
            pytest.skip(message)
