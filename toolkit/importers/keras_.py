"""Keras' models: .keras, and whole models in .h5 -> Network; proven in Keras 3 on torch. Needs h5py to read."""

from __future__ import annotations

from pathlib import Path

from toolkit.importers import Imported, Options
from toolkit.importers.finish import finished
from toolkit.importers.keras_file import HDF5, read_saved
from toolkit.importers.keras_graph import Graph
from toolkit.importers.keras_run import original
from toolkit.importers.zipped import ZIP


def recognises(path: Path, head: bytes) -> bool:
    """Whether it is HDF5, or a zip with the members of a .keras file."""
    own = b"config.json" in head or b"metadata.json" in head or path.suffix == ".keras"
    return head.startswith(HDF5) or (head.startswith(ZIP) and own)


def read(path: Path, options: Options) -> Imported:
    """The network of a Sequential or Functional model.

    Raises: ToolkitError, one line, naming the layer, or QuantizeError where its sizes do not fit."""
    saved = read_saved(path)
    graph = Graph(saved, path, options)
    layers = graph.builder.layers
    network = finished(options.name, layers, graph.output.names, inputs=graph.inputs, steps=graph.steps)
    run, runtime = original(path, graph.shown, saved)
    return Imported(network, run, runtime)
