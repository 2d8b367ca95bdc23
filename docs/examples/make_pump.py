"""Writes pump.onnx and pump.csv, the README's example of a model from elsewhere: `python docs/examples/make_pump.py`.

A made pump: two sensors, and a bearing that now and then begins to wear. A PyTorch model tells how likely wear is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

STEPS, ROWS = 24, 4000


def sensors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """vibration, temperature [rows, 2] in deviations, and whether the bearing wears [rows]."""
    wear, x, level = np.zeros(ROWS), np.empty((ROWS, 2)), 0.0
    for k in range(ROWS):
        if rng.random() < 0.004:
            wear[k : k + int(rng.integers(60, 160))] = 1
        level = 0.97 * level + 0.03 * (2.5 * wear[k]) + 0.02 * rng.standard_normal()
        x[k] = 0.6 * rng.standard_normal() * (1 + wear[k]) + 0.5 * wear[k], level
    return x.round(3), wear


class Pump(torch.nn.Module):
    """LSTM, a hidden dense layer, a probability."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(2, 16, batch_first=True)
        self.hidden = torch.nn.Linear(16, 8)
        self.out = torch.nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """x [batch, time, 2] -> [batch, 1]."""
        y, _ = self.lstm(x)
        return torch.sigmoid(self.out(torch.relu(self.hidden(y[:, -1]))))


def main() -> None:
    """Trains and exports."""
    torch.manual_seed(0)
    x, wear = sensors(np.random.default_rng(0))
    starts = np.arange(0, ROWS - STEPS, 3)
    windows = torch.tensor(x[starts[:, None] + np.arange(STEPS)], dtype=torch.float32)
    target = torch.tensor(wear[starts + STEPS - 1], dtype=torch.float32)[:, None]
    model = Pump()
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    for _ in range(150):
        optimizer.zero_grad()
        loss = torch.nn.functional.binary_cross_entropy(model(windows), target)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    print(f"cross-entropy {loss.item():.3f}")
    here = Path(__file__).parent
    torch.onnx.export(model.eval(), (windows[:1],), str(here / "pump.onnx"), input_names=["sensors"], dynamo=False)
    lines = [f"{a:.3f},{b:.3f}" for a, b in x[:1000]]
    (here / "pump.csv").write_text("\n".join(["vibration,temperature", *lines]) + "\n")


if __name__ == "__main__":
    main()
