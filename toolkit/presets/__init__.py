"""Runs to begin with: each a TOML beside this file, to be trained as it is or copied."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent
PRESETS = {name: FOLDER / f"{name}.toml" for name in ("glucose", "harbinger", "modern_lstm", "sine", "fibonacci")}
