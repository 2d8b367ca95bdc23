"""What the verbs share: arguments that several take, and how they speak."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolkit.errors import ToolkitError

Do = Callable[[argparse.Namespace], dict[str, Any]]
Verb = Callable[[str, Do, str, str], argparse.ArgumentParser]


def say(text: str) -> None:
    """Progress and remarks go to stderr, so that stdout stays a result."""
    print(text, file=sys.stderr, flush=True)


def config_of(path: Path, sets: Sequence[str]) -> Any:
    """A run.toml with the environment and --set laid over it."""
    from toolkit.config import environment, load_config

    return load_config(path, sets=sets, env=environment())


def run_folder(path: Path) -> Path:
    """A folder that is there.

    Raises: ToolkitError."""
    if not path.is_dir():
        raise ToolkitError(f"{path}: no such run folder; expected one that `train` or `import` made, e.g. runs/glucose")
    return path


def count(text: str) -> int:
    """A whole number, 1 or more, of an argument."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: expected a whole number, 1 or more")
    return int(text)


def sets(p: argparse.ArgumentParser) -> None:
    """--set."""
    p.add_argument("--set", action="append", default=[], metavar="A.B=V", help="override a key of the configuration")


def scheme(p: argparse.ArgumentParser) -> None:
    """--scheme."""
    text = "float32 from the float model, within 1e-5 of float64; the quantized model's own scheme unless given"
    p.add_argument("--scheme", choices=("f32",), help=text)


def toolchain(p: argparse.ArgumentParser) -> None:
    """--toolchain."""
    p.add_argument("--toolchain", default="auto", choices=("auto", "gcc", "zig"), help="the cross compiler")


def tools(p: argparse.ArgumentParser) -> None:
    """--toolchain and --emulator."""
    toolchain(p)
    text = "which emulator runs the image"
    p.add_argument("--emulator", default="auto", choices=("auto", "qemu", "unicorn", "rp2040js"), help=text)
