"""Which kernel targets this computer can build and run."""

from __future__ import annotations

import ctypes
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

FEATURES: dict[str, frozenset[str]] = {
    "avx512vnni": frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "avx512_vnni"}),
    "avx2": frozenset({"avx2", "fma"}),
}
"""What a target of x86-64 needs, in the words of Linux's /proc/cpuinfo; the fastest target first."""

ARM_FEATURES: dict[str, frozenset[str]] = {
    "neon_dotprod": frozenset({"asimddp"}),
    "neon": frozenset(),
}
"""The same of AArch64."""

_MACOS = {"avx2": b"hw.optional.avx2_0", "asimddp": b"hw.optional.arm.FEAT_DotProd"}
_WINDOWS = {"avx2": 40, "asimddp": 43}  # PF_AVX2_INSTRUCTIONS_AVAILABLE, PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE


def is_x86() -> bool:
    """Whether this Python runs as x86-64 code, so that the host's compiler builds the targets of FEATURES."""
    return platform.machine().lower() in ("x86_64", "amd64") and sys.maxsize > 2**32


def is_arm() -> bool:
    """Whether this Python runs as AArch64 code: the targets of ARM_FEATURES are the processor's own, without shims."""
    return platform.machine().lower() in ("aarch64", "arm64") and sys.maxsize > 2**32


def own_targets() -> Mapping[str, frozenset[str]]:
    """The targets with instructions of this computer's processors, and what each needs; the fastest first."""
    return FEATURES if is_x86() else ARM_FEATURES if is_arm() else {}


def host_targets() -> tuple[str, ...]:
    """The kernel targets that this computer can run, the fastest first; the last is always `ref`."""
    own = own_targets()
    here = features() if own else frozenset()
    return (*(name for name, needed in own.items() if needed <= here), "ref")


def features() -> frozenset[str]:
    """What the processor and the operating system both have; beside Linux, only a few features are asked for."""
    if sys.platform == "linux":
        try:
            lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            return frozenset()
        flags = next((line.partition(":")[2] for line in lines if line.startswith(("flags", "Features"))), "")
        return frozenset(flags.split())
    has = {"darwin": _macos_has, "win32": _windows_has}.get(sys.platform, lambda feature: False)
    found = {feature for feature in _MACOS if has(feature)}
    return frozenset(found | ({"fma"} if "avx2" in found else set()))  # every processor with the one has the other


def _macos_has(feature: str) -> bool:
    value, size = ctypes.c_int(0), ctypes.c_size_t(4)
    try:
        failed = ctypes.CDLL(None).sysctlbyname(_MACOS[feature], ctypes.byref(value), ctypes.byref(size), None, 0)
    except (OSError, AttributeError):
        return False
    return failed == 0 and value.value == 1


def _windows_has(feature: str) -> bool:
    try:
        return bool(ctypes.CDLL("kernel32").IsProcessorFeaturePresent(_WINDOWS[feature]))
    except (OSError, AttributeError):
        return False
