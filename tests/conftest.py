"""Helpers that every test may use."""

from __future__ import annotations

import importlib.util
import os
import shutil

import pytest

_TOOLS = {
    "qemu": ("qemu-system-arm on PATH (apt-get install qemu-system-arm)", lambda: shutil.which("qemu-system-arm")),
    "arm-gcc": ("arm-none-eabi-gcc on PATH (apt-get install gcc-arm-none-eabi)", lambda: shutil.which("arm-none-eabi-gcc")),
    "gcc": ("C compiler cc on PATH (apt-get install gcc)", lambda: shutil.which("cc")),
    "zig": ("ziglang (pip install ziglang)", lambda: importlib.util.find_spec("ziglang")),
    "unicorn": ("unicorn (pip install unicorn)", lambda: importlib.util.find_spec("unicorn")),
}


def has(tool: str) -> bool:
    """True when the tool is here."""
    return bool(_TOOLS[tool][1]())


def needs(*tools: str) -> None:
    """Skips the test when a tool is missing, and says which; with TEALIGHT_REQUIRE_TOOLS=1 the test fails instead."""
    for tool in tools:
        if not has(tool):
            message = f"SKIPPED: no {_TOOLS[tool][0]}"
            if os.environ.get("TEALIGHT_REQUIRE_TOOLS") == "1":
                pytest.fail(message)
            pytest.skip(message)
