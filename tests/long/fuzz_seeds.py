"""Model files that the fuzz campaign damages: one function a format, folder -> the files it has made there."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from quantize.network import Layer, layer
from toolkit.importers import network_of


def _network(*layers: Layer, outputs: int) -> Any:
    return network_of("seed", layers, inputs=2, outputs=outputs, steps=4)


def onnx_seeds(folder: Path) -> list[Path]:
    """Recurrent layers with every option, what stands around them, and the shape arithmetic of exporters."""
    from onnx import helper

    from tests.onnx_models import model
    from tests.test_import_onnx import recurrent_model
    from toolkit.exporters.onnx_ import to_onnx

    rng = np.random.default_rng(0)

    def arrays(**shapes: tuple[int, ...]) -> dict[str, np.ndarray]:
        return {k: rng.normal(size=s) for k, s in shapes.items()}

    conv = layer("conv", "conv", arrays(w=(3, 2, 2), b=(3,)), options={"pad_before": 1})
    pool = layer("pool", "pool", {}, options={"max": 1, "kernel": 2, "stride": 2})
    norm = layer("norm", "norm", arrays(gain=(3,), offset=(3,)), options={"epsilon": 1e-5})
    gru = layer("gru", "gru", arrays(w_ih=(6, 3), w_hh=(6, 2), b=(8,)))
    back = layer("back", "gru", arrays(w_ih=(6, 3), w_hh=(6, 2), b=(6,)), sources=("norm",), reverse=True)
    both = layer("both", "add", {}, sources=("gru", "back"))
    dense = layer("dense", "dense", arrays(w=(2, 4), b=(2,)), activations=("softmax",))
    made = [to_onnx(_network(conv, pool, norm, gru, back, both, layer("flat", "flatten", {}), dense, outputs=2))]
    made += [recurrent_model(op, np.random.default_rng(k)) for op in ("LSTM", "GRU", "RNN") for k in range(3)]
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "one"], ["batch"]),
        helper.make_node("Concat", ["first", "batch", "size"], ["dims"], axis=0),
        helper.make_node("Expand", ["zero", "dims"], ["h0"]),
        helper.make_node("DequantizeLinear", ["r", "scale", "zero8"], ["r32"], axis=1),
        helper.make_node("GRU", ["x", "w", "r32", "", "", "h0"], ["y", "y_h"], hidden_size=2),
        helper.make_node("Squeeze", ["y", "one"], ["z"]),
    ]
    constants = {
        **{k: np.array([v], np.int64) for k, v in (("one", 1), ("first", 1), ("size", 2))},
        **{"zero": np.zeros(1, np.float32), "w": rng.normal(size=(1, 6, 2)).astype(np.float32)},
        **{"r": np.ones((1, 6, 2), np.int8), "scale": np.ones(6, np.float32), "zero8": np.zeros(6, np.int8)},
    }
    made.append(model(nodes, {"x": ("time", "batch", 2)}, {"z": 3}, constants, 20))
    paths = [folder / f"{k}.onnx" for k in range(len(made))]
    for path, m in zip(paths, made, strict=True):
        path.write_bytes(m.SerializeToString())
    return paths


def pytorch_seeds(folder: Path) -> list[Path]:
    """safetensors with its structure, and what torch.save writes where torch is."""
    from tests.test_export_models import stacked
    from toolkit.exporters.pytorch import export_safetensors, state_dict

    paths = []
    for op in ("lstm", "gru", "rnn"):
        paths.append(folder / f"{op}.safetensors")
        export_safetensors(stacked(op), paths[-1])
    if importlib.util.find_spec("torch"):
        import torch

        for name, zipped in (("new", True), ("old", False)):
            tensors = {k: torch.tensor(v) for k, v in state_dict(stacked("gru"))[0].items()}
            paths.append(folder / f"{name}.pt")
            torch.save(tensors, paths[-1], _use_new_zipfile_serialization=zipped)
    return paths


def onnx_edited(blob: bytes, rng: np.random.Generator) -> bytes:
    """A model that protobuf takes and that makes no sense: operators, names, attributes and dimensions exchanged."""
    import onnx

    m = onnx.load_model_from_string(blob)
    extremes = (0, -1, 1, 2, 7, 2**31 - 1, -(2**31), 2**62, -(2**63))
    for _ in range(rng.integers(1, 4)):
        node = m.graph.node[rng.integers(len(m.graph.node))]
        names = [n for other in m.graph.node for n in (*other.input, *other.output)]
        what = rng.integers(8)
        if what == 0 and node.input:
            node.input[rng.integers(len(node.input))] = str(rng.choice(names))
        elif what == 1 and node.output:
            node.output[rng.integers(len(node.output))] = str(rng.choice(names))
        elif what == 2:
            node.op_type = m.graph.node[rng.integers(len(m.graph.node))].op_type
        elif what == 3 and node.attribute:
            a = node.attribute[rng.integers(len(node.attribute))]
            a.i, a.f = int(rng.choice(extremes)), float(rng.choice((0, -1, 1e30, np.inf, np.nan)))
            a.ints[:] = [int(rng.choice(extremes)) for _ in a.ints]
        elif what == 4 and m.graph.initializer:
            t = m.graph.initializer[rng.integers(len(m.graph.initializer))]
            t.dims[:] = [int(rng.choice((*extremes[:5], *t.dims, 2**40))) for _ in range(rng.integers(5))]
        elif what == 5 and m.graph.initializer:
            t = m.graph.initializer[rng.integers(len(m.graph.initializer))]
            t.data_type = int(rng.integers(0, 24))
            if t.data_type == 7 and len(t.raw_data) >= 8:
                t.raw_data = np.array(rng.choice(extremes, len(t.raw_data) // 8), np.int64).tobytes()
        elif what == 6:
            d = m.graph.input[0].type.tensor_type.shape.dim
            d[rng.integers(len(d))].dim_value = int(rng.choice(extremes))
        else:
            m.opset_import[0].version = int(rng.integers(0, 40))
    return bytes(m.SerializeToString())


def tflite_seeds(folder: Path) -> list[Path]:
    """The converters' files of the tests."""
    del folder
    data = (Path(__file__).parents[1] / "data" / "tflite").glob("*.tflite")
    return sorted(p for p in data if "small_cell" not in p.name)


def tflite_edited(blob: bytes, rng: np.random.Generator) -> bytes:
    """A whole flatbuffer whose operators, tensors, options and shapes are exchanged."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    m = schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytearray(blob)))
    for _ in range(rng.integers(1, 4)):
        g = m.subgraphs[rng.integers(len(m.subgraphs))]
        op, t = g.operators[rng.integers(len(g.operators))], g.tensors[rng.integers(len(g.tensors))]
        extremes = (0, -1, 1, 2, 7, 2**31 - 1, -(2**31))
        what = rng.integers(8)
        if what == 0:
            op.inputs = [int(v) if rng.random() < 0.7 else int(rng.integers(-1, len(g.tensors))) for v in op.inputs]
        elif what == 1:
            op.outputs = [int(rng.integers(len(g.tensors))) for _ in op.outputs]
        elif what == 2:
            op.opcodeIndex = int(rng.integers(len(m.operatorCodes)))
        elif what == 3:
            code = m.operatorCodes[rng.integers(len(m.operatorCodes))]
            code.builtinCode = code.deprecatedBuiltinCode = int(rng.integers(0, 127))
        elif what == 4 and t.shape is not None:
            t.shape = [int(rng.choice((*extremes, *t.shape))) for _ in range(len(t.shape) + int(rng.integers(-1, 2)))]
        elif what == 5:
            t.type = int(rng.integers(0, 17))
        elif what == 6:
            t.buffer = int(rng.integers(len(m.buffers)))
        elif op.builtinOptions is not None:
            for key, value in vars(op.builtinOptions).items():
                if isinstance(value, bool):
                    setattr(op.builtinOptions, key, not value)
                elif isinstance(value, int):
                    setattr(op.builtinOptions, key, int(rng.choice((0, 1, 2, 3, value))))
    builder = flatbuffers.Builder(1024)
    builder.Finish(m.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def keras_seeds(folder: Path) -> list[Path]:
    """The files of the tests, of both versions."""
    del folder
    data = Path(__file__).parents[1] / "data"
    return [data / name for name in ("keras3.keras", "keras3_hard.h5", "keras2.h5", "keras2_hard.h5")]


def pytorch_edited(blob: bytes, rng: np.random.Generator) -> bytes:
    """A whole archive whose pickle is damaged."""
    return _member_edited(blob, "data.pkl", lambda data: _bytes_edited(data, rng))


def keras_edited(blob: bytes, rng: np.random.Generator) -> bytes:
    """A whole archive whose configuration is JSON and makes no sense: values exchanged, dropped, made extreme."""

    def edit(data: bytes) -> bytes:
        value = json.loads(data)
        places: list[tuple[Any, Any]] = []
        waiting = [value]
        while waiting:
            v = waiting.pop()
            keys = list(v) if isinstance(v, dict) else range(len(v))
            places += [(v, k) for k in keys]
            waiting += [v[k] for k in keys if isinstance(v[k], dict | list)]
        for _ in range(rng.integers(1, 4)):
            held, key = places[rng.integers(len(places))]
            other, name = places[rng.integers(len(places))]
            extremes = (
                None,
                True,
                -1,
                0,
                1 << 40,
                1e300,
                "",
                [],
                {},
                [[0]],
                "LSTM",
                json.loads(json.dumps(other[name])),
            )
            held[key] = extremes[rng.integers(len(extremes))]
        return json.dumps(value).encode()

    return _member_edited(blob, "config.json", edit)


def _member_edited(blob: bytes, ending: str, edit: Callable[[bytes], bytes]) -> bytes:
    """A zip archive with one member changed; a file that is none, with its bytes changed."""
    if not blob.startswith(b"PK"):
        return edit(blob) if ending != "config.json" else blob
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(blob)) as z, zipfile.ZipFile(out, "w") as changed:
        for name in z.namelist():
            changed.writestr(name, edit(z.read(name)) if name.endswith(ending) else z.read(name))
    return out.getvalue()


def _bytes_edited(blob: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(blob)
    for at in rng.integers(len(data), size=rng.integers(1, 5)).tolist():
        data[at] = int(rng.choice([rng.integers(256), data[at] ^ 1, data[rng.integers(len(data))], 255]))
    return bytes(data)


SEEDS: dict[str, Callable[[Path], list[Path]]] = {
    "onnx": onnx_seeds,
    "tflite": tflite_seeds,
    "pytorch": pytorch_seeds,
    "keras": keras_seeds,
}
EDITS: dict[str, Callable[[bytes, np.random.Generator], bytes]] = {
    "onnx": onnx_edited,
    "tflite": tflite_edited,
    "pytorch": pytorch_edited,
    "keras": keras_edited,
}
"""Format -> what damages the meaning of a file and leaves its form."""
