"""Writes tests/data/torch_*: state_dicts as torch.save and safetensors write them, and what the models make of an
input. By hand: `python tests/data/make_torch.py`, with torch 2.13."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = Path(__file__).resolve().parent


class Net(nn.Module):
    """A recurrent layer, its last step or its final states, and a dense layer."""

    def __init__(self, cell: str, layers: int, both: bool) -> None:
        super().__init__()
        self.rnn = getattr(nn, cell)(3, 4, num_layers=layers, bidirectional=both, batch_first=True)
        self.fc = nn.Linear(8 if both else 4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y, state = self.rnn(x)
        if not self.rnn.bidirectional:
            return self.fc(y[:, -1])
        h = state[0] if isinstance(state, tuple) else state
        return self.fc(torch.cat([h[-2], h[-1]], -1))


if __name__ == "__main__":
    torch.manual_seed(0)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(4, 7, 3)).astype(np.float32))
    models = {"torch_lstm.pt": Net("LSTM", 2, False), "torch_gru.pth": Net("GRU", 1, True)}
    models["torch_rnn.safetensors"] = Net("RNN", 1, False)
    torch.save({"epoch": 3, "state_dict": models["torch_lstm.pt"].state_dict()}, HERE / "torch_lstm.pt")
    torch.save(models["torch_gru.pth"].state_dict(), HERE / "torch_gru.pth", _use_new_zipfile_serialization=False)
    save_file(models["torch_rnn.safetensors"].state_dict(), HERE / "torch_rnn.safetensors")
    with torch.no_grad():
        np.savez(HERE / "torch.npz", x=x.numpy(), **{k: m(x).numpy() for k, m in models.items()})
