"""Which kernels a computer runs, by what its processor says."""

from __future__ import annotations

import pytest

from toolkit import cpu


def test_host_targets_end_with_ref() -> None:
    targets = cpu.host_targets()
    assert targets[-1] == "ref"
    assert list(targets[:-1]) == [name for name in cpu.own_targets() if name in targets]


@pytest.mark.parametrize(
    ("machine", "features", "wanted"),
    [
        ("x86_64", set(), ("ref",)),
        ("AMD64", {"avx2", "fma", "avx512f"}, ("avx2", "ref")),
        ("AMD64", {"avx2"}, ("ref",)),
        ("x86_64", {"avx2", "fma", *cpu.FEATURES["avx512vnni"]}, ("avx512vnni", "avx2", "ref")),
        ("aarch64", {"fp", "asimd"}, ("neon", "ref")),
        ("arm64", {"asimd", "asimddp"}, ("neon_dotprod", "neon", "ref")),
        ("riscv64", {"avx2", "asimddp"}, ("ref",)),
    ],
)
def test_targets_of_a_processor(
    machine: str, features: set[str], wanted: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu.platform, "machine", lambda: machine)
    monkeypatch.setattr(cpu, "features", lambda: frozenset(features))
    assert cpu.host_targets() == wanted


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx2 avx512f\n\nflags\t\t: fpu\n", {"fpu", "avx2", "avx512f"}),
        ("processor\t: 0\nFeatures\t: fp asimd asimddp\nCPU part\t: 0xd0c\n", {"fp", "asimd", "asimddp"}),
        ("", set()),
    ],
)
def test_features_of_linux(text: str, found: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu.sys, "platform", "linux")
    monkeypatch.setattr(cpu.Path, "read_text", lambda *_, **__: text)
    assert cpu.features() == found
