"""ARITHMETIC v1 a second time, one number after the other in Python's own integers: slow and plain."""

from __future__ import annotations

import math

from quantize.fixedpoint import SIGMOID_NODES, TANH_NODES
from quantize.qnetwork import QLayer

SIGMOID, TANH = SIGMOID_NODES.tolist(), TANH_NODES.tolist()


def sat(v: int, low: int = -32768, high: int = 32767) -> int:
    return low if v < low else high if v > high else v


def table(nodes: list[int], z: int) -> int:
    i, part = divmod(z + 32768, 256)
    return int(nodes[i] + ((nodes[i + 1] - nodes[i]) * (part * 128 + 1)) // 32768)


def dot(weights: list[int], values: list[int], start: int = 0) -> int:
    """start + weights . values. Asserts that no partial sum leaves int32."""
    for weight, value in zip(weights, values, strict=True):
        start += weight * value
        assert -(2**31) <= start < 2**31
    return start


def lstm(q: QLayer, x: list[int], h: list[int], c: list[int]) -> tuple[list[int], list[int]]:
    """One step -> h', c'."""
    wh, wx, b, m = (q.arrays[k].tolist() for k in ("wh", "wx", "b", "m"))
    t, f, frac, n = q.params["t"], q.params["f"], q.params["frac"], len(h)

    def gate(row: int) -> int:
        acc = dot(wh[row], h, b[row]) + dot(wx[row], x) // 2**f
        assert -(2**31) <= acc < 2**31
        return sat(acc * m[row] // 65536 // 2**t)

    new_h, new_c = [], []
    for u in range(n):
        i, fg, o = (table(SIGMOID, gate(k * n + u)) for k in (0, 1, 3))
        g = table(TANH, gate(2 * n + u))
        cell = sat((fg * c[u] + (i * g) // 2 ** (15 - frac) + 16384) // 32768)
        new_c.append(cell)
        new_h.append((o * table(TANH, sat(cell * 2 ** (12 - frac))) + 16384) // 32768)
    return new_h, new_c


def gru(q: QLayer, x: list[int], h: list[int]) -> list[int]:
    """One step -> h'; four biases per unit: the reset gate is applied after the recurrent product."""
    wh, wx, b, m = (q.arrays[k].tolist() for k in ("wh", "wx", "b", "m"))
    t, f, n = q.params["t"], q.params["f"], len(h)

    def whole(row: int, values: list[int]) -> int:
        acc = dot(wh[row], values, b[row]) + dot(wx[row], x) // 2**f
        assert -(2**31) <= acc < 2**31
        return sat(acc * m[row] // 65536 // 2**t)

    r, z = ([table(SIGMOID, whole(k * n + u, h)) for u in range(n)] for k in (0, 1))
    kept = [(a * v + 16384) // 32768 for a, v in zip(r, h, strict=True)]
    new = []
    for u, row in enumerate(range(2 * n, 3 * n)):
        if len(b) == 4 * n:
            from_x = (b[row] + dot(wx[row], x) // 2**f) * m[row] // 65536
            from_h = dot(wh[row], h, b[3 * n + u]) * m[row] // 65536
            both = from_x + 2 * (from_h * r[u] // 65536)
            assert -(2**31) <= both < 2**31
            zn = sat(both // 2**t)
        else:
            zn = whole(row, kept)
        value = table(TANH, zn)
        product = z[u] * (h[u] - value) + 16384
        assert -(2**31) <= product < 2**31
        new.append(value + product // 32768)
    return new


def dense(q: QLayer, h: list[int]) -> list[int]:
    """y = b + w h."""
    w, b = q.arrays["w"].tolist(), q.arrays["b"].tolist()
    y = [bias + sum(a * v for a, v in zip(row, h, strict=True)) for row, bias in zip(w, b, strict=True)]
    assert all(-(2**31) <= v < 2**31 for v in y)
    return y


def float_lstm(w_ih: list, w_hh: list, b: list, x: list, h: list, c: list) -> tuple[list[float], list[float]]:
    """The LSTM's equations, one unit after the other. Rows in gate order i, f, g, o."""
    n = len(h)

    def pre(row: int) -> float:
        total = b[row]
        for weight, value in zip(w_ih[row], x, strict=True):
            total += weight * value
        for weight, value in zip(w_hh[row], h, strict=True):
            total += weight * value
        return float(total)

    def sigmoid(v: float) -> float:
        return 1 / (1 + math.exp(-v))

    cells = [sigmoid(pre(n + u)) * c[u] + sigmoid(pre(u)) * math.tanh(pre(2 * n + u)) for u in range(n)]
    return [sigmoid(pre(3 * n + u)) * math.tanh(cells[u]) for u in range(n)], cells


def float_gru(w_ih: list, w_hh: list, b: list, x: list, h: list) -> list[float]:
    """The GRU's equations, one unit after the other. Rows r, z, n; four biases per unit: reset after."""
    n = len(h)

    def product(row: list, values: list) -> float:
        return math.fsum(a * v for a, v in zip(row, values, strict=True))

    def sigmoid(row: int) -> float:
        return 1 / (1 + math.exp(-(b[row] + product(w_ih[row], x) + product(w_hh[row], h))))

    r = [sigmoid(u) for u in range(n)]
    new = []
    for u in range(n):
        if len(b) == 4 * n:
            from_h = r[u] * (b[3 * n + u] + product(w_hh[2 * n + u], h))
        else:
            from_h = product(w_hh[2 * n + u], [a * v for a, v in zip(r, h, strict=True)])
        value = math.tanh(b[2 * n + u] + product(w_ih[2 * n + u], x) + from_h)
        z = sigmoid(n + u)
        new.append((1 - z) * value + z * h[u])
    return new


def float_dense(w: list, b: list, x: list) -> list[float]:
    """y = b + w x."""
    return [bias + math.fsum(a * v for a, v in zip(row, x, strict=True)) for row, bias in zip(w, b, strict=True)]
