"""The networks of `bench --training` as one writes them in PyTorch, with the weights of ours."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from quantize.network import Layer, Network


class PlainLstm(nn.Module):
    """torch.nn.LSTM and a linear head on the last step."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        cell, head = network.layers
        hidden, inputs = cell.weights["w_hh"].shape[1], cell.weights["w_ih"].shape[1]
        self.lstm, self.head = nn.LSTM(inputs, hidden, batch_first=True), nn.Linear(hidden, len(head.weights["b"]))
        zero = np.zeros(4 * hidden, np.float32)
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        for name, w in zip(names, (cell.weights["w_ih"], cell.weights["w_hh"], cell.weights["b"], zero), strict=True):
            getattr(self.lstm, name).data = torch.tensor(w)
        self.head.weight.data, self.head.bias.data = (torch.tensor(head.weights[k]) for k in ("w", "b"))

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, time, in] -> [batch, out]"""
        y: Tensor = self.head(self.lstm(x)[0][:, -1])
        return y

    def gradients(self) -> dict[str, np.ndarray]:
        """By the names of our arrays."""
        grads = {"w_ih": "weight_ih_l0", "w_hh": "weight_hh_l0", "b": "bias_ih_l0"}
        own = {f"lstm0.{k}": getattr(self.lstm, v).grad for k, v in grads.items()}
        own |= {"head.w": self.head.weight.grad, "head.b": self.head.bias.grad}
        return {k: v.numpy() for k, v in own.items()}


class NormCell(nn.Module):
    """One cell of the Burn book's modern LSTM (examples/modern-lstm/src/model.rs), step by step as there."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.weights = nn.ParameterDict({k: nn.Parameter(torch.tensor(v)) for k, v in layer.weights.items()})
        self.hidden = layer.weights["w_hh"].shape[1]

    def _norm(self, x: Tensor, name: str) -> Tensor:
        p = self.weights[name]
        return nn.functional.layer_norm(x, x.shape[-1:], p[0], p[1], 1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, time, in] -> h [batch, time, hidden]"""
        w = self.weights
        h = c = x.new_zeros(len(x), self.hidden)
        out = []
        for t in range(x.shape[1]):
            gates = self._norm(nn.functional.linear(x[:, t], w["w_ih"], w["b_ih"]), "norm_x")
            gates = gates + nn.functional.linear(h, w["w_hh"], w["b_hh"])
            i, f, g, o = gates.chunk(4, 1)
            c = self._norm(torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g), "norm_c")
            h = self._norm(torch.sigmoid(o) * torch.tanh(c), "norm_h")
            out.append(h)
        return torch.stack(out, 1)


class ModernLstm(nn.Module):
    """Two stacks of such cells, the second over the reversed window; the head sees each one's last step."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self.names = [x.name for x in network.layers[:-1]]
        self.ahead = nn.ModuleList([NormCell(x) for x in network.layers[:-1] if not x.reverse])
        self.back = nn.ModuleList([NormCell(x) for x in network.layers[:-1] if x.reverse])
        head = network.layers[-1].weights
        self.head = nn.Linear(head["w"].shape[1], len(head["b"]))
        self.head.weight.data, self.head.bias.data = (torch.tensor(head[k]) for k in ("w", "b"))

    def forward(self, x: Tensor) -> Tensor:
        """x [batch, time, in] -> [batch, out]"""
        ahead, back = x, x.flip(1)
        for cell in self.ahead:
            ahead = cell(ahead)
        for cell in self.back:
            back = cell(back)
        y: Tensor = self.head(torch.cat([ahead[:, -1], back[:, -1]], 1))
        return y

    def gradients(self) -> dict[str, np.ndarray]:
        """By the names of our arrays."""
        cells = zip(self.names, [*self.ahead, *self.back], strict=True)
        own = {f"{name}.{k}": p.grad for name, cell in cells for k, p in cell.weights.items()}
        own |= {"head.w": self.head.weight.grad, "head.b": self.head.bias.grad}
        return {k: v.numpy() for k, v in own.items()}
