"""Which kernel targets this computer can build and run."""

from __future__ import annotations

import ctypes
import platform
import sys
from pathlib import Path

FEATURES: dict[str, frozenset[str]] = {
    "avx512vnni": frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}),
    "avx2": frozenset({"avx2", "fma"}),
}
"""What a target of x86-64 needs, in the words of Linux's /proc/cpuinfo; the fastest target first."""


def is_x86() -> bool:
    """Whether this Python runs as x86-64 code, so that the host's compiler builds the targets of FEATURES."""
    return platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32


def host_targets() -> tuple[str, ...]:
    """The kernel targets that this computer can run, the fastest first; the last is always `ref`."""
    here = _features() if is_x86() else frozenset()
    return (*(name for name, needed in FEATURES.items() if needed <= here), "ref")


def _features() -> frozenset[str]:
    """What the processor and the operating system both have; other systems than Linux are asked for avx2 (and fma)."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return frozenset()
        flags = next((line.partition(":")[2] for line in lines if line.startswith("flags")), "")
        return frozenset(flags.split())
    try:
        has = _avx2_on_macos() if sys.platform == "darwin" else _avx2_on_windows() if sys.platform == "win32" else False
    except (OSError, AttributeError):
        has = False
    return frozenset({"avx2", "fma"} if has else ())


def _avx2_on_macos() -> bool:
    value, size = ctypes.c_int(0), ctypes.c_size_t(4)
    failed = ctypes.CDLL(None).sysctlbyname(b"hw.optional.avx2_0", ctypes.byref(value), ctypes.byref(size), None, 0)
    return failed == 0 and value.value == 1


def _avx2_on_windows() -> bool:
    kernel32 = ctypes.CDLL("kernel32")
    return bool(kernel32.IsProcessorFeaturePresent(40))  # PF_AVX2_INSTRUCTIONS_AVAILABLE
