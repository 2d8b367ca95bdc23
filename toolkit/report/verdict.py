"""What the accuracies mean, in sentences. A loss is called a loss."""

from __future__ import annotations

from typing import Any

WORDS = {"persistence": "the last value (persistence)", "linear_ar": "linear autoregression"}


def verdict(accuracy: dict[str, Any]) -> dict[str, Any]:
    """`skill` and `skill_linear_ar` (1 - RMSE / baseline's RMSE), `loss` and `verdict`, one sentence per baseline.

    Of the quantized network, or of the float network as long as that is all there is."""
    own = accuracy["float"] if accuracy["quantized"] is None else accuracy["quantized"]
    skills: dict[str, float | None] = {}
    sentences: list[str] = []
    for key, words in WORDS.items():
        base = accuracy[key]
        skills[key] = None if own is None or not base else 1 - own / base
        if own is not None and base is not None:
            sentences.append(_sentence(own, base, words, f" {accuracy['unit']}" if accuracy["unit"] else ""))
    return {
        "skill": skills["persistence"],
        "skill_linear_ar": skills["linear_ar"],
        "loss": any(s.startswith("Loss") for s in sentences) if sentences else None,
        "verdict": sentences,
    }


def _sentence(own: float, base: float, words: str, unit: str) -> str:
    numbers = f"test RMSE {own:.4g}{unit} against {base:.4g}{unit}"
    if own > base:
        return f"Loss: the network is worse than {words}: {numbers}."
    if own == base:
        return f"No skill: the network is no better than {words}: {numbers}."
    return f"{(1 - own / base) * 100:.1f} % below {words}: {numbers}."
