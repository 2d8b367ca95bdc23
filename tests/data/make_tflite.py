"""Small .tflite files of real converters -> tests/data/tflite/. Run by hand, in an environment of its own:

    python -m venv v && v/bin/pip install tensorflow-cpu tf_keras && v/bin/python tests/data/make_tflite.py

Written with TensorFlow 2.21, tf_keras 2.21 and Keras 3.15; the weights are random."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tf_keras

OUT = Path(__file__).parent / "tflite"
STEPS, INPUTS = 9, 3
RNG = np.random.default_rng(7)


def chain(*layers: Callable) -> Callable:
    """A model of one input [1, STEPS, INPUTS], of either Keras."""

    def make(k):
        shape = {"batch_shape": (1, STEPS, INPUTS)} if k is keras else {"shape": (STEPS, INPUTS), "batch_size": 1}
        y = x = k.Input(**shape)
        for one in layers:
            y = one(k.layers)(y)
        return k.Model(x, y)

    return make


def lstm(units: int, **more) -> Callable:
    return lambda m: m.LSTM(units, **more)


def gru(units: int, **more) -> Callable:
    return lambda m: m.GRU(units, **more)


def rnn(units: int, **more) -> Callable:
    return lambda m: m.SimpleRNN(units, **more)


def dense(units: int, **more) -> Callable:
    return lambda m: m.Dense(units, **more)


def both(cell: Callable, **more) -> Callable:
    return lambda m: m.Bidirectional(cell(m), **more)


def conv(filters: int, kernel: int, **more) -> Callable:
    return lambda m: m.Conv1D(filters, kernel, **more)


def write(name: str, k, make: Callable, *, int8: str = "", scale: float = 1.0) -> None:
    """int8: "io" with int8 inputs and outputs, "inside" with float ones. scale: of the data."""
    k.utils.set_random_seed(3)
    model = make(k)
    for w in model.trainable_weights:
        w.assign(np.asarray(w) + 0.2 * RNG.standard_normal(w.shape).astype(np.float32))
    if k is keras:
        converter = tf.lite.TFLiteConverter.from_keras_model(model)
    else:  # tf_keras under Keras 3's TensorFlow: the way of a concrete function
        call = tf.function(lambda x: model(x, training=False))
        one = call.get_concrete_function(tf.TensorSpec((1, STEPS, INPUTS), tf.float32))
        converter = tf.lite.TFLiteConverter.from_concrete_functions([one], model)
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        windows = (scale * RNG.standard_normal((60, 1, STEPS, INPUTS))).astype(np.float32)
        converter.representative_dataset = lambda: ([x] for x in windows)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    if int8 == "io":
        converter.inference_input_type = converter.inference_output_type = tf.int8
    blob = converter.convert()
    (OUT / f"{name}.tflite").write_bytes(blob)
    print(f"{name}: {len(blob)} bytes")


def main() -> None:
    OUT.mkdir(exist_ok=True)
    one, two = chain(lstm(6), dense(2)), chain(lstm(6, return_sequences=True), lstm(5), dense(2))
    every = chain(lstm(6, return_sequences=True), dense(2))
    classes = chain(lstm(6), dense(5, activation="relu"), dense(3, activation="softmax"))
    ways = chain(both(lstm(4)), dense(2))
    # tf_keras: LSTM is fused, the others are loops
    write("fused_lstm", tf_keras, one)
    write("fused_lstm_sequence", tf_keras, every)
    write("fused_lstm_two_layers", tf_keras, two)
    write("fused_lstm_softmax", tf_keras, classes)
    write("fused_bidirectional", tf_keras, ways)
    write("fused_conv_lstm", tf_keras, chain(conv(4, 3, padding="same", activation="relu"), lstm(5), dense(2)))
    write("fused_int8", tf_keras, one, int8="io", scale=3.0)
    write("fused_int8_sequence", tf_keras, every, int8="io", scale=3.0)
    write("fused_int8_two_layers", tf_keras, two, int8="inside", scale=3.0)
    write("fused_int8_softmax", tf_keras, classes, int8="inside", scale=3.0)
    write("fused_int8_small_cell", tf_keras, one, int8="io", scale=0.01)
    write("loop_gru_tf_keras", tf_keras, chain(gru(6), dense(2)))
    # Keras 3: a loop over the steps, or unrolled
    write("loop_lstm", keras, one)
    write("loop_lstm_two_layers", keras, two)
    write("loop_lstm_relu", keras, chain(lstm(6, activation="relu", return_sequences=True), dense(2)))
    write("loop_gru", keras, chain(gru(6, return_sequences=True), dense(2)))
    write("loop_gru_reset_before", keras, chain(gru(6, reset_after=False), dense(2)))
    write("loop_rnn", keras, chain(rnn(6), dense(2)))
    write("loop_bidirectional", keras, chain(both(gru(4, return_sequences=True)), dense(2)))
    write("unrolled_lstm", keras, chain(lstm(6, unroll=True), dense(2)))
    write("unrolled_lstm_two_layers", keras, chain(lstm(4, unroll=True, return_sequences=True), lstm(4, unroll=True)))
    write("unrolled_gru", keras, chain(gru(6, unroll=True, return_sequences=True), dense(2)))
    write("unrolled_bidirectional", keras, chain(both(lstm(4, unroll=True)), dense(2)))
    write("unrolled_gru_reset_before", keras, chain(gru(4, unroll=True, reset_after=False), dense(2)))
    dropped = lstm(4, recurrent_activation="hard_sigmoid", dropout=0.1, recurrent_dropout=0.1)
    write("loop_lstm_hard_sigmoid_dropout", keras, chain(dropped, dense(2)))


if __name__ == "__main__":
    main()
