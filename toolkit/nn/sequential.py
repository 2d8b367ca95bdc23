"""A model as a list of layers: what `[model]` and `[train]` of a run.toml do, from Python.

    data = load_dataset(Data(series="glucose", horizon=(6,)), mode="stateful", need=24)
    model = Sequential([LSTM(32), Dropout(0.1), LSTM(32), Dense(1)], seed=1).build(data)
    print(model)
    model.fit(data, epochs=20)

and with a loop of one's own:

    rng, backend = np.random.default_rng(1), model.backend("native", device="cpu", loss=my_loss)
    for epoch in range(20):
        for batch in batches(data, batch=16, steps=16, rng=rng):
            loss = backend.step(batch, lr=0.01)
        sums = [backend.evaluate(batch) for batch in judged(data, "val")]
        print(epoch, loss, sum(s for s, _ in sums) / sum(n for _, n in sums))
    model.network = backend.network()
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from quantize.network import Network, save_network
from toolkit.codegen.lower import check_name
from toolkit.config import Model, Train
from toolkit.errors import ToolkitError
from toolkit.nn.dataset import Dataset
from toolkit.nn.layers import Dense, Part, build
from toolkit.nn.losses import Loss
from toolkit.nn.network import forward, parameters
from toolkit.nn.outputs import output_columns
from toolkit.nn.summary import summary
from toolkit.rules import learning_rules, model_rules

if TYPE_CHECKING:  # toolkit.train imports toolkit.nn
    from toolkit.train.backends import Backend
    from toolkit.train.trainer import Trained


class Sequential:
    """Layers one behind the other, the last a Dense: the head. `network` is None until `build`.

    head, output, levels: as in [model]. board: whose flash and RAM `print` tells; "" = none. name: of
    the C. seed: of first weights."""

    network: Network | None = None

    def __init__(
        self,
        layers: Sequence[Part],
        *,
        head: str = "last",
        output: str = "value",
        levels: Sequence[float] = (),
        board: str = "",
        name: str = "net",
        seed: int = 1,
    ) -> None:
        self.layers, self.board, self.name, self.seed = tuple(layers), board, check_name(name), seed
        self.model = Model(mode="window", head=head, output=output, levels=tuple(levels))
        wrong = model_rules(self.model)
        if wrong:
            raise ToolkitError(wrong)

    def build(self, data: Dataset) -> Sequential:
        """First weights for the columns of `data`.

        Raises: ToolkitError where the layers do not fit together or to the data."""
        template = self._template(data)
        if not self.layers or not isinstance(self.layers[-1], Dense):
            raise ToolkitError("the last layer is the head: expected Dense(outputs)")
        if self.layers[-1].outputs != len(template.outputs):
            names = ", ".join(c.name for c in template.outputs)
            raise ToolkitError(f"{self.layers[-1]}: expected Dense({len(template.outputs)}), an output each: {names}")
        layers = build(self.layers, len(template.inputs), np.random.default_rng(self.seed))
        network = replace(template, layers=layers)
        parameters(network, np.float32)  # says what the mode cannot do
        self.network, self.model = network, replace(self.model, mode=data.mode)
        return self

    def _template(self, data: Dataset) -> Network:
        prepared, model = data.prepared, self.model
        values = prepared.outputs
        outputs = output_columns(values, model.output, levels=model.levels, classes=prepared.classes)
        window = data.need if data.mode == "window" else 0
        return Network(
            self.name, (), prepared.inputs, outputs, data.mode, window, data.need, prepared.horizon, prepared.period,
            "hold", 6, model.head, model.output, model.levels,
        )  # fmt: skip

    def _built(self) -> Network:
        if self.network is None:
            raise ToolkitError("the model has no weights yet: call build(data) or fit(data) first")
        return self.network

    def __str__(self) -> str:
        if self.network is None:
            return "\n".join(map(str, self.layers))
        return summary(self.network, self.board)

    def backend(self, name: str, *, device: str = "cpu", loss: str | Loss = "", **learning: Any) -> Backend:
        """A backend with this model's weights. `loss`: a name, or a callable of (y, target, weight) that gives the loss
        and its gradient by y (`toolkit.nn.losses` has the shapes); `learning`: keys of [train].

        Raises: ToolkitError for what does not fit together."""
        made = self._backend(self._learning(name, device, "" if callable(loss) else loss, learning), loss)
        made.load(self._built())
        return made

    def _backend(self, train: Train, loss: str | Loss) -> Backend:
        from toolkit.train.backends import BACKENDS

        if train.backend not in BACKENDS:
            raise ToolkitError(f"backend {train.backend!r}: expected one of {', '.join(BACKENDS)}")
        own: Any = loss if callable(loss) else train.loss  # loss_of takes a callable as it is
        return BACKENDS[train.backend](replace(train, loss=own), self.model, self.seed)

    def _learning(self, backend: str, device: str, loss: str, keys: dict[str, Any]) -> Train:
        unknown = set(keys) - set(Train.__dataclass_fields__)
        if unknown:
            raise ToolkitError(f"{min(unknown)}: expected keys of [train]: {', '.join(Train.__dataclass_fields__)}")
        train = Train(backend=backend, device=device, loss=loss, **{"seed": self.seed, **keys})
        wrong = learning_rules(self.model, train)
        if wrong:
            raise ToolkitError(wrong)
        return train

    def fit(
        self,
        data: Dataset,
        *,
        backend: str = "native",
        device: str = "cpu",
        loss: str = "",
        say: Callable[[str], None] = print,
        **learning: Any,
    ) -> Trained:
        """Trains until `epochs` or `patience`, keys of [train] as are the other `learning`; keeps the best weights."""
        from toolkit.train.trainer import Watcher, fit

        network = self._built() if self.network else self.build(data)._built()
        train = self._learning(backend, device, loss, learning)
        trained = fit(
            network, data.prepared, model=self.model, train=train, rng=np.random.default_rng(train.seed), say=say,
            watcher=Watcher(lambda e, best: say(f"epoch {e.epoch:3d}  train {e.train:.4g}  validation {e.val:.4g}")),
        )  # fmt: skip
        self.network = trained.network
        return trained

    def predict(self, x: np.ndarray) -> np.ndarray:
        """x [batch, time, inputs] raw, from a zero state -> [batch, steps, outputs] raw; of a class its logits."""
        network = self._built()
        (in_mean, in_std), (mean, std) = (
            ([c.mean for c in side], [c.std for c in side]) for side in (network.inputs, network.outputs)
        )
        y, _ = forward(network, (x - np.array(in_mean)) / in_std)
        return np.asarray(y * std + mean)

    def save(self, path: str | Path) -> str:
        """Writes `model.safetensors`; returns its digest."""
        return save_network(self._built(), path)
