"""Each rule between the keys of [model] and [train], by its message."""

from __future__ import annotations

from typing import Any

import pytest

from toolkit.config import Model, Train
from toolkit.nn.losses import loss_of
from toolkit.rules import LOSSES, ONLY, learning_rules, model_rules

WINDOW = {"mode": "window"}
BAD_MODELS: list[tuple[dict[str, Any], str]] = [
    ({"reset": "before"}, 'model.reset = "before": only for model.cell = "gru"'),
    ({"activation": "relu"}, 'model.activation = "relu": only for model.cell = "rnn"'),
    ({"cell": "gru", "peephole": True}, 'model.peephole = true: only for model.cell = "lstm"'),
    ({"cell": "rnn", "cell_clip": 1.0}, 'model.cell_clip = 1.0: only for model.cell = "lstm"'),
    ({"cell": "gru", "forget_bias": 2.0}, 'only for model.cell = "lstm" or "lstm_norm"'),
    ({"bidirectional": "joined"}, "a stream cannot run backwards"),
    ({"head": "mean"}, "needs the end of a window"),
    ({"output": "quantile"}, "model.levels = []"),
    ({"levels": (0.5,)}, 'expected levels with model.output = "quantile"'),
    ({"output": "quantile", "levels": (0.5, 0.1)}, "expected rising numbers"),
    ({"output": "quantile", "levels": (0.5, 1.0)}, "between 0 and 1"),
]
BAD_LEARNING: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"loss": "crossentropy"}, 'model.output = "value" takes mse or mae or huber'),
    ({"output": "gaussian"}, {"loss": "mse"}, 'model.output = "gaussian" takes gaussian'),
    ({}, {"epochs": 4, "warmup_epochs": 4}, "train.warmup_epochs = 4: expected fewer than train.epochs = 4"),
    (WINDOW | {"bidirectional": "parallel"}, {"segment": 8}, "train.segment = 8: not with model.bidirectional"),
]


@pytest.mark.parametrize(("keys", "message"), BAD_MODELS)
def test_a_bad_model_is_named(keys: dict[str, Any], message: str) -> None:
    assert message in model_rules(Model(**keys))


@pytest.mark.parametrize(("model", "train", "message"), BAD_LEARNING)
def test_bad_learning_is_named(model: dict[str, Any], train: dict[str, Any], message: str) -> None:
    assert not model_rules(Model(**model))
    assert message in learning_rules(Model(**model), Train(**train))


def test_what_fits_is_silent() -> None:
    assert not model_rules(Model()) and not learning_rules(Model(), Train())
    both = Model(mode="window", bidirectional="joined", head="final_states", output="quantile", levels=(0.1, 0.9))
    assert not model_rules(both) and not learning_rules(both, Train(loss="quantile"))


def test_the_rules_name_keys_and_losses_that_there_are() -> None:
    assert set(ONLY) <= set(Model.__dataclass_fields__)
    for names in LOSSES.values():
        for name in names:
            assert callable(loss_of(name, levels=(0.5,), huber_delta=1.0))
